"""The one-page report for the monthly meeting: HTML without a script, ready to print."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from plant.times import to_iso
from serve.exports.cells import clean
from serve.kpi.count import Report
from serve.kpi.figure import number
from serve.kpi.pictures import pictures


def write_html(report: Report) -> bytes:
    """Return the report as one HTML file, pictures inline; every name in it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    settings = report.scopes[0].settings
    page = environment.get_template("report.html.j2").render(
        report=report,
        whole=report.groups[0],
        start=to_iso(report.start_ms),
        stop=to_iso(report.stop_ms),
        confidence=f"{100 * settings.confidence:g}",
        by=f" by {report.by}" if report.by else "",
        pictures=pictures(report),  # our own SVG: the only thing that is not escaped
        number=number,
    )
    return clean(page, limit=len(page) + 1).encode()

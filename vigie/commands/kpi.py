"""`vigie kpi`: figures of a period, each with its n and its interval."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plant.errors import DataError
from plant.times import parse_moment
from vigie.context import get_context

if TYPE_CHECKING:
    from serve.kpi import Report

_BY = ("", "site", "line", "kind", "mode")


def command(
    ctx: typer.Context,
    start: Annotated[str, typer.Option("--from", help="2026-03-01, or -30d.")] = "-30d",
    stop: Annotated[str, typer.Option("--to", help="A time, or now.")] = "now",
    by: Annotated[str, typer.Option(help="site, line, kind or mode.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write report.html, .csv or .json.")
    ] = None,
) -> None:
    """Count stoppages, failures, alarms and what foresight was worth.

    Example: `vigie kpi --from 2026-03-01 --to 2026-04-01 --by line -o march.html`
    """
    from serve.kpi import compute

    if by not in _BY:
        raise DataError(f"--by {by[:40]!r} is not known.", fix="Use site, line, kind or mode.")
    context = get_context(ctx)
    now_ms = context.clock.now_ms()
    start_ms, stop_ms = parse_moment(start, now_ms), parse_moment(stop, now_ms)
    if start_ms >= stop_ms:
        raise DataError("the period is empty.", fix="--from must be before --to.")
    store = context.open_store()
    try:
        report = compute(
            store,
            context.plant,
            context.settings.kpi,
            start_ms,
            stop_ms,
            by=by,  # type: ignore[arg-type] # checked above
            now_ms=now_ms,
        )
    finally:
        store.close()
    if output is not None:
        output.write_bytes(_render(report, output.suffix.lower()))
        typer.echo(f"wrote {output}", err=True)
    elif as_json:
        typer.echo(_render(report, ".json"))
    else:
        _print(report)


def _render(report: Report, ending: str) -> bytes:
    if ending == ".json":
        import orjson

        return orjson.dumps(report.to_dict())
    if ending == ".csv":
        from serve.kpi.table import write_csv

        return write_csv(report)
    if ending in {".html", ".htm"}:
        from serve.kpi.page import write_html

        return write_html(report)
    raise DataError(f"{ending or 'no ending'!r} is not a format.", fix="Use .html, .csv or .json.")


def _print(report: Report) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    for group in report.groups:
        mark = ", simulated" if report.simulated else ""
        table = Table(
            "figure",
            "value",
            "note",
            title=escape(f"{group.name} ({group.machines} machines{mark})"),
        )
        for kpi in group.kpis:
            table.add_row(kpi.label, escape(kpi.text), escape(kpi.note))
        Console().print(table)
    inputs = report.groups[0].roi_inputs
    Console().print(
        "Return computed from: " + ", ".join(f"{k} = {v:g}" for k, v in inputs.items()),
        markup=False,
    )

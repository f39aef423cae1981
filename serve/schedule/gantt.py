"""The plan as a picture: one row per machine, colour by crew, shaded breaks, risk beside each bar."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import matplotlib.dates as mdates
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from plant.config import Plant
from plant.times import DAY_MS
from serve.schedule.calendar import line_breaks
from serve.schedule.plan import Plan, PlannedJob
from serve.schedule.words import Language, money, percent

_COLOURS = ("#1f77b4", "#d95f02", "#2a9d5c", "#8e5bb5", "#a6761d", "#e7298a", "#00798c", "#66707a")
_TEXTS = {
    "en": (
        "Maintenance plan",
        "planned break",
        "pinned",
        "expected cost",
        "SIMULATED",
        "no job planned",
    ),
    "fr": (
        "Plan de maintenance",
        "arrêt planifié",
        "fixé",
        "coût attendu",
        "SIMULÉ",
        "aucune intervention",
    ),
    "de": (
        "Wartungsplan",
        "geplante Pause",
        "fixiert",
        "erwartete Kosten",
        "SIMULIERT",
        "kein Einsatz",
    ),
}
_MOST_ROWS = 80


def draw_gantt(plan: Plan, plant: Plant, language: Language = "en") -> bytes:
    """Return a PNG of the open jobs with a slot, the first 80 by start, grouped by line."""
    jobs = sorted(
        (job for job in plan.jobs if job.open and job.start_ms is not None),
        key=lambda job: (job.start_ms or 0, job.key),
    )
    jobs = sorted(jobs[:_MOST_ROWS], key=lambda j: (j.asset.line_path, j.start_ms or 0))
    figure = Figure(figsize=(13, 1.9 + 0.32 * max(len(jobs), 3)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    crews = sorted({job.crew for job in jobs})
    colours = {crew: _COLOURS[number % len(_COLOURS)] for number, crew in enumerate(crews)}
    start, stop = _span(plan, jobs)
    for row, job in enumerate(jobs):
        _shade(axes, plant, job, row, start, stop)
        _bar(axes, job, row, colours[job.crew], (stop - start) / 160, language)
    _dress(axes, plan, plant, jobs, language)
    axes.set_xlim(_day(start), _day(stop))
    handles = [Patch(color=colours[crew], label=_plain(crew)) for crew in crews]
    handles += [Patch(color="#e4e4e4", label=_TEXTS[language][1])]
    axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8
    )
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, metadata={"Software": "Vigie"})
    return out.getvalue()


def _span(plan: Plan, jobs: list[PlannedJob]) -> tuple[int, int]:
    """Return the time shown: from the plan's start to a day after the last job."""
    last = max((job.stop_ms or 0 for job in jobs), default=plan.start_ms + 7 * DAY_MS)
    first = min((job.start_ms or 0 for job in jobs), default=plan.start_ms)
    return min(plan.start_ms, first), max(last + DAY_MS, plan.start_ms + 3 * DAY_MS)


def _shade(axes: Axes, plant: Plant, job: PlannedJob, row: int, start: int, stop: int) -> None:
    spans = [
        (_day(max(begin, start)), _day(min(end, stop)) - _day(max(begin, start)))
        for begin, end in line_breaks(plant, job.asset.site, job.asset.line, start, stop)
    ]
    axes.broken_barh(spans, (row - 0.5, 1.0), facecolors="#e4e4e4", zorder=0)


def _bar(
    axes: Axes, job: PlannedJob, row: int, colour: str, least_ms: float, language: Language
) -> None:
    """Draw a job at least wide enough to be seen."""
    begin, end = job.start_ms or 0, job.stop_ms or 0
    width = max(end - begin, least_ms)
    pinned = job.state == "pinned"
    axes.barh(
        row,
        width / DAY_MS,
        left=_day(begin),
        height=0.66,
        color=colour,
        edgecolor="black" if pinned else colour,
        linewidth=1.6 if pinned else 0.5,
        zorder=2,
    )
    mark = f" · {_TEXTS[language][2]}" if pinned else ""
    text = f" {percent(job.p_fail_before, language)}{mark}"
    axes.text(_day(begin) + width / DAY_MS, row, text, va="center", fontsize=7, zorder=3)


def _dress(
    axes: Axes, plan: Plan, plant: Plant, jobs: list[PlannedJob], language: Language
) -> None:
    title, _, _, cost, simulated, none = _TEXTS[language]
    labels = [f"{_plain(str(job.asset))}  {_plain(job.label)}" for job in jobs]
    axes.set_yticks(range(len(jobs)), labels, fontsize=8, parse_math=False)
    axes.set_ylim(len(jobs) - 0.5 if jobs else 0.5, -0.5)
    zone = plant.timezone(jobs[0].asset.site if jobs else next(iter(plant.sites), ""))
    locator = mdates.AutoDateLocator(tz=zone, minticks=4, maxticks=16)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator, tz=zone))
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", color="#d0d0d0", linewidth=0.5, zorder=1)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    mark = f"  [{simulated}]" if any(job.simulated for job in jobs) else ""
    text = f"{_plain(plant.name)}: {title}{mark}   ({cost} {money(plan.cost, plan.currency, language)})"
    axes.set_title(text, loc="left", fontsize=10, parse_math=False)
    if not jobs:
        axes.text(0.5, 0.5, none, transform=axes.transAxes, ha="center", color="#666666")


def _day(ts_ms: int) -> float:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ts_ms)
    return float(mdates.date2num(moment))


def _plain(text: str) -> str:
    """Return text that can be drawn on one line: letters the font has, no control marks."""
    drawn = "".join(c if c.isprintable() and ord(c) < 0x2500 else "\u25a1" for c in text)
    return drawn if len(drawn) <= 48 else drawn[:47] + "…"

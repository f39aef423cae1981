"""The demo's picture of the plant in a terminal: one row a machine, what just happened below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from models.modes import POOLED
from plant.times import format_duration, from_iso, to_iso
from vigie.demo.story import Failure, MachineView, Story

_STYLES = {
    "normal": "green",
    "advisory": "yellow",
    "warning": "dark_orange",
    "critical": "bold red",
}
_SHOWN_FAILURES = 6


def picture(story: Story, headline: str, hint: str) -> RenderableType:
    """Return the whole picture: a table of machines, the last failures, how to listen."""
    table = Table(title=headline, title_justify="left", expand=True)
    for name in ("machine", "state", "24 h", "7 d", "likely to fail", "mode", "driven by"):
        table.add_column(
            name, no_wrap=name != "driven by", ratio=2 if name == "driven by" else None
        )
    for asset in sorted(story.machines):
        table.add_row(*_row(asset, story.machines[asset]))
    lines = [_failure_line(failure) for failure in story.failures[-_SHOWN_FAILURES:]]
    alarmed = sum(failure.alarmed_ms is not None for failure in story.failures)
    summary = Text(
        f"{len(story.failures)} failures so far, {alarmed} of them alarmed beforehand;"
        f" {story.readings:,} readings, {story.risk_messages:,} risk messages seen on the broker.",
        style="bold",
    )
    return Group(table, *lines, summary, Text(hint, style="dim"))


def _row(asset: str, view: MachineView) -> tuple[RenderableType, ...]:
    risk = view.risk
    severity = str(risk["severity"])
    state = severity if risk["status"] in {"ok", "deviation_only"} else str(risk["status"])
    bell = " ●" if view.alarm_id else ""
    p_fail = risk["p_fail"] or {}
    return (
        asset,
        Text(state + bell, style=_STYLES.get(severity, "")),
        _percent(p_fail.get("24h")),
        _percent(p_fail.get("168h")),
        _window(risk),
        _mode(risk) if severity != "normal" else "",
        _drivers(risk),
    )


def _percent(p: float | None) -> str:
    return "–" if p is None else f"{p:.0%}"


def _window(risk: Mapping[str, Any]) -> str:
    window = risk["window"]
    if window is None:
        return "not known"
    now = from_iso(risk["ts"])
    ends = [window["p10"], window["p90"]]
    if ends[0] is None:
        return "not in sight"
    low = format_duration(max(from_iso(ends[0]) - now, 0))
    high = format_duration(from_iso(ends[1]) - now) if ends[1] else "beyond"
    return f"in {low} … {high}"


def _mode(risk: Mapping[str, Any]) -> str:
    mode = risk["mode"]
    if mode is None or mode["code"] == POOLED:
        return "not told apart"
    return f"{mode['label']} {mode['p']:.0%}"


def _drivers(risk: Mapping[str, Any]) -> str:
    return ", ".join(f"{d['signal']} {d['direction']}" for d in risk["drivers"][:2])


def _failure_line(failure: Failure) -> Text:
    when = to_iso(failure.failed_ms)[:16].replace("T", " ")
    if failure.alarmed_ms is None:
        return Text(
            f"✗ {when}  {failure.asset} failed ({failure.mode}) without an alarm", style="red"
        )
    lead = format_duration(failure.failed_ms - failure.alarmed_ms)
    said = f"; Vigie had said {failure.said_mode}" if failure.said_mode else ""
    return Text(
        f"✓ {when}  {failure.asset} failed ({failure.mode}), alarmed {lead} before{said}",
        style="green",
    )

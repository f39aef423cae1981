"""How alarms look at a terminal and as JSON lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from plant.times import HOUR_MS, format_duration, to_iso
from serve.messages import alarm_to_message

if TYPE_CHECKING:
    from plant.event import Event
    from serve.alarms.state import Alarm
    from serve.alarms.tune import Trial


def open_alarms(alarms: Sequence[Alarm]) -> Table:
    """Return the open alarms as a table."""
    colours = {"critical": "bold red", "warning": "yellow", "advisory": "cyan"}
    table = Table(
        "id", "machine", "mode", "severity", "state", "raised", "crew", "why", title="Open alarms"
    )
    for alarm in alarms:
        table.add_row(
            alarm.id,
            escape(str(alarm.asset)),
            escape(alarm.label or alarm.mode or "unknown"),
            f"[{colours.get(alarm.severity, 'white')}]{alarm.severity}[/]",
            escape(state_text(alarm)),
            to_iso(alarm.raised_ms),
            escape(alarm.crew or "nobody"),
            escape(alarm.sentence),
        )
    return table


def state_text(alarm: Alarm) -> str:
    """Return an alarm's state with what a person asks next: until when, by whom."""
    if alarm.shown_state == "shelved" and alarm.shelved_until_ms is not None:
        return f"shelved until {to_iso(alarm.shelved_until_ms)}"
    if alarm.state == "acknowledged" and alarm.acknowledged_by:
        return f"{alarm.shown_state} by {alarm.acknowledged_by}"
    return alarm.shown_state


def alarm_row(alarm: Alarm) -> dict[str, Any]:
    """Return an alarm as a JSON line: the fields of the alarm topic, and the machine."""
    return {"asset": str(alarm.asset)} | alarm_to_message(alarm)


def step_row(event: Event) -> dict[str, Any]:
    """Return one entry of the history as a JSON line."""
    return {
        "ts": to_iso(event.ts_ms),
        "alarm": event.key.split(":")[0],
        "asset": str(event.asset),
        "mode": event.mode,
        "action": event.detail.get("action", event.detail.get("verdict", "")),
        "was": event.detail.get("was", ""),
        "state": event.detail.get("alarm", {}).get("state", ""),
        "who": event.who,
        "why": event.note,
    }


def history_table(log: list[Event]) -> Table:
    """Return what happened, in order, as a table."""
    table = Table("time", "alarm", "machine", "mode", "what", "who", "why")
    for event in log:
        row = step_row(event)
        table.add_row(
            *(
                escape(str(row[key]))
                for key in ("ts", "alarm", "asset", "mode", "action", "who", "why")
            )
        )
    return table


def trial_table(trials: list[Trial], chosen: Trial, currency: str) -> Table:
    """Return what each threshold would have done, the chosen one marked."""
    table = Table(
        "threshold", "alarms", "in time", "late", "missed", "false", "lead", "worst week",
        f"cost {currency}", title="What each threshold would have done",
    )  # fmt: skip
    for trial in trials:
        mark = "→ " if trial is chosen else ""
        table.add_row(
            f"{mark}{trial.threshold:.2f}",
            str(trial.alarms),
            str(trial.caught),
            str(trial.late),
            str(trial.missed),
            str(trial.false),
            "" if trial.lead_h is None else format_duration(trial.lead_h * HOUR_MS),
            f"{trial.worst_week:.0%} of budget",
            f"{trial.cost:,.0f}",
            style="bold" if trial is chosen else None,
        )
    return table

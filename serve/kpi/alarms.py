"""What became of each alarm, and which failures were seen coming."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from plant.asset import AssetPath
from plant.event import Event
from plant.times import DAY_MS, HOUR_MS
from serve.kpi.settings import KpiSettings

Outcome = Literal["right", "wrong", "undecided"]


@dataclass(frozen=True, slots=True)
class AlarmStory:
    """One alarm: raised when, what it came to, and why we say so."""

    alarm_id: str
    asset: AssetPath
    mode: str
    raised_ms: int
    outcome: Outcome
    because: str
    prevented: bool = False
    settled_ms: int | None = None


@dataclass(frozen=True, slots=True)
class FailureStory:
    """One failure: hours between the first alarm for it and the failure, None when there was none."""

    asset: AssetPath
    mode: str
    ts_ms: int
    lead_h: float | None


def alarm_stories(events: Sequence[Event], settings: KpiSettings, now_ms: int) -> list[AlarmStory]:
    """Judge each alarm raised in these events (of one machine, in order).

    People's feedback decides where there is some (`other`: rightly raised, another mode). Else: a
    failure, or a repair that found the part degraded or failed, within the horizon makes it right; a
    repair or inspection that found it sound, or a horizon gone by with nothing, makes it wrong;
    otherwise it is undecided.
    """
    said = {str(e.detail.get("alarm_id", "")): e for e in events if e.kind == "feedback"}
    stories = []
    for event in events:
        if event.kind != "alarm" or event.detail.get("action") != "raise":
            continue
        alarm_id = event.key.split(":")[0]
        outcome, because, prevented, settled = _judge(event, events, settings, now_ms)
        verdict = str(said[alarm_id].detail.get("verdict", "")) if alarm_id in said else ""
        if verdict in {"right", "wrong", "other"}:
            outcome = "wrong" if verdict == "wrong" else "right"
            because, prevented = "feedback", prevented and verdict != "wrong"
        stories.append(
            AlarmStory(
                alarm_id, event.asset, event.mode, event.ts_ms, outcome, because, prevented, settled
            )
        )
    return stories


def failure_stories(
    events: Sequence[Event], settings: KpiSettings, start_ms: int, stop_ms: int
) -> list[FailureStory]:
    """Return the failures in [start, stop) with the lead time their first alarm gave.

    The alarm must be raised within the horizon before the failure, after the last repair.
    """
    stories = []
    for event in events:
        if event.kind != "failure" or not start_ms <= event.ts_ms < stop_ms:
            continue
        renewed = max(
            (e.ts_ms for e in events if e.kind == "maintenance" and e.ts_ms < event.ts_ms),
            default=0,
        )
        since = max(renewed, event.ts_ms - round(settings.horizon_d * DAY_MS))
        raised = [
            e.ts_ms
            for e in events
            if e.kind == "alarm"
            and e.detail.get("action") == "raise"
            and since <= e.ts_ms <= event.ts_ms
            and (not e.mode or not event.mode or e.mode == event.mode)
        ]
        lead_h = (event.ts_ms - min(raised)) / HOUR_MS if raised else None
        stories.append(FailureStory(event.asset, event.mode, event.ts_ms, lead_h))
    return stories


def _judge(
    alarm: Event, events: Sequence[Event], settings: KpiSettings, now_ms: int
) -> tuple[Outcome, str, bool, int | None]:
    end_ms = alarm.ts_ms + round(settings.horizon_d * DAY_MS)
    for event in events:
        if not alarm.ts_ms <= event.ts_ms <= min(end_ms, now_ms):
            continue
        about = not event.mode or not alarm.mode or event.mode == alarm.mode
        if event.kind == "failure" and about:
            return "right", "failed", False, event.ts_ms
        if event.kind in {"maintenance", "inspection"} and (about or alarm.mode in event.scope):
            if event.found in {"degraded", "failed"}:
                prevented = event.kind == "maintenance" and event.found == "degraded"
                return "right", f"found {event.found}", prevented, event.ts_ms
            if event.found == "sound":
                return "wrong", "found sound", False, event.ts_ms
            if event.kind == "maintenance":
                return "undecided", "repaired, condition not recorded", False, event.ts_ms
    if now_ms >= end_ms:
        return "wrong", "nothing happened", False, end_ms
    return "undecided", "still open", False, None

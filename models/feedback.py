"""People's word on an alarm, as a label: it says what a repair found where the repair itself does not.

A planner marks an alarm right (the part was degraded), wrong (it was sound) or other (another mode was
degraded). The first repair after the alarm was raised is the one that looked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from plant.event import Event
from plant.times import DAY_MS

#: A repair later than this after the alarm answers another question.
_WITHIN_MS = 45 * DAY_MS


def with_feedback(events: Sequence[Event]) -> list[Event]:
    """Return one machine's log with findings filled in from its feedback; recorded ones stay.

    Of several verdicts on one alarm the last one counts.
    """
    said = {
        str(event.detail.get("alarm_id", "")): event
        for event in sorted(events, key=lambda e: e.ts_ms)
        if event.kind == "feedback" and isinstance(event.detail.get("alarm_raised_ms"), int)
    }
    if not said:
        return list(events)
    found = list(events)
    order = sorted(range(len(found)), key=lambda i: found[i].ts_ms)
    for verdict in said.values():
        raised_ms = int(verdict.detail["alarm_raised_ms"])
        alarm_mode = str(verdict.detail.get("alarm_mode", ""))
        for i in order:
            event = found[i]
            if (
                event.kind != "maintenance"
                or not raised_ms <= event.ts_ms <= raised_ms + _WITHIN_MS
            ):
                continue
            if event.mode and alarm_mode and event.mode not in {alarm_mode, verdict.mode}:
                continue
            if event.found == "unknown" and verdict.found in {"degraded", "sound"}:
                mode = verdict.mode if verdict.found == "degraded" else event.mode
                found[i] = replace(event, found=verdict.found, mode=mode or event.mode)
            break
    return found

"""What became of an alarm, in the words of who was there: right, wrong, or something else was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from plant.config import Plant
from plant.errors import DataError
from plant.event import Event
from serve.alarms.operator import clean_text
from serve.alarms.state import Alarm, alarm_from_dict

Verdict = Literal["right", "wrong", "other"]
VERDICTS: tuple[str, ...] = get_args(Verdict)


def alarms_of(events: Sequence[Event]) -> dict[str, Alarm]:
    """Return every alarm in the log in its last state, by id, in the order they were raised."""
    found: dict[str, Alarm] = {}
    for event in sorted(events, key=lambda e: e.ts_ms):
        if event.kind == "alarm" and event.detail.get("action") != "hold":
            alarm = alarm_from_dict(event.detail["alarm"])
            if alarm.id not in found or alarm.step > found[alarm.id].step:
                found[alarm.id] = alarm
    return found


def find_alarm(alarms: dict[str, Alarm], alarm_id: str) -> Alarm:
    """Return an alarm by its id or a beginning of it. Raises DataError."""
    hits = [alarm for name, alarm in alarms.items() if name.startswith(alarm_id)]
    exact = [alarm for alarm in hits if alarm.id == alarm_id]
    if not alarm_id or len(exact or hits) != 1:
        problem = f"fits {len(hits)} alarms" if len(hits) > 1 and alarm_id else "is not in the log"
        raise DataError(
            f"the alarm {clean_text(alarm_id)[:40]!r} {problem}.", fix="See `vigie alarms history`."
        )
    return (exact or hits)[0]


def feedback_event(
    alarm: Alarm,
    verdict: Verdict,
    ts_ms: int,
    who: str,
    plant: Plant,
    *,
    mode: str = "",
    note: str = "",
) -> Event:
    """Return the entry for the log. Raises DataError when the words do not fit together.

    `mode` is what was really degraded, for `other`. The entry is a label: `found` is what the repair
    after this alarm found, where the repair itself does not say.
    """
    if verdict not in VERDICTS:
        raise DataError(
            f"the verdict {clean_text(verdict)[:20]!r} is not known.",
            fix="Use right, wrong or other.",
        )
    if (verdict == "other") != bool(mode):
        raise DataError(
            "a mode goes with the verdict other, and only with it.",
            fix="Say what was found: --mode CODE.",
        )
    known = plant.kind_spec(alarm.asset).modes
    if mode and known and mode not in known:
        raise DataError(
            f"{clean_text(mode)[:40]!r} is not a failure mode of this kind of machine.",
            fix=f"Use one of {', '.join(sorted(known))}.",
        )
    return Event(
        asset=alarm.asset,
        ts_ms=ts_ms,
        kind="feedback",
        mode=mode or alarm.mode,
        found="sound" if verdict == "wrong" else "degraded",
        note=clean_text(note),
        who=clean_text(who),
        key=alarm.id,
        detail={
            "alarm_id": alarm.id,
            "verdict": verdict,
            "alarm_mode": alarm.mode,
            "alarm_raised_ms": alarm.raised_ms,
        },
        simulated=alarm.simulated,
        run_id=alarm.run_id,
    )

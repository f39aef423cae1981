"""What a person does to an alarm: acknowledge, shelve, unshelve. Pure; the same from MQTT, CLI and web."""

from __future__ import annotations

from dataclasses import replace

from plant.errors import DataError
from plant.times import HOUR_MS, format_duration, to_iso
from serve.alarms.rules import Rules
from serve.alarms.state import Alarm, AssetAlarms, Transition, make_step

MAX_TEXT = 200


def clean_text(text: str) -> str:
    """Return what a person wrote as one line of printable text, at most 200 characters."""
    kept = "".join(c if c.isprintable() else " " for c in text[: 4 * MAX_TEXT])
    return " ".join(kept.split())[:MAX_TEXT]


def acknowledge(
    state: AssetAlarms, alarm_id: str, ts_ms: int, who: str, why: str
) -> tuple[AssetAlarms, Transition | None]:
    """Somebody has seen it. Twice is harmless; one that had returned to normal closes."""
    alarm = _open(state, alarm_id)
    if alarm.state == "acknowledged":
        return state, None
    closed = alarm.state == "returned"
    after = replace(
        alarm,
        state="closed" if closed else "acknowledged",
        acknowledged_ms=ts_ms,
        acknowledged_by=clean_text(who),
    )
    after, step = make_step(after, "acknowledge", alarm, ts_ms, clean_text(who), clean_text(why))
    return _with(state, alarm, None if closed else after), step


def shelve(
    state: AssetAlarms, alarm_id: str, until_ms: int, ts_ms: int, who: str, why: str, rules: Rules
) -> tuple[AssetAlarms, Transition | None]:
    """Put it aside until a moment that must come. Raises DataError when that is not sensible."""
    alarm = _open(state, alarm_id)
    longest_ms = round(rules.settings.alarms.max_shelve_h * HOUR_MS)
    if not ts_ms < until_ms <= ts_ms + longest_ms:
        raise DataError(
            f"an alarm cannot be shelved until {_moment(until_ms)}.",
            fix=f"Choose an end within {format_duration(longest_ms)} from now.",
        )
    if alarm.shelved_until_ms == until_ms:
        return state, None
    after = replace(
        alarm,
        shelved_until_ms=until_ms,
        shelved_by=clean_text(who),
        shelve_reason=clean_text(why),
    )
    after, step = make_step(after, "shelve", alarm, ts_ms, clean_text(who), clean_text(why))
    return _with(state, alarm, after), step


def unshelve(
    state: AssetAlarms, alarm_id: str, ts_ms: int, who: str, why: str
) -> tuple[AssetAlarms, Transition | None]:
    """Take it back before its time; one that is not shelved stays as it is."""
    alarm = _open(state, alarm_id)
    if alarm.shelved_until_ms is None:
        return state, None
    after = replace(alarm, shelved_until_ms=None, shelved_by="", shelve_reason="")
    after, step = make_step(after, "unshelve", alarm, ts_ms, clean_text(who), clean_text(why))
    return _with(state, alarm, after), step


def _open(state: AssetAlarms, alarm_id: str) -> Alarm:
    for alarm in state.alarms:
        if alarm.id == alarm_id:
            return alarm
    raise DataError(
        f"there is no open alarm {clean_text(alarm_id)!r} on {state.asset}.",
        fix="See `vigie alarms list`.",
    )


def _with(state: AssetAlarms, before: Alarm, after: Alarm | None) -> AssetAlarms:
    kept = (after if alarm is before else alarm for alarm in state.alarms)
    return replace(state, alarms=tuple(alarm for alarm in kept if alarm is not None))


def _moment(ts_ms: int) -> str:
    try:
        return to_iso(ts_ms)
    except OverflowError:
        return f"{ts_ms} ms"

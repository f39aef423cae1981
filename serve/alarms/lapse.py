"""What happens to alarms without an assessment: time passes, work begins and ends, data fail. Pure."""

from __future__ import annotations

from dataclasses import replace

from serve.alarms.rules import Rules
from serve.alarms.state import OURSELVES, Alarm, AssetAlarms, Transition, make_step


def elapse(
    state: AssetAlarms, now_ms: int, rules: Rules
) -> tuple[AssetAlarms, tuple[Transition, ...]]:
    """Let time pass without an assessment: shelving ends, old returned alarms close."""
    steps: list[Transition] = []
    kept: list[Alarm] = []
    for alarm in state.alarms:
        after = alarm
        if after.shelved_until_ms is not None and after.shelved_until_ms <= now_ms:
            after = unshelved(after)
            after, step = make_step(after, "unshelve", alarm, now_ms, OURSELVES, "its time is over")
            steps.append(step)
        if after.returned_ms is not None and now_ms - after.returned_ms >= rules.close_returned_ms:
            before, after = after, replace(after, state="closed")
            after, step = make_step(
                after, "close", before, now_ms, OURSELVES, "nobody acknowledged it"
            )
            steps.append(step)
        else:
            kept.append(after)
    if not steps:
        return state, ()
    return replace(state, alarms=tuple(kept)), tuple(steps)


def renew(
    state: AssetAlarms, modes: tuple[str, ...], ended_ms: int, now_ms: int, why: str
) -> tuple[AssetAlarms, tuple[Transition, ...]]:
    """Close the alarms that a repair has answered (`modes` empty: the whole asset).

    `ended_ms` is when the repair was done, `now_ms` when we heard of it.
    """
    steps: list[Transition] = []
    kept: list[Alarm] = []
    for alarm in state.alarms:
        if alarm.raised_ms < ended_ms and (not modes or alarm.mode in modes or not alarm.mode):
            after = replace(alarm, state="closed", suppressed=False)
            steps.append(make_step(after, "close", alarm, now_ms, OURSELVES, why)[1])
        else:
            kept.append(alarm)
    if not steps:
        return state, ()
    return replace(state, pending=None, other_mode=None, alarms=tuple(kept)), tuple(steps)


def suppress(state: AssetAlarms, ts_ms: int) -> tuple[AssetAlarms, tuple[Transition, ...]]:
    """Work on the machine began: its open alarms fall silent."""
    if state.suppressed:
        return state, ()
    pairs = [
        make_step(
            replace(alarm, suppressed=True),
            "suppress",
            alarm,
            ts_ms,
            OURSELVES,
            "maintenance began",
        )
        for alarm in state.alarms
    ]
    alarms = tuple(alarm for alarm, _ in pairs)
    return replace(state, suppressed=True, alarms=alarms), tuple(step for _, step in pairs)


def unsuppress(state: AssetAlarms, ts_ms: int) -> tuple[AssetAlarms, tuple[Transition, ...]]:
    """Work on the machine ended: what is still open is heard again."""
    pairs = [
        make_step(
            replace(alarm, suppressed=False),
            "unsuppress",
            alarm,
            ts_ms,
            OURSELVES,
            "maintenance ended",
        )
        for alarm in state.alarms
    ]
    alarms = tuple(alarm for alarm, _ in pairs)
    return replace(state, suppressed=False, alarms=alarms), tuple(step for _, step in pairs)


def interrupted(state: AssetAlarms) -> AssetAlarms:
    """Start every delay anew: what was not observed did not hold."""
    if state.pending is None and state.other_mode is None and not state.alarms:
        return state
    alarms = tuple(
        replace(alarm, calm_since_ms=None, rising_since_ms=None) for alarm in state.alarms
    )
    return replace(state, pending=None, other_mode=None, alarms=alarms)


def unshelved(alarm: Alarm) -> Alarm:
    """Return the alarm off its shelf."""
    return replace(alarm, shelved_until_ms=None, shelved_by="", shelve_reason="")

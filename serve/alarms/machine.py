"""The life of an alarm, after ISA-18.2 (ANSI/ISA-18.2-2016, alarm state transition diagram). Pure.

A condition that holds for the on-delay *wishes* for an alarm; the desk grants or holds it within the
crew's budget. An open alarm escalates after its delay, returns to normal after the off-delay, is
acknowledged, shelved and suppressed; there is one open alarm per asset and mode. Silence and bad
data neither raise nor clear anything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from plant.asset import AssetPath
from plant.risk import Risk, Severity
from plant.times import DAY_MS, HOUR_MS
from serve.alarms.lapse import elapse, interrupted, suppress, unshelved, unsuppress
from serve.alarms.rules import Rules
from serve.alarms.state import (
    OURSELVES,
    Alarm,
    AssetAlarms,
    Pending,
    Transition,
    alarm_id,
    make_step,
)
from serve.severity import grade_risk, p_within, rank

#: A second mode gets an alarm of its own only when it explains at least half of the risk.
_DOMINANT = 0.5
#: A condition that has held this long is as credible as it gets; noise does not last.
_CREDIBLE_MS = 24 * HOUR_MS
_SAY_HELD_MS = 7 * DAY_MS


@dataclass(frozen=True, slots=True)
class Wish:
    """A condition that is due to become an alarm.

    `clear`: it has held for long, well above the threshold; noise does not. `loss` ranks it: what
    ignoring it is expected to cost, less while it has not held for long.
    """

    asset: AssetPath
    mode: str
    severity: Severity
    crew: str
    p: float | None
    clear: bool
    loss: float
    risk: Risk


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an observation did to one asset."""

    state: AssetAlarms
    transitions: tuple[Transition, ...] = ()
    wish: Wish | None = None


def observe(state: AssetAlarms, risk: Risk, rules: Rules) -> Outcome:
    """Take one assessment. One that is not newer than the last changes nothing: repeats are harmless."""
    ts = risk.ts_ms
    if ts <= state.last_ms:
        return Outcome(state)
    severity = grade_risk(risk, rules.settings.severity, rules.kind(risk.asset))
    if _is_quiet(state, risk, severity, rules):
        return Outcome(AssetAlarms(state.asset, ts, held_ms=state.held_ms))
    if state.last_ms and ts - state.last_ms > rules.gap_ms:
        state = interrupted(state)
    state, steps = elapse(replace(state, last_ms=ts), ts, rules)
    if risk.status == "maintenance":
        state, more = suppress(state, ts)
        return Outcome(interrupted(state), (*steps, *more))
    if state.suppressed:
        state, more = unsuppress(state, ts)
        steps = (*steps, *more)
    if severity is None:
        return Outcome(interrupted(state), steps)
    kept: list[Alarm] = []
    for alarm in state.alarms:
        after, step = _follow(alarm, risk, severity, rules)
        if step is not None:
            steps = (*steps, step)
        if after.state != "closed":
            kept.append(after)
    state = replace(state, alarms=tuple(kept))
    state, wish = _wish(state, risk, severity, rules)
    return Outcome(state, steps, wish)


def grant(state: AssetAlarms, wish: Wish) -> tuple[AssetAlarms, Transition]:
    """Raise the alarm that was wished for; one that had returned unacknowledged comes back as itself."""
    ts, why = wish.risk.ts_ms, wish.risk.sentence
    before = next((alarm for alarm in state.alarms if alarm.mode == wish.mode), None)
    alarm = _wished(wish, ts)
    if before is None:
        step = Transition("raise", alarm, "normal", ts, OURSELVES, why)
    else:
        alarm = replace(alarm, id=before.id, raised_ms=before.raised_ms)
        alarm, step = make_step(alarm, "reraise", before, ts, OURSELVES, why)
    others = tuple(other for other in state.alarms if other.mode != wish.mode)
    return replace(state, pending=None, other_mode=None, alarms=(*others, alarm)), step


def hold(state: AssetAlarms, wish: Wish, why: str) -> tuple[AssetAlarms, Transition | None]:
    """Keep a due condition waiting because the crew's budget is spent; said once a week at most."""
    ts = wish.risk.ts_ms
    if state.held_ms and ts - state.held_ms < _SAY_HELD_MS:
        return state, None
    held = replace(_wished(wish, ts), state="held")
    return replace(state, held_ms=ts), Transition("hold", held, "normal", ts, OURSELVES, why)


def _is_quiet(state: AssetAlarms, risk: Risk, severity: Severity | None, rules: Rules) -> bool:
    """Tell whether there is nothing to remember and nothing new: so it is nearly always."""
    return (
        not state.alarms
        and not state.suppressed
        and risk.status != "maintenance"
        and (severity is None or rank(severity) < rank(rules.settings.alarms.raise_from))
    )


def _follow(
    alarm: Alarm, risk: Risk, severity: Severity, rules: Rules
) -> tuple[Alarm, Transition | None]:
    """Escalate or return an open alarm. `severity` is the risk's without any hysteresis."""
    if not alarm.is_active:
        return alarm, None
    ts = risk.ts_ms
    kind = rules.kind(risk.asset)
    held = grade_risk(risk, rules.settings.severity, kind, alarm.severity) or "normal"
    if rank(held) < rank(rules.settings.alarms.raise_from):
        since = alarm.calm_since_ms if alarm.calm_since_ms is not None else ts
        alarm = replace(alarm, calm_since_ms=since, rising_since_ms=None)
        if ts - since < rules.off_delay_ms:
            return alarm, None
        seen = alarm.state == "acknowledged" or alarm.shelved_until_ms is not None
        after = replace(
            _told(alarm, risk, rules), state="closed" if seen else "returned", returned_ms=ts
        )
        return make_step(after, "return", alarm, ts, OURSELVES, risk.sentence)
    alarm = replace(alarm, calm_since_ms=None)
    if rank(severity) <= rank(alarm.severity):
        return replace(alarm, rising_since_ms=None), None
    since = alarm.rising_since_ms if alarm.rising_since_ms is not None else ts
    if ts - since < rules.on_delay_ms(critical=severity == "critical"):
        return replace(alarm, rising_since_ms=since), None
    after = replace(
        _told(unshelved(alarm), risk, rules),
        state="unacknowledged",
        severity=severity,
        acknowledged_ms=None,
        acknowledged_by="",
        rising_since_ms=None,
    )
    return make_step(after, "escalate", alarm, ts, OURSELVES, risk.sentence)


def _wish(
    state: AssetAlarms, risk: Risk, severity: Severity, rules: Rules
) -> tuple[AssetAlarms, Wish | None]:
    """Run the on-delays.

    Without an open alarm they belong to the asset, so that a mode that changes from row to row
    cannot keep an alarm from being raised.
    """
    ts = risk.ts_ms
    mode = risk.mode.code if risk.mode is not None else ""
    p = _p(risk, rules)
    due = rank(severity) >= rank(rules.settings.alarms.raise_from)
    active = {alarm.mode for alarm in state.alarms if alarm.is_active}
    delay = rules.on_delay_ms(critical=severity == "critical")
    if not active:
        waiting = _waited(state.pending, ts, mode, p)
        state = replace(state, pending=waiting if due else None, other_mode=None)
    else:
        due = due and mode not in active and risk.mode is not None and risk.mode.p >= _DOMINANT
        delay = max(delay, rules.mode_change_ms)
        other = state.other_mode
        waiting = _waited(other if other is not None and other.mode == mode else None, ts, mode, p)
        state = replace(state, pending=None, other_mode=waiting if due else None)
    if not due or ts - waiting.since_ms < delay:
        return state, None
    mean = waiting.p_sum / waiting.rows
    held_ms = ts - waiting.since_ms
    wish = Wish(
        asset=risk.asset,
        mode=mode,
        severity=severity,
        crew=rules.crew(risk.asset, mode),
        p=p,
        clear=rules.is_clear(risk.asset, mean) and held_ms >= _CREDIBLE_MS,
        loss=mean * rules.loss(risk.asset, mode) * min(1.0, (held_ms + 1) / _CREDIBLE_MS),
        risk=risk,
    )
    return state, wish


def _waited(before: Pending | None, ts_ms: int, mode: str, p: float | None) -> Pending:
    """Return a waiting condition after one more assessment."""
    before = before or Pending(ts_ms, mode)
    return Pending(before.since_ms, mode, before.rows + 1, before.p_sum + (p or 0.0))


def _wished(wish: Wish, ts_ms: int) -> Alarm:
    risk = wish.risk
    return Alarm(
        id=alarm_id(wish.asset, wish.mode, ts_ms),
        asset=wish.asset,
        mode=wish.mode,
        label=risk.mode.label if risk.mode is not None else "",
        crew=wish.crew,
        state="unacknowledged",
        severity=wish.severity,
        raised_ms=ts_ms,
        changed_ms=ts_ms,
        p=wish.p,
        sentence=risk.sentence,
        simulated=risk.simulated,
        run_id=risk.run_id,
    )


def _told(alarm: Alarm, risk: Risk, rules: Rules) -> Alarm:
    return replace(alarm, p=_p(risk, rules), sentence=risk.sentence)


def _p(risk: Risk, rules: Rules) -> float | None:
    return None if risk.p_fail is None else p_within(risk, rules.settings.severity.horizon_h)

"""What an alarm is. Values only; `machine` moves them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from plant.asset import AssetPath
from plant.event import Event
from plant.risk import Severity

#: unacknowledged and acknowledged: the condition holds. returned: it is over, but nobody has
#: acknowledged it. closed: over and done with, only history. held: it was due, but the budget was spent.
AlarmState = Literal["unacknowledged", "acknowledged", "returned", "closed", "held"]
Action = Literal[
    "raise", "reraise", "escalate", "acknowledge", "shelve", "unshelve", "suppress", "unsuppress",
    "return", "close", "hold",
]  # fmt: skip
OURSELVES = "vigie"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm of one asset and mode. `severity` is the highest it has had; times in epoch ms.

    `step` counts its transitions: the log is read in their order, whatever the clocks said.

    `p` (probability within the alarm horizon) and `sentence` are those of its last transition.
    `calm_since_ms` and `rising_since_ms` are running off- and escalation delays.
    """

    id: str
    asset: AssetPath
    mode: str
    label: str
    crew: str
    state: AlarmState
    severity: Severity
    raised_ms: int
    changed_ms: int
    p: float | None = None
    sentence: str = ""
    acknowledged_ms: int | None = None
    acknowledged_by: str = ""
    returned_ms: int | None = None
    shelved_until_ms: int | None = None
    shelved_by: str = ""
    shelve_reason: str = ""
    suppressed: bool = False
    step: int = 0
    calm_since_ms: int | None = None
    rising_since_ms: int | None = None
    simulated: bool = False
    run_id: str = ""

    @property
    def is_active(self) -> bool:
        """Tell whether the condition still holds."""
        return self.state in {"unacknowledged", "acknowledged"}

    @property
    def shown_state(self) -> str:
        """Return the state a person sees: shelved and suppressed lie over the others."""
        if self.suppressed:
            return "suppressed"
        return "shelved" if self.shelved_until_ms is not None else self.state


_ALARM_FIELDS = tuple(field.name for field in fields(Alarm))


@dataclass(frozen=True, slots=True)
class Pending:
    """A condition waiting out its delay; `rows` assessments so far, `p_sum` of their probabilities."""

    since_ms: int
    mode: str
    rows: int = 0
    p_sum: float = 0.0


@dataclass(frozen=True, slots=True)
class AssetAlarms:
    """Everything remembered about one asset.

    `last_ms` is its newest observation, `held_ms` when it was last said that a condition is held
    back by the crew's budget.
    """

    asset: AssetPath
    last_ms: int = 0
    suppressed: bool = False
    held_ms: int = 0
    pending: Pending | None = None
    other_mode: Pending | None = None
    alarms: tuple[Alarm, ...] = ()


@dataclass(frozen=True, slots=True)
class Transition:
    """One step of one alarm: who did what, when and why. `alarm` is the alarm afterwards."""

    action: Action
    alarm: Alarm
    was: str
    ts_ms: int
    who: str
    why: str

    def event(self) -> Event:
        """Return the entry for the log. The same transition always gives the same key."""
        return Event(
            asset=self.alarm.asset,
            ts_ms=self.ts_ms,
            kind="alarm",
            mode=self.alarm.mode,
            note=self.why,
            who=self.who,
            key=f"{self.alarm.id}:{self.action}:{self.alarm.step}",
            detail={"action": self.action, "was": self.was, "alarm": alarm_to_dict(self.alarm)},
            simulated=self.alarm.simulated,
            run_id=self.alarm.run_id,
        )


def make_step(
    after: Alarm, action: Action, before: Alarm, ts_ms: int, who: str, why: str
) -> tuple[Alarm, Transition]:
    """Return the changed alarm with its moment, and the transition that led to it.

    A transition is never earlier than the one before, though people act now and assessments speak
    of some minutes ago.
    """
    moment = max(ts_ms, before.changed_ms)
    after = replace(after, changed_ms=moment, step=before.step + 1)
    return after, Transition(action, after, before.shown_state, moment, who, why)


def alarm_id(asset: AssetPath, mode: str, raised_ms: int) -> str:
    """Return the id of an alarm; the same alarm gets the same id after any restart."""
    text = f"{asset}\n{mode}\n{raised_ms}".encode()
    return "A" + hashlib.blake2b(text, digest_size=6).hexdigest()


def gravest(alarms: Iterable[Alarm]) -> Alarm | None:
    """Return the alarm to show for an asset: active before returned, then the most severe, the oldest."""
    order = {"critical": 0, "warning": 1, "advisory": 2, "normal": 3}
    return min(
        alarms,
        key=lambda alarm: (not alarm.is_active, order[alarm.severity], alarm.raised_ms, alarm.id),
        default=None,
    )


def alarm_to_dict(alarm: Alarm) -> dict[str, Any]:
    """Write an alarm as JSON-able values."""
    found = {name: getattr(alarm, name) for name in _ALARM_FIELDS}
    found["asset"] = str(alarm.asset)
    return found


def alarm_from_dict(found: Mapping[str, Any]) -> Alarm:
    """Read what `alarm_to_dict` wrote."""
    return Alarm(**{**found, "asset": AssetPath.parse(found["asset"])})


def state_to_dict(state: AssetAlarms) -> dict[str, Any]:
    """Write an asset's alarms without `asset` and `last_ms`, which are kept beside it."""
    return {
        "suppressed": state.suppressed,
        "held_ms": state.held_ms,
        "pending": asdict(state.pending) if state.pending is not None else None,
        "other_mode": asdict(state.other_mode) if state.other_mode is not None else None,
        "alarms": [alarm_to_dict(alarm) for alarm in state.alarms],
    }


def state_from_dict(asset: AssetPath, last_ms: int, found: Mapping[str, Any]) -> AssetAlarms:
    """Read what `state_to_dict` wrote."""
    pending, other = found["pending"], found["other_mode"]
    return AssetAlarms(
        asset=asset,
        last_ms=last_ms,
        suppressed=found["suppressed"],
        held_ms=found["held_ms"],
        pending=Pending(**pending) if pending is not None else None,
        other_mode=Pending(**other) if other is not None else None,
        alarms=tuple(alarm_from_dict(alarm) for alarm in found["alarms"]),
    )

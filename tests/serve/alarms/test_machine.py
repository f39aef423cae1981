"""The life of an alarm: each rule by example, and what always holds whatever happens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant.errors import DataError
from plant.times import HOUR_MS, MINUTE_MS
from serve.alarms import lapse, machine, operator
from serve.alarms.feedback import alarms_of
from serve.alarms.rules import Rules, crew_for
from serve.alarms.state import (
    AssetAlarms,
    Transition,
    alarm_from_dict,
    alarm_to_dict,
    state_from_dict,
    state_to_dict,
)
from serve.settings import ServeSettings
from tests.serve.examples import PLANT, PUMP, T0, risk_at

RULES = Rules(PLANT, ServeSettings())
STEP = 10 * MINUTE_MS
Row = tuple[float | None, str]


class Life:
    """One asset's alarms: feed it rows every ten minutes, read the transitions."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.rules = rules
        self.state = AssetAlarms(PUMP)
        self.log: list[Transition] = []
        self.now = T0
        self.budget = True

    def feed(self, p: float | None, times: int = 1, **more: Any) -> list[Transition]:
        """Observe the same probability several times; return what happened."""
        start = len(self.log)
        for _ in range(times):
            self.now += STEP
            status = more.get("status", "ok") if p is None else "ok"
            self.see(risk_at(self.now, p, **(more | {"status": status})))
        return self.log[start:]

    def see(self, risk: Any) -> None:
        outcome = machine.observe(self.state, risk, self.rules)
        self.state = outcome.state
        self.log += outcome.transitions
        if outcome.wish is not None:
            if self.budget:
                self.state, step = machine.grant(self.state, outcome.wish)
            else:
                self.state, held = machine.hold(self.state, outcome.wish, "budget")
                if held is None:
                    return
                step = held
            self.log.append(step)

    @property
    def actions(self) -> list[str]:
        return [step.action for step in self.log]


def test_an_alarm_waits_for_its_on_delay() -> None:
    life = Life()
    assert life.feed(0.5, 3) == []
    (step,) = life.feed(0.5)
    assert (step.action, step.alarm.severity, step.alarm.mode) == ("raise", "warning", "BRD")
    assert step.alarm.crew == "lyon-mech"
    assert step.alarm.p == 0.5
    assert step.why == "p72 0.5"
    assert life.feed(0.5, 50) == []


def test_a_blip_raises_nothing_and_begins_anew() -> None:
    life = Life()
    for _ in range(20):
        assert life.feed(0.5, 3) == []
        assert life.feed(0.3) == []


def test_a_critical_condition_does_not_wait() -> None:
    life = Life()
    (step,) = life.feed(0.8)
    assert step.alarm.severity == "critical"
    soon = Life()
    (step,) = soon.feed(0.2, p50_h=10.0)
    assert step.alarm.severity == "critical"


def test_an_advisory_is_no_alarm_unless_asked_for() -> None:
    assert Life().feed(0.3, 50) == []
    asked = ServeSettings.model_validate({"alarms": {"raise_from": "advisory"}})
    (step,) = Life(Rules(PLANT, asked)).feed(0.3, 20)
    assert step.alarm.severity == "advisory"


def test_hysteresis_and_off_delay_keep_it_until_it_is_really_over() -> None:
    life = Life()
    life.feed(0.5, 4)
    assert life.feed(0.29, 50) == []  # above 0.35 less a fifth
    assert life.feed(0.1, 12) == []
    (step,) = life.feed(0.1)
    assert (step.action, step.alarm.state) == ("return", "returned")
    assert life.feed(0.1, 50) == []


def test_an_acknowledged_alarm_closes_when_it_returns() -> None:
    life = Life()
    (raised,) = life.feed(0.5, 4)
    life.state, step = operator.acknowledge(life.state, raised.alarm.id, life.now, "Ada", "on it")
    assert step is not None
    assert (step.alarm.state, step.who, step.why) == ("acknowledged", "Ada", "on it")
    again, nothing = operator.acknowledge(life.state, raised.alarm.id, life.now, "Bob", "")
    assert nothing is None
    assert again is life.state
    (back,) = life.feed(0.1, 13)
    assert (back.action, back.was, back.alarm.state) == ("return", "acknowledged", "closed")
    assert life.state.alarms == ()


def test_a_returned_alarm_comes_back_as_itself() -> None:
    life = Life()
    (raised,) = life.feed(0.5, 4)
    life.feed(0.1, 13)
    (again,) = life.feed(0.5, 4)
    assert (again.action, again.alarm.id) == ("reraise", raised.alarm.id)
    assert again.alarm.raised_ms == raised.alarm.raised_ms
    assert len(life.state.alarms) == 1


def test_a_returned_alarm_that_nobody_sees_closes_in_the_end() -> None:
    life = Life()
    life.feed(0.5, 4)
    life.feed(0.1, 13)
    state, steps = lapse.elapse(life.state, life.now + 71 * HOUR_MS, RULES)
    assert steps == ()
    state, (step,) = lapse.elapse(life.state, life.now + 73 * HOUR_MS, RULES)
    assert (step.action, step.why) == ("close", "nobody acknowledged it")
    assert state.alarms == ()


def test_acknowledging_a_returned_alarm_closes_it() -> None:
    life = Life()
    (raised,) = life.feed(0.5, 4)
    life.feed(0.1, 13)
    state, step = operator.acknowledge(life.state, raised.alarm.id, life.now, "Ada", "")
    assert step is not None
    assert step.alarm.state == "closed"
    assert state.alarms == ()


def test_escalation_asks_for_attention_again() -> None:
    life = Life()
    (raised,) = life.feed(0.5, 4)
    life.state, _ = operator.acknowledge(life.state, raised.alarm.id, life.now, "Ada", "")
    life.state, _ = operator.shelve(
        life.state, raised.alarm.id, life.now + HOUR_MS, life.now, "Ada", "", RULES
    )
    (step,) = life.feed(0.8)
    assert (step.action, step.was) == ("escalate", "shelved")
    assert (step.alarm.severity, step.alarm.state) == ("critical", "unacknowledged")
    assert step.alarm.shelved_until_ms is None
    assert life.feed(0.5, 20) == []  # it does not become milder while it is open
    assert life.state.alarms[0].severity == "critical"


def test_shelving_has_an_end() -> None:
    life = Life()
    (raised,) = life.feed(0.5, 4)
    until = life.now + 2 * HOUR_MS
    life.state, step = operator.shelve(
        life.state, raised.alarm.id, until, life.now, "Ada", "waiting for a part", RULES
    )
    assert step is not None
    assert step.alarm.shown_state == "shelved"
    assert life.feed(0.5, 11) == []
    (ended,) = life.feed(0.5)
    assert (ended.action, ended.who, ended.alarm.shown_state) == (
        "unshelve", "vigie", "unacknowledged",
    )  # fmt: skip
    for bad in (life.now, life.now - 1, life.now + 169 * HOUR_MS, 1 << 60):
        with pytest.raises(DataError, match="cannot be shelved"):
            operator.shelve(life.state, raised.alarm.id, bad, life.now, "Ada", "", RULES)
    life.state, _ = operator.shelve(
        life.state, raised.alarm.id, life.now + HOUR_MS, life.now, "Ada", "", RULES
    )
    life.state, step = operator.unshelve(life.state, raised.alarm.id, life.now, "Ada", "")
    assert step is not None
    assert operator.unshelve(life.state, raised.alarm.id, life.now, "Ada", "")[1] is None


def test_a_shelved_alarm_that_returns_is_over() -> None:
    life = Life()
    (raised,) = life.feed(0.5, 4)
    life.state, _ = operator.shelve(
        life.state, raised.alarm.id, life.now + 99 * HOUR_MS, life.now, "A", "", RULES
    )
    (step,) = life.feed(0.1, 13)
    assert step.alarm.state == "closed"


def test_maintenance_suppresses_and_a_repair_closes() -> None:
    life = Life()
    (raised,) = life.feed(0.5, 4)
    (step,) = life.feed(None, 3, status="maintenance")
    assert (step.action, step.alarm.shown_state) == ("suppress", "suppressed")
    (step,) = life.feed(0.5)
    assert (step.action, step.alarm.shown_state) == ("unsuppress", "unacknowledged")
    other, none = lapse.renew(life.state, ("SEAL",), life.now, life.now, "repaired")
    assert none == ()
    assert other is life.state
    state, (closed,) = lapse.renew(life.state, ("BRD",), life.now, life.now, "repaired")
    assert (closed.action, closed.alarm.id, state.alarms) == ("close", raised.alarm.id, ())
    state, (closed,) = lapse.renew(life.state, (), life.now, life.now, "repaired")
    assert state.alarms == ()
    _, none = lapse.renew(life.state, (), raised.alarm.raised_ms, life.now, "repaired")
    assert none == ()


def test_nothing_is_raised_during_maintenance() -> None:
    life = Life()
    life.feed(0.5, 3)
    assert life.feed(None, 1, status="maintenance") == []
    assert life.feed(0.5, 3) == []
    assert [step.action for step in life.feed(0.5)] == ["raise"]


@pytest.mark.parametrize("status", ["stale", "sensor_fault", "insufficient_data"])
def test_bad_data_neither_raises_nor_clears(status: str) -> None:
    life = Life()
    life.feed(0.5, 3)
    assert life.feed(None, 5, status=status) == []
    assert life.feed(0.5, 3) == []  # the delay began anew
    assert len(life.feed(0.5)) == 1
    life.feed(0.1, 12)
    assert life.feed(None, 200, status=status) == []
    assert life.feed(0.1, 12) == []
    assert [step.action for step in life.feed(0.1)] == ["return"]


def test_a_long_gap_interrupts_a_delay() -> None:
    life = Life()
    life.feed(0.5)
    life.now += 7 * HOUR_MS
    assert life.feed(0.5) == []
    assert len(life.feed(0.5, 3)) == 1


def test_a_flapping_mode_raises_one_alarm() -> None:
    life = Life()
    for _ in range(100):
        life.feed(0.5, 1, mode="BRD")
        life.feed(0.5, 1, mode="SEAL")
    assert life.actions == ["raise"]


def test_a_second_mode_that_stays_gets_its_own_alarm() -> None:
    life = Life()
    life.feed(0.5, 4, mode="BRD")
    assert life.feed(0.5, 72, mode="SEAL") == []
    (step,) = life.feed(0.5, 1, mode="SEAL")
    assert (step.action, step.alarm.mode) == ("raise", "SEAL")
    assert {alarm.mode for alarm in life.state.alarms} == {"BRD", "SEAL"}
    assert life.feed(0.5, 200, mode="BRD") == []
    assert life.feed(0.5, 200, mode="SEAL") == []


def test_an_uncertain_second_mode_gets_none() -> None:
    life = Life()
    life.feed(0.5, 4, mode="BRD")
    assert life.feed(0.5, 500, mode="SEAL", mode_p=0.4) == []


def test_a_held_condition_is_said_once_and_raised_when_there_is_room() -> None:
    life = Life()
    life.budget = False
    (held,) = life.feed(0.5, 30)
    assert (held.action, held.alarm.state, held.why) == ("hold", "held", "budget")
    assert life.state.alarms == ()
    life.budget = True
    assert [step.action for step in life.feed(0.5)] == ["raise"]


def test_repeats_and_old_observations_change_nothing() -> None:
    life = Life()
    life.feed(0.5, 4)
    state = life.state
    for age in (0, STEP, 50 * STEP):
        for p in (0.01, 0.99):
            outcome = machine.observe(state, risk_at(life.now - age, p), RULES)
            assert outcome.state is state
            assert (outcome.transitions, outcome.wish) == ((), None)


def test_an_unknown_alarm_is_one_sentence() -> None:
    with pytest.raises(DataError, match="no open alarm 'Axyz'"):
        operator.acknowledge(AssetAlarms(PUMP), "Axyz", T0, "Ada", "")


def test_the_crew_with_the_skill_comes_first() -> None:
    mechanic, fitter = (
        PLANT.crews[0],
        PLANT.crews[0].model_copy(update={"name": "fitters", "skills": ("fitter",), "site": None}),
    )
    plant = PLANT.model_copy(update={"crews": (mechanic, fitter)})
    assert crew_for(plant, PUMP, "SEAL") == fitter
    assert crew_for(plant, PUMP, "BRD") == mechanic
    assert crew_for(plant, PUMP, "") == mechanic
    assert crew_for(plant, replace(PUMP, site="paris"), "BRD") == fitter
    assert crew_for(plant.model_copy(update={"crews": ()}), PUMP, "BRD") is None
    assert Rules(plant.model_copy(update={"crews": ()}), ServeSettings()).crew(PUMP, "BRD") == ""


rows = st.tuples(
    st.one_of(
        st.floats(0, 1).map(lambda p: ("ok", p)),
        st.sampled_from([("maintenance", None), ("stale", None), ("sensor_fault", None)]),
    ),
    st.sampled_from(["BRD", "SEAL", ""]),
    st.sampled_from([STEP, STEP, HOUR_MS, 8 * HOUR_MS, 0]),
    st.sampled_from(["", "", "", "ack", "shelve", "unshelve"]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(rows, max_size=60), st.booleans())
def test_whatever_happens(found: list[Any], budget: bool) -> None:
    life = Life()
    life.budget = budget
    for (status, p), mode, gap, action in found:
        life.now += gap
        life.see(risk_at(life.now, p, mode=mode, status=status))
        if action and life.state.alarms:
            first = life.state.alarms[0].id
            if action == "ack":
                life.state, step = operator.acknowledge(life.state, first, life.now, "A", "")
            elif action == "shelve":
                until = life.now + HOUR_MS
                life.state, step = operator.shelve(
                    life.state, first, until, life.now, "A", "", RULES
                )
            else:
                life.state, step = operator.unshelve(life.state, first, life.now, "A", "")
            life.log += [] if step is None else [step]
        # one open alarm per mode, and what is open was raised and not closed
        modes = [alarm.mode for alarm in life.state.alarms]
        assert len(modes) == len(set(modes))
        last = {step.alarm.id: step.alarm for step in life.log if step.action != "hold"}
        open_ids = {alarm.id for alarm in life.state.alarms}
        assert open_ids == {name for name, alarm in last.items() if alarm.state != "closed"}
        # the state survives being written down
        body = state_to_dict(life.state)
        assert state_from_dict(PUMP, life.state.last_ms, body) == life.state
    events = [step.event() for step in life.log]
    keys = [(event.ts_ms, event.mode, event.key) for event in events]
    assert len(keys) == len(set(keys)), "two transitions would be one entry in the log"
    for name in {step.alarm.id for step in life.log if step.action != "hold"}:
        mine = [step for step in life.log if step.alarm.id == name and step.action != "hold"]
        assert [step.alarm.step for step in mine] == list(range(len(mine)))
        assert [step.ts_ms for step in mine] == sorted(step.ts_ms for step in mine)
    assert {a for a, last in alarms_of(events).items() if last.state != "closed"} == {
        alarm.id for alarm in life.state.alarms
    }
    for step in life.log:
        assert alarm_from_dict(alarm_to_dict(step.alarm)) == step.alarm
        assert step.who

"""Crews, hours, parts, calendars, imperfect and wrong repairs."""

from __future__ import annotations

from datetime import UTC, datetime, time
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from plant.asset import AssetPath
from plant.config import BreakSpec, ShiftSpec, parse_plant
from plant.errors import DataError
from plant.times import DAY_MS, HOUR_MS, from_iso
from simulator.calendar import Hours, break_windows, closed_windows, weekly_windows
from simulator.layout import LineLayout
from simulator.machine import Operation
from simulator.machines import machine
from simulator.plant import Job, PlantSimulation
from simulator.presets import demo_plant_toml
from simulator.settings import MaintenanceSettings, SimulatorSettings
from simulator.unit import Unit
from simulator.workshop import Workshop

PARIS = ZoneInfo("Europe/Paris")
PUMP = AssetPath.parse("lyon/l1/pump-1")
START = from_iso("2026-01-05T00:00:00Z")
PLANT = parse_plant(demo_plant_toml(2))
ALONE = MaintenanceSettings(inspect_every_d=0, preventive_every_d=0, induced=0)


def test_weekly_windows_follow_summer_time() -> None:
    # Sunday 29 March 2026: the night is an hour shorter; 06:00 local is 05:00 UTC before, 04:00 after.
    start = from_iso("2026-03-20T00:00:00Z")
    first, second = islice(weekly_windows(["sun"], time(6), time(14), PARIS, start), 2)
    assert first == (from_iso("2026-03-22T05:00:00Z"), from_iso("2026-03-22T13:00:00Z"))
    assert second == (from_iso("2026-03-29T04:00:00Z"), from_iso("2026-03-29T12:00:00Z"))
    night = next(weekly_windows(["sat"], time(22), time(6), PARIS, start))
    assert night == (from_iso("2026-03-21T21:00:00Z"), from_iso("2026-03-22T05:00:00Z"))


@given(st.integers(0, 400 * 24), st.integers(0, 23), st.integers(1, 23))
def test_windows_ascend_and_never_overlap(hour: int, opens: int, lasts: int) -> None:
    start = START + hour * HOUR_MS
    shift = ShiftSpec(start=time(opens), end=time((opens + lasts) % 24))
    pause = BreakSpec(days=("wed", "sun"), start=time(3), end=time(4))
    for windows in (
        break_windows([pause, pause], PARIS, start),
        closed_windows([shift], PARIS, start),
    ):
        last = 0
        for begin, end in islice(windows, 12):
            assert last < begin or last == 0
            assert begin < end
            last = end


def test_a_single_break_and_no_shifts() -> None:
    once = BreakSpec.model_validate({"from": "2026-01-07T00:00:00Z", "to": "2026-01-08T00:00:00Z"})
    assert list(break_windows([once], PARIS, START)) == [(START + 2 * DAY_MS, START + 3 * DAY_MS)]
    assert list(break_windows([once], PARIS, START + 4 * DAY_MS)) == []
    assert list(closed_windows([], PARIS, START)) == []


def test_a_crew_begins_with_its_shift() -> None:
    hours = Hours([ShiftSpec(start=time(6), end=time(14))], PARIS)
    saturday = from_iso("2026-01-10T12:00:00Z")
    assert hours.next_open(saturday) == from_iso("2026-01-12T05:00:00Z")
    monday = from_iso("2026-01-12T09:00:00Z")
    assert hours.next_open(monday) == monday
    assert Hours([], PARIS).next_open(saturday) == saturday


def test_parts_run_out_and_arrive_after_their_lead_time() -> None:
    env = simpy.Environment(initial_time=START)
    workshop = Workshop(env, PLANT)
    stock = workshop.stock("bearing")
    got: list[int] = []

    def take() -> object:
        for _ in range(stock + 1):
            yield from workshop.take_parts({"bearing": 1})
            got.append(int(env.now))

    env.process(take())  # type: ignore[arg-type]
    env.run(until=START + 30 * DAY_MS)
    lead = PLANT.parts["bearing"].lead_time_d * DAY_MS
    assert got == [START] * stock + [START + round(lead)]
    assert workshop.stock("bearing") == stock


def test_skills_decide_who_comes_and_nobody_able_means_from_outside() -> None:
    workshop = Workshop(simpy.Environment(initial_time=START), PLANT)
    operator = workshop.crew_for("operator", "lyon", 1)
    assert operator is not None
    assert operator.spec.name == "operators"
    assert workshop.crew_for("diver", "lyon", 1) is None
    assert workshop.crew_for("operator", "oslo", 1) is None
    assert workshop.crew_for("operator", "lyon", 99) is None


def test_unplanned_work_waits_for_the_shift() -> None:
    plant = PlantSimulation(PLANT, seed=1, settings=SimulatorSettings(maintenance=ALONE))
    friday_night = from_iso(
        "2026-01-10T17:00:00Z"
    )  # Saturday 18:00 local: mechanics are off till Monday
    plant.at(friday_night, lambda: plant.break_down(PUMP, "BRD"))
    plant.advance(friday_night + 4 * DAY_MS)
    log = [e for e in plant.book.events if e.asset == PUMP and e.ts_ms >= friday_night]
    work = next(e for e in log if e.kind == "maintenance")
    assert work.duration_h is not None
    began = work.ts_ms - work.duration_h * HOUR_MS
    assert began >= from_iso("2026-01-12T05:00:00Z") - 1000
    start = next(e for e in log if e.kind == "start")
    assert start.duration_h == pytest.approx((start.ts_ms - friday_night) / HOUR_MS, abs=0.01)


def test_found_says_what_the_crew_saw() -> None:
    plant = PlantSimulation(PLANT, seed=1, settings=SimulatorSettings(maintenance=ALONE))
    plant.advance(START + 8 * HOUR_MS)
    plant.obey([Job(PUMP, START + 9 * HOUR_MS)])
    plant.advance(START + 3 * DAY_MS)
    work = next(e for e in plant.book.events if e.kind == "maintenance")
    before = next(e for e in plant.book.truth if e.kind == "repair").wear
    assert work.scope == ()
    assert work.found == ("degraded" if max(before.values()) >= 0.25 else "sound")
    assert max(plant.stations[PUMP].unit.damage(c, plant.now_ms) for c in before) < max(
        before.values()
    )


def unit(seed: int = 1) -> Unit:
    fresh = Unit(PUMP, machine("pump"), seed=seed, start_ms=START, wear=14.0)
    fresh.run(START, Operation(1.0, 1.0))
    return fresh


def test_a_perfect_repair_is_new_and_a_poor_one_is_old() -> None:
    new, old = unit(), unit()
    later = START + 10 * DAY_MS
    new.renew("LOO", later, quality=1.0)
    old.renew("LOO", later, quality=0.3)
    assert new.damage("LOO", later) == 0.0
    assert old.lives["LOO"].used_h > 0.0
    assert new.left_h("LOO", later) > 0.0


def test_a_wrong_repair_dies_within_days() -> None:
    wrong = unit()
    wrong.renew("ELP", START, quality=1.0, induced=True)
    assert 7.9 <= wrong.left_h("ELP", START) <= 96.1


def test_load_makes_parts_die_earlier() -> None:
    light, heavy = unit(), unit()
    light.run(START + 1, Operation(1.0, 0.7))
    assert light.left_h("BRD", START + 30 * DAY_MS) > heavy.left_h("BRD", START + 30 * DAY_MS)
    stopped = unit()
    stopped.run(START + 1, Operation(0.0, 1.0))
    assert stopped.next_failure() is None


def test_induced_failures_come_at_the_set_rate_and_are_told_apart_in_the_truth() -> None:
    bad = MaintenanceSettings(induced=0.5, repair_quality=1.0)
    plant = PlantSimulation(PLANT, seed=3, settings=SimulatorSettings(maintenance=bad))
    plant.advance(START + 120 * DAY_MS)
    causes = [e.cause for e in plant.book.truth if e.kind == "failure"]
    assert causes.count("induced") > 10


@pytest.mark.parametrize(
    "lines",
    [
        {"lyon/l1": LineLayout(stages=(("pump-1",),))},
        {"lyon/l1": LineLayout(stages=(("pump-1", "pump-2", "pump-3"),))},
        {"lyon/l9": LineLayout()},
    ],
)
def test_a_layout_that_does_not_fit_is_refused(lines: dict[str, LineLayout]) -> None:
    with pytest.raises(DataError):
        PlantSimulation(PLANT, settings=SimulatorSettings(lines=lines))


def test_the_run_is_named_after_what_it_simulates() -> None:
    one = PlantSimulation(PLANT, seed=1)
    assert one.run_id == PlantSimulation(PLANT, seed=1).run_id
    assert one.run_id.startswith("sim-1-")
    assert one.run_id != PlantSimulation(PLANT, seed=1, settings=SimulatorSettings(wear=3.0)).run_id
    assert datetime.fromtimestamp(one.start_ms / 1000, UTC).weekday() == 0

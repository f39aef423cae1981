from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from plant.asset import AssetPath
from plant.config import parse_plant
from plant.errors import DataError
from plant.times import DAY_MS, HOUR_MS
from simulator.plant import Job, PlantSimulation, Simulation, simulate
from simulator.presets import demo_plant_toml, preset_toml
from simulator.settings import MaintenanceSettings, RecordSettings, SimulatorSettings


@pytest.fixture(scope="module")
def history() -> Simulation:
    return simulate("demo", seed=11, days=100, interval_s=900)


def test_the_demo_plant_is_valid_and_fails_often_enough(history: Simulation) -> None:
    plant = parse_plant(demo_plant_toml())
    assert len(plant.assets) == 16
    failures = [e for e in history.events if e.kind == "failure"]
    assert len(failures) >= 60
    assert len({e.mode for e in failures}) >= 4


def test_readings_lie_in_their_physical_range(history: Simulation) -> None:
    specs = history.live.plant.kinds["pump"].signals
    for frame in history.frames.values():
        assert np.isfinite(frame.values).all()
        for column, name in zip(frame.values.T, frame.signals, strict=True):
            low, high = specs[name].low, specs[name].high
            assert low is None or column.min() >= low
            assert high is None or column.max() <= high


def test_a_share_of_failures_is_a_shock(history: Simulation) -> None:
    causes = Counter(e.cause for e in history.truth if e.kind == "failure")
    assert 0.03 < causes["shock"] / causes.total() < 0.35


def test_failures_reach_full_damage_and_show_before(history: Simulation) -> None:
    for event in history.truth:
        if event.kind == "failure" and event.cause == "wear":
            assert event.wear[event.mode] == pytest.approx(1.0, abs=1e-6)
    shown = 0
    failures = [e for e in history.truth if e.kind == "failure" and e.mode == "BRD"]
    for event in failures:
        frame = history.frames[event.asset].to_frame()["envelope_g"]
        running = history.frames[event.asset].to_frame()["speed_rpm"] > 300
        before = frame[
            running
            & (frame.index < np.datetime64(event.ts_ms, "ms").item().replace(tzinfo=frame.index.tz))
        ]
        shown += before.iloc[-8:].mean() > 3 * before.iloc[:200].median()
    assert shown >= 0.8 * len(failures)


def test_every_stop_has_its_start_and_every_failure_its_repair(history: Simulation) -> None:
    for asset in history.frames:
        log = [e for e in history.events if e.asset == asset and e.kind != "inspection"]
        assert [e.ts_ms for e in log] == sorted(e.ts_ms for e in log)
        down = False
        for event in log:
            if event.kind == "stop":
                assert not down
                down = True
            elif event.kind == "start":
                assert down
                assert event.duration_h is not None
                down = False
            elif event.kind == "maintenance":
                assert down
                assert event.found != "unknown"


def test_a_stopped_machine_stands_still(history: Simulation) -> None:
    stop = next(e for e in history.events if e.kind == "stop")
    frame = history.frames[stop.asset]
    row = int(np.searchsorted(frame.ts_ms, stop.ts_ms + 60_000))
    speed = frame.values[row, frame.signals.index("speed_rpm")]
    assert abs(speed) < 50


def test_a_schedule_changes_what_happens_next() -> None:
    plant = parse_plant(demo_plant_toml(2))
    quiet = SimulatorSettings(
        wear=12.0,
        maintenance=MaintenanceSettings(inspect_every_d=0, preventive_every_d=0, induced=0),
    )
    left = PlantSimulation(plant, seed=2, settings=quiet)
    left.advance(left.start_ms + 60 * DAY_MS)
    failure = next(e for e in left.book.events if e.kind == "failure" and e.mode != "UST")

    obeyed = PlantSimulation(plant, seed=2, settings=quiet)
    obeyed.advance(failure.ts_ms - 60 * HOUR_MS)
    before = len(obeyed.book.events)
    obeyed.obey([Job(failure.asset, failure.ts_ms - 48 * HOUR_MS, (failure.mode,))])
    obeyed.advance(failure.ts_ms + HOUR_MS)
    after = obeyed.book.events[before:]
    assert not [e for e in after if e.asset == failure.asset and e.kind == "failure"]
    work = next(e for e in after if e.asset == failure.asset and e.kind == "maintenance")
    assert work.planned is True
    assert work.scope == (failure.mode,)
    assert obeyed.book.events[:before] == left.book.events[:before]


def test_records_go_missing_or_wrong_at_the_set_rate() -> None:
    kept = SimulatorSettings(records=RecordSettings(missing=0.2, wrong_mode=0.3, found_unknown=0.4))
    clean = simulate("demo", seed=1, days=100, interval_s=3600)
    sloppy = simulate(
        "demo",
        seed=1,
        days=100,
        interval_s=3600,
        settings=kept.model_copy(update={"interval_s": 3600.0}),
    )
    assert sloppy.truth == clean.truth
    assert len(sloppy.events) == pytest.approx(0.8 * len(clean.events), rel=0.1)
    right = {e.key: e for e in clean.events}
    moded = [e for e in sloppy.events if right[e.key].mode]
    wrong = [e for e in moded if e.mode != right[e.key].mode]
    assert len(wrong) / len(moded) == pytest.approx(0.3, abs=0.06)


def test_unknown_kinds_presets_and_machines_are_refused_plainly() -> None:
    with pytest.raises(DataError, match="no preset"):
        preset_toml("teapot")
    plant = parse_plant(demo_plant_toml(1))
    live = PlantSimulation(plant, seed=0)
    with pytest.raises(DataError, match="not simulated"):
        live.obey([Job(AssetPath.parse("a/b/c"), 0)])
    with pytest.raises(DataError, match="no machine"):
        PlantSimulation(plant, seed=0, assets=[])
    with pytest.raises(DataError, match="not simulated"):
        PlantSimulation(plant, seed=0, assets=["lyon/l1/pump-99"])


def test_chosen_machines_read_as_in_the_whole_plant() -> None:
    whole = simulate("demo", seed=9, days=20, interval_s=900)
    some = simulate("demo", seed=9, days=20, interval_s=900, assets=["lyon/l1/pump-3"])
    (asset,) = some.frames
    assert np.array_equal(some.frames[asset].values, whole.frames[asset].values)
    assert some.events == [e for e in whole.events if e.asset == asset]

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from plant.asset import AssetPath
from plant.config import parse_plant
from plant.errors import ConfigError, DataError, VigieError
from plant.times import DAY_MS, HOUR_MS, MINUTE_MS
from simulator.faults.spec import WHAT, Fault
from simulator.plant import PlantSimulation, Simulation, simulate
from simulator.player import Player
from simulator.presets import demo_plant_toml
from simulator.scenario import library, load_scenario, parse_scenario
from simulator.settings import SimulatorSettings

PLANT = parse_plant(demo_plant_toml(1))
PUMP = AssetPath.parse("lyon/l1/pump-1")


def history(*faults: Fault, days: float = 4.0) -> Simulation:
    settings = SimulatorSettings(faults=faults, fault_days=days)
    return simulate(PLANT, seed=3, days=days, interval_s=300, settings=settings)


def column(run: Simulation, signal: str) -> np.ndarray:
    frame = run.frames[PUMP]
    return frame.values[:, frame.signals.index(signal)]


CLEAN = history()
DAY1 = (CLEAN.frames[PUMP].ts_ms >= CLEAN.start_ms + DAY_MS) & (
    CLEAN.frames[PUMP].ts_ms < CLEAN.start_ms + 2 * DAY_MS
)


def fault(what: str, how_much: float | str | None = None, signal: str = "") -> Fault:
    where = f"{PUMP}/{signal}" if signal else str(PUMP)
    return Fault.model_validate(
        {"at": "1d", "for": "1d", "what": what, "where": where, "how_much": how_much}
    )


def test_each_sensor_fault_does_what_it_says_and_only_there_and_then() -> None:
    temp = column(CLEAN, "bearing_temp_c")
    cases = {
        "sensor.drift": 24.0, "sensor.bias": 5.0, "sensor.dropout": 0.3, "sensor.spikes": 0.2,
        "sensor.noise": 2.0, "sensor.saturation": 10.0, "sensor.freeze": None, "sensor.unit": "degF",
        "sensor.swapped": "dp_bar",
    }  # fmt: skip
    for what, amount in cases.items():
        run = history(fault(what, amount, "bearing_temp_c"))
        got = column(run, "bearing_temp_c")
        assert np.array_equal(got[~DAY1], temp[~DAY1]), what
        assert not np.array_equal(got[DAY1], temp[DAY1], equal_nan=True), what
        if what != "sensor.swapped":
            assert np.array_equal(column(run, "flow_m3h"), column(CLEAN, "flow_m3h"))
        bad, good = got[DAY1], temp[DAY1]
        check = {
            "sensor.drift": lambda b=bad, g=good: b[-1] - g[-1] == pytest.approx(24.0, abs=0.2),
            "sensor.bias": lambda b=bad, g=good: np.allclose(b - g, 5.0, atol=0.02),
            "sensor.dropout": lambda b=bad, g=good: 0.2 < np.isnan(b).mean() < 0.4,
            "sensor.spikes": lambda b=bad, g=good: 0.1 < (b > g + 20).mean() < 0.3,
            "sensor.noise": lambda b=bad, g=good: (b - g).std() == pytest.approx(2.0, rel=0.2),
            "sensor.saturation": lambda b=bad, g=good: b.max() == 10.0,
            "sensor.freeze": lambda b=bad, g=good: (b == g[0]).all(),
            "sensor.unit": lambda b=bad, g=good: np.allclose(b, 1.8 * g + 32, atol=0.02),
            "sensor.swapped": lambda b=bad, g=good: np.allclose(
                b, column(CLEAN, "dp_bar")[DAY1], atol=0.01
            ),
        }
        assert check[what](), what
        assert run.truth == CLEAN.truth


def test_faulty_readings_are_the_same_in_pieces_and_on_any_number_of_processes() -> None:
    faults = (
        fault("sensor.noise", 2.0, "bearing_temp_c"), fault("sensor.freeze", None, "flow_m3h"),
        fault("sensor.dropout", 0.3, "dp_bar"), fault("clock.skew", 300.0), fault("network.gap"),
    )  # fmt: skip
    faults = (*faults[:4], Fault(at="2d", for_="3h", what="network.gap", where="lyon/*/*"))
    whole = history(*faults)
    again = simulate(PLANT, seed=3, days=4, settings=whole.live.settings, processes=3)
    for asset, frame in whole.frames.items():
        assert np.array_equal(frame.values, again.frames[asset].values, equal_nan=True)
        assert np.array_equal(frame.ts_ms, again.frames[asset].ts_ms)
    live = PlantSimulation(PLANT, seed=3, settings=whole.live.settings)
    pieces = []
    for at in range(whole.start_ms, whole.stop_ms, 7 * HOUR_MS):
        stop = min(at + 7 * HOUR_MS, whole.stop_ms)
        live.advance(stop)
        pieces.append(live.sampler.frame(PUMP, at, stop).values)
    assert np.array_equal(np.concatenate(pieces), whole.frames[PUMP].values, equal_nan=True)


def test_clock_faults_move_time_stamps() -> None:
    def shifts(what: str, how_much: float | str | None) -> np.ndarray:
        frame = history(fault(what, how_much)).frames[PUMP]
        return (frame.ts_ms - frame.taken_ms)[DAY1]

    assert set(shifts("clock.jump", "-2h").tolist()) == {-2 * HOUR_MS}
    assert set(shifts("clock.dst", None).tolist()) == {HOUR_MS}
    assert shifts("clock.skew", 60.0)[-1] == pytest.approx(60_000, rel=0.01)


def played(*faults: Fault, days: float = 3.0) -> list[tuple[int, str, dict[str, object]]]:
    settings = SimulatorSettings(interval_s=600, faults=faults, fault_days=days)
    plant = PlantSimulation(PLANT, seed=3, settings=settings)
    player = Player(plant)
    return [
        (m.ts_ms, m.topic, json.loads(m.payload) | {"run_id": ""})
        for m in player.messages(plant.start_ms + round(days * DAY_MS))
        if m.asset == PUMP and m.kind == "reading"
    ]


def test_network_faults_change_the_order_and_number_of_messages_not_the_readings() -> None:
    clean = played()
    key = [(ts, json.dumps(body)) for ts, _, body in clean]
    late = played(fault("network.late", "25min"))
    assert sorted((ts, json.dumps(b)) for ts, _, b in late) == sorted(key)
    burst = played(fault("network.burst"))
    assert sorted((ts, json.dumps(b)) for ts, _, b in burst) == sorted(key)
    twice = played(fault("network.duplicate", 0.5))
    assert {(ts, json.dumps(b)) for ts, _, b in twice} == set(key)
    assert 1.1 < len(twice) / len(clean) < 1.25
    mixed = played(fault("network.reorder", 3600.0))
    assert [ts for ts, _, _ in mixed] != [ts for ts, _, _ in clean]
    assert sorted((ts, json.dumps(b)) for ts, _, b in mixed) == sorted(key)
    lost = played(fault("network.gap"))
    assert len(lost) == len(clean) - DAY_MS // (10 * MINUTE_MS)


def test_assets_are_renamed_replaced_and_new() -> None:
    renamed = played(fault("asset.renamed", "pump-1b"))
    assert {topic for _, topic, _ in renamed} == {
        "plant/lyon/l1/pump-1/telemetry", "plant/lyon/l1/pump-1b/telemetry",
    }  # fmt: skip
    assert len(history(fault("asset.new")).frames[PUMP].ts_ms) < len(CLEAN.frames[PUMP].ts_ms)
    new = history(fault("asset.replaced"))
    work = [e for e in new.events if e.note == "machine replaced"]
    assert [(e.asset, e.scope, e.planned) for e in work] == [(PUMP, (), True)]
    assert len(new.live.stations[PUMP].unit.traits) == 2
    down = history(fault("asset.fail", "BRD"))
    causes = [e.cause for e in down.truth if e.kind == "failure" and e.asset == PUMP]
    assert "script" in causes


def test_a_missing_reading_is_not_sent_as_a_number() -> None:
    gone = played(fault("sensor.dropout", 1.0, "dp_bar"))
    assert any("dp_bar" not in body["values"] for _, _, body in gone)  # type: ignore[operator]
    every = played(*[fault("sensor.dropout", 1.0, s) for s in CLEAN.frames[PUMP].signals])
    assert len(every) == len(gone) - DAY_MS // (10 * MINUTE_MS)


def test_rates_are_kept() -> None:
    often = Fault.model_validate(
        {"per_month": 40.0, "for": "1h", "what": "sensor.freeze", "where": "lyon/*/*/*"}
    )
    settings = SimulatorSettings(faults=(often,), fault_days=90)
    plant = PlantSimulation(PLANT, seed=1, settings=settings)
    assert len(plant.faults.active) == pytest.approx(120, abs=35)
    assert len({(a.asset, a.signal) for a in plant.faults.active}) > 5


HEAD = "name = 'x'\nsentence = 'y'\n"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name = 'x'", "sentence"),
        (HEAD + "flaw = 1", "flaw"),
        (HEAD + "[[faults]]\nwhat = 'sensor.bent'\nwhere = 'a'\nat = '1d'", "what"),
        (HEAD + "[[faults]]\nwhat = 'sensor.freeze'\nwhere = 'a/b/c'\nat = '1d'", "where"),
        (HEAD + "[[faults]]\nwhat = 'network.gap'\nwhere = 'a/b/c'\nat = 'soon'", "duration"),
        (HEAD + "[[faults]]\nwhat = 'network.gap'\nwhere = 'a/b/c'", "at"),
        ("name = [", "TOML"),
    ],
)
def test_a_bad_scenario_is_refused_by_file_and_key(text: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        parse_scenario(text, "bad.toml")
    assert "bad.toml" in str(caught.value)


@pytest.mark.parametrize(
    "bad",
    [
        Fault(at="1d", what="sensor.freeze", where="lyon/l9/*/*"),
        Fault(at="1d", what="sensor.swapped", where=f"{PUMP}/flow_m3h", how_much="nonsense"),
        Fault(at="1d", what="sensor.unit", where=f"{PUMP}/flow_m3h", how_much="furlong"),
        Fault(at="1d", what="asset.fail", where=str(PUMP), how_much="XYZ"),
    ],
)
def test_a_fault_that_fits_nothing_is_refused(bad: Fault) -> None:
    with pytest.raises(DataError):
        history(bad, days=2)


def test_the_library(tmp_path: Path) -> None:
    scenarios = library()
    assert len(scenarios) >= 12
    assert {f.what for s in scenarios for f in s.faults} == set(WHAT)
    for scenario in scenarios:
        assert scenario.sentence.endswith(".")
        short = scenario.model_copy(update={"days": min(scenario.days, 6.0)})
        live = short.begin()
        live.advance(short.stop_ms)
        assert live.sampler.frame(next(iter(live.stations)), short.start_ms, short.stop_ms)
    file = tmp_path / "mine.toml"
    file.write_text("name = 'mine'\nsentence = 'Mine.'\nplant = 'fan'\ndays = 2\n")
    assert load_scenario(str(file)).run().frames
    with pytest.raises(VigieError, match="no scenario"):
        load_scenario("nope")

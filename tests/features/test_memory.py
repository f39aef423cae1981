"""Ages, running hours, starts, integrals, counters and regimes; what a renewal resets and what not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.assemble import build_table
from features.fit import fit_regimes_of
from features.regime import RegimeModel
from features.settings import FeatureSettings
from features.sources import FrameSource
from features.table import FeatureTable
from plant.asset import AssetPath
from plant.config import KindSpec, Plant, SignalSpec, parse_plant
from plant.errors import DataError, ModelError
from plant.event import Event

HOUR = 3_600_000
START = 1_700_000_400_000 // HOUR * HOUR
SETTINGS = FeatureSettings(windows=("1h", "6h"), lateness_ms=0, baseline_h=6.0, deviation_span="1h")
ASSET = AssetPath("lyon", "l1", "pump-1")
PLANT = parse_plant(
    """
[sites.lyon.lines.l1]
[kinds.pump]
running_signal = "load"
running_above = 5.0
[kinds.pump.signals]
vibration = {}
temperature = {}
load = {role = "operating", unit = "kW"}
cycles = {role = "counter"}
[kinds.pump.modes.BRG]
label = "bearing wear"
signals = ["vibration"]
[kinds.pump.modes.SEAL]
label = "seal leak"
signals = ["temperature"]
[[assets]]
path = "lyon/l1/pump-1"
kind = "pump"
"""
)


def machine(hours: float = 30) -> pd.DataFrame:
    """Ten hours on, two hours off, load 10 kW while on, one cycle a minute while on."""
    n = int(hours * 60)
    minute = np.arange(n)
    on = (minute // 60) % 12 < 10
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "ts_ms": START + minute * 60_000,
            "vibration": np.where(on, 2 + rng.normal(0, 0.1, n), 0.0),
            "temperature": 40 + rng.normal(0, 0.1, n),
            "load": np.where(on, 10.0, 0.0),
            "cycles": 1000.0 + np.cumsum(on),
        }
    )


def rows(events: list[Event], plant: Plant = PLANT, hours: float = 30) -> FeatureTable:
    source = FrameSource.from_frames({str(ASSET): machine(hours)})
    return build_table(source, source.extents(), plant, SETTINGS, events=events)


def at(table: FeatureTable, name: str, hours: float) -> float:
    row = np.flatnonzero(table.ts_ms == START + round(hours * HOUR))
    return float(table.column(name)[row[0]])


def test_hours_starts_energy_and_cycles_add_up() -> None:
    table = rows([])
    assert at(table, "running.life.hours", 24) == pytest.approx(20)
    assert at(table, "running.life.starts", 24) == 2
    assert at(table, "running.life.starts", 25) == 3
    assert at(table, "load.life.integral", 24) == pytest.approx(200)
    assert at(table, "cycles.life.increase", 24) == pytest.approx(1199)
    assert at(table, "running.6h.duty", 12) == pytest.approx(4 / 6)


def test_ages_are_unknown_until_a_life_begins() -> None:
    table = rows([Event(ASSET, START + 5 * HOUR, "maintenance", scope=("BRG",))])
    assert np.isnan(at(table, "asset.life.age", 10))
    assert np.isnan(at(table, "asset.BRG.age", 4))
    assert at(table, "asset.BRG.age", 10) == 5
    assert np.isnan(at(table, "asset.SEAL.age", 10))
    assert at(table, "asset.connected.age", 10) == 10


def test_commissioning_is_the_first_birthday() -> None:
    since = pd.Timestamp(START - 100 * HOUR, unit="ms", tz="UTC").to_pydatetime()
    spec = PLANT.assets[0].model_copy(update={"commissioned": since})
    table = rows([], PLANT.model_copy(update={"assets": (spec,)}))
    assert at(table, "asset.life.age", 10) == 110
    assert at(table, "asset.SEAL.age", 10) == 110


def test_a_repair_resets_what_it_renews_and_only_that() -> None:
    plain = rows([])
    partly = rows([Event(ASSET, START + 14 * HOUR + 60_000, "maintenance", scope=("BRG",))])
    for name in ("temperature.life.trend", "temperature.own.deviation", "temperature.6h.mean"):
        assert at(partly, name, 20) == at(plain, name, 20), name
    assert at(partly, "running.life.hours", 20) == at(plain, "running.life.hours", 20)
    assert at(partly, "vibration.life.trend", 20) != at(plain, "vibration.life.trend", 20)
    assert np.isnan(at(partly, "vibration.life.trend", 14.5))
    assert at(partly, "vibration.6h.mean", 14.5) != at(plain, "vibration.6h.mean", 14.5)
    wholly = rows([Event(ASSET, START + 14 * HOUR, "maintenance")])
    assert at(wholly, "asset.life.age", 20) == 6
    assert at(wholly, "running.life.hours", 20) == pytest.approx(6)
    assert at(wholly, "cycles.life.increase", 20) == pytest.approx(360, abs=1)
    assert at(wholly, "temperature.life.trend", 20) != at(plain, "temperature.life.trend", 20)


def test_a_failure_renews_its_mode_and_an_inspection_nothing() -> None:
    plain = rows([])
    failed = rows([Event(ASSET, START + 14 * HOUR, "failure", mode="SEAL")])
    assert at(failed, "asset.SEAL.age", 20) == 6
    assert np.isnan(at(failed, "asset.BRG.age", 20))
    assert at(failed, "vibration.life.trend", 20) == at(plain, "vibration.life.trend", 20)
    seen = rows([Event(ASSET, START + 14 * HOUR, "inspection", found="sound")])
    assert seen.X.tobytes() == plain.X.tobytes()


def fleet(regimes: int, seed: int = 0) -> FrameSource:
    """Machines whose vibration follows the load, in steps or continuously, and wears in the end."""
    rng = np.random.default_rng(seed)
    frames = {}
    for number in range(4):
        n = 300
        load = (
            rng.integers(0, regimes, n) * 20.0 + rng.normal(0, 0.01, n)
            if regimes
            else rng.uniform(10, 90, n)
        )
        wear = np.clip(np.arange(n) - 200, 0, None) * 0.02
        frames[f"lyon/l1/m{number}"] = pd.DataFrame(
            {
                "ts_ms": START + np.arange(n) * 600_000,
                "vibration": 1 + 0.1 * load + 0.002 * load**2 + rng.normal(0, 0.1, n) + wear,
                "temperature": 30 + 0.5 * load + rng.normal(0, 0.5, n),
                "load": load,
            }
        )
    return FrameSource.from_frames(frames)


PUMPS = parse_plant(
    """
[sites.lyon.lines.l1]
[kinds.pump.signals]
vibration = {}
temperature = {}
load = {role = "operating"}
"""
    + "".join(
        f"""
[[assets]]
path = "lyon/l1/m{number}"
kind = "pump"
"""
        for number in range(4)
    )
)


@pytest.mark.parametrize("regimes", [3, 0])
def test_a_load_change_does_not_look_like_wear(regimes: int) -> None:
    source = fleet(regimes)
    settings = SETTINGS.model_copy(update={"baseline_h": 24.0, "ewm": ("1h",)})
    fitted = fit_regimes_of(source, source.extents(), PUMPS, settings)
    model = fitted["pump"]
    assert len(model.places) == (3 if regimes else 1)
    raw = build_table(source, source.extents(), PUMPS, settings)
    table = build_table(source, source.extents(), PUMPS, settings, regimes=fitted)
    healthy = (table.ts_ms > START + 24 * HOUR) & (table.ts_ms < START + 33 * HOUR)
    worn = table.ts_ms > START + 49 * HOUR
    name = "vibration.own.deviation"
    noise = np.nanstd(table.column(name)[healthy])
    assert noise < 0.2
    assert np.nanstd(raw.column(name)[healthy]) > 1.0
    assert np.nanmin(table.column(name)[worn]) > 5 * noise
    assert "health1.ewm1h.level" in table.catalogue.names
    assert table.catalogue.fingerprint != raw.catalogue.fingerprint


def test_a_regime_model_survives_json_and_nothing_else_does() -> None:
    source = fleet(3)
    model = fit_regimes_of(source, source.extents(), PUMPS, SETTINGS)["pump"]
    again = RegimeModel.from_json(model.to_json())
    assert again.fingerprint == model.fingerprint
    for broken in (
        {**model.to_json(), "format": 9},
        {**model.to_json(), "scales": {"shape": [1], "values": [1.0]}},
        {**model.to_json(), "mix": {"shape": [2, 2], "values": [1.0, 2.0, float("nan"), 4.0]}},
        {},
    ):
        with pytest.raises(ModelError):
            RegimeModel.from_json(broken)
    other = PUMPS.model_copy(update={"kinds": {"pump": KindSpec(signals={"x": SignalSpec()})}})
    with pytest.raises(DataError, match="other signals"):
        build_table(source, source.extents(), other, SETTINGS, regimes={"pump": model})

"""Sensor faults are found, marked, kept out of windows, and not mistaken for a failing machine."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.assemble import build_table
from features.settings import FeatureSettings
from features.sources import FrameSource
from features.table import FeatureTable
from plant.config import KindSpec, Plant, SignalSpec

START = 1_700_000_400_000
MINUTE = 60_000
SETTINGS = FeatureSettings(
    windows=("1h", "6h"), window_stats=("mean", "std", "max"), extra=(), trends=(), lateness_ms=0
)
KIND = KindSpec(
    signals={
        "vibration": SignalSpec(low=0.0, high=100.0),
        "temperature": SignalSpec(),
        "load": SignalSpec(role="operating"),
    },
    running_signal="load",
    running_above=5.0,
)


def machine(hours: float = 24, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = int(hours * 60)
    return pd.DataFrame(
        {
            "ts_ms": START + np.arange(n) * MINUTE,
            "vibration": 2 + rng.normal(0, 0.1, n),
            "temperature": 60 + rng.normal(0, 0.5, n),
            "load": 20 + rng.normal(0, 1, n),
        }
    )


def rows(frame: pd.DataFrame, kind: KindSpec = KIND) -> FeatureTable:
    source = FrameSource.from_frames({"a/b/c": frame})
    return build_table(source, source.extents(), Plant(kinds={"unknown": kind}), SETTINGS)


def faults(table: FeatureTable, signal: str) -> set[str]:
    return {table.faulty(row).get(signal, "ok") for row in range(len(table))}


def test_a_sound_machine_has_no_faults() -> None:
    table = rows(machine())
    assert not table.faults.any()
    assert len(table) >= 144


def test_a_stuck_sensor_is_found_after_three_hours_and_leaves_the_windows() -> None:
    frame = machine()
    frame.loc[720:, "temperature"] = 99.0
    table = rows(frame)
    found = [table.faulty(row).get("temperature") for row in range(len(table))]
    first = found.index("stuck")
    assert 3.0 <= (table.ts_ms[first] - START) / 3_600_000 - 12 <= 3.5
    assert set(found[:first]) == {None}
    assert faults(table, "vibration") == {"ok"}
    late = table.column("temperature.1h.mean")[first + 8 :]
    assert np.isnan(late).all()


def test_a_stopped_machine_is_not_stuck() -> None:
    frame = machine()
    frame.loc[720:, ["vibration", "load"]] = 0.0
    frame.loc[720:, "temperature"] = 20.0
    assert not rows(frame).faults.any()


def test_a_signal_that_never_moved_is_not_stuck() -> None:
    frame = machine()
    frame["temperature"] = 42.0
    assert faults(rows(frame), "temperature") == {"ok"}


def test_a_silent_sensor_is_missing_while_the_others_speak() -> None:
    frame = machine()
    frame.loc[720:, "vibration"] = np.nan
    table = rows(frame)
    late = (table.ts_ms > START + 14 * 3_600_000) & (table.ts_ms <= START + 24 * 3_600_000)
    assert faults(table.take(late), "vibration") == {"missing"}
    silent = machine()
    silent.loc[720:780, ["vibration", "temperature", "load"]] = np.nan
    assert not rows(silent).faults.any(), "silence of all is the network's fault, not a sensor's"


def test_a_slow_sensor_is_not_missing() -> None:
    frame = machine(72)
    frame.loc[frame.index % 30 != 0, "temperature"] = np.nan
    assert faults(rows(frame), "temperature") == {"ok"}


def test_out_of_range_values_are_marked_and_left_out() -> None:
    frame = machine()
    frame.loc[720:779:2, "vibration"] = 900.0
    table = rows(frame)
    assert "out_of_range" in faults(table, "vibration")
    assert np.nanmax(table.column("vibration.1h.max")) < 5


def test_spikes_are_marked_and_left_out() -> None:
    frame = machine()
    frame.loc[725:820:7, "temperature"] = -300.0
    table = rows(frame)
    assert "spiking" in faults(table, "temperature")
    assert np.nanmin(table.column("temperature.6h.mean")) > 59
    assert np.nanmax(table.column("temperature.6h.std")) < 1


def test_a_machine_that_fails_is_not_a_sensor_that_fails() -> None:
    frame = machine()
    n = len(frame)
    wear = np.clip(np.arange(n) - 720, 0, None) / 720
    rng = np.random.default_rng(1)
    frame["vibration"] += 20 * wear**3 + rng.exponential(1, n) * 5 * wear  # grows and hammers
    frame["temperature"] += 30 * wear
    assert not rows(frame).faults.any()
    frame.loc[1300:, ["vibration", "temperature"]] += 40  # and jumps
    table = rows(frame.assign(vibration=frame["vibration"].clip(upper=99)))
    assert faults(table, "temperature") == {"ok"}

"""Small plants and their readings for tests, all from seeds."""

from __future__ import annotations

import numpy as np

from features.settings import FeatureSettings
from plant.asset import AssetPath
from plant.config import Plant, parse_plant
from plant.event import Event
from plant.reading import Reading

START = 1_700_000_400_000  # a multiple of ten minutes
PUMP = AssetPath("lyon", "l1", "pump-1")

PLANT = parse_plant(
    """
[sites.lyon.lines.l1]
[kinds.pump]
running_signal = "load"
running_above = 5.0
[kinds.pump.signals]
vibration = {unit = "mm/s", low = 0.0, high = 80.0}
temperature = {unit = "°C"}
load = {unit = "kW", role = "operating"}
cycles = {role = "counter"}
[kinds.pump.modes.BRG]
label = "bearing wear"
signals = ["vibration"]
[kinds.pump.modes.SEAL]
label = "seal leak"
[[assets]]
path = "lyon/l1/pump-1"
kind = "pump"
commissioned = 2023-11-14T22:20:00Z
[[assets]]
path = "lyon/l1/pump-2"
kind = "pump"
"""
)

#: Short windows, so that little data fills them.
SETTINGS = FeatureSettings(
    bucket_ms=600_000,
    windows=("20min", "1h", "3h"),
    extra=("1h.min", "1h.kurtosis", "1h.change", "1h.missing", "3h.crest"),
    operating=("1h.mean",),
    ewm=("1h",),
    trends=("1h.trend", "3h.shift"),
    baseline_h=2.0,
    deviation_span="1h",
    lateness_ms=60_000,
)


def readings(
    seed: int, hours: float, asset: AssetPath = PUMP, step_ms: int = 60_000, late: float = 0.0
) -> list[Reading]:
    """A pump that starts, stops, wears and is sometimes late or repeated, in arrival order."""
    rng = np.random.default_rng(seed)
    n = int(hours * 3_600_000 / step_ms)
    found = []
    for i in range(n):
        ts = START + i * step_ms + int(rng.integers(0, step_ms // 2))
        if rng.random() < 0.03:
            continue  # lost
        load = 0.0 if rng.random() < 0.05 else 20.0 + 5.0 * np.sin(i / 40)
        values = {
            "vibration": float(abs(1.0 + 0.002 * i + rng.normal(0, 0.1))),
            "temperature": float(50 + load / 4 + rng.normal(0, 0.5)),
            "load": float(load),
            "cycles": float(i),
        }
        if rng.random() < 0.1:
            del values["temperature"]
        if rng.random() < 0.01:
            values["vibration"] = 900.0  # out of range
        delay = int(rng.integers(0, 40_000))
        if rng.random() < late:
            delay = int(rng.integers(60_000, 4 * 3_600_000))
        reading = Reading(asset, ts, values, received_ms=ts + delay)
        found.append(reading)
        if rng.random() < 0.05:
            found.append(Reading(asset, ts, values, received_ms=ts + delay + 500))  # repeated
    return sorted(found, key=lambda r: r.received_ms or 0)


def repairs() -> list[Event]:
    hour = 3_600_000
    return [
        Event(PUMP, START + 4 * hour + 123_000, "maintenance", scope=("BRG",)),
        Event(PUMP, START + 7 * hour, "failure", mode="SEAL"),
        Event(PUMP, START + 9 * hour + 1, "maintenance"),
    ]


__all__ = ["PLANT", "PUMP", "SETTINGS", "START", "Plant", "readings", "repairs"]

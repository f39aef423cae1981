"""Live ticks and backfill give the same bits, whatever the order, repetition and lateness."""

from __future__ import annotations

import numpy as np
import pytest

from features.job import FeatureJob
from features.regime import RegimeModel
from features.table import FeatureTable
from plant.reading import Reading
from tests.features.memory_store import MemoryStore
from tests.features.worlds import PLANT, PUMP, SETTINGS, START, readings, repairs

HOUR = 3_600_000


def live(arrivals: list[Reading], hours: float, regimes: dict[str, RegimeModel]) -> FeatureTable:
    """Tick every ten minutes with what had arrived by then."""
    store = MemoryStore()
    job = FeatureJob(store, PLANT, SETTINGS, regimes=regimes)  # type: ignore[arg-type]
    events = repairs()
    tables = []
    sent = 0
    for t in range(START + 600_000, START + int(hours * HOUR) + 1, 600_000):
        now = t + SETTINGS.lateness_ms
        until = sent
        while until < len(arrivals) and (arrivals[until].received_ms or 0) <= now:
            until += 1
        store.write_readings(arrivals[sent:until])
        sent = until
        store.write_events([e for e in events if e.ts_ms <= t])
        tables.append(job.tick(now))
    return FeatureTable.concat(tables)


def history(arrivals: list[Reading], hours: float, regimes: dict[str, RegimeModel]) -> FeatureTable:
    store = MemoryStore()
    store.write_readings(arrivals)
    store.write_events(repairs())
    job = FeatureJob(store, PLANT, SETTINGS, regimes=regimes)  # type: ignore[arg-type]
    return job.backfill(START, START + int(hours * HOUR) + 1)


def same_bits(left: FeatureTable, right: FeatureTable) -> None:
    assert left.catalogue.fingerprint == right.catalogue.fingerprint
    assert left.ts_ms.tolist() == right.ts_ms.tolist()
    different = [
        name
        for column, name in enumerate(left.catalogue.names)
        if left.X[:, column].tobytes() != right.X[:, column].tobytes()
    ]
    assert different == []
    assert np.array_equal(left.faults, right.faults)


@pytest.fixture(scope="module")
def regimes() -> dict[str, RegimeModel]:
    store = MemoryStore()
    store.write_readings(readings(99, 12))
    return FeatureJob(store, PLANT, SETTINGS).fit_regimes(START + 12 * HOUR)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(6))
def test_live_and_backfill_agree_with_late_data(seed: int, regimes: dict[str, RegimeModel]) -> None:
    arrivals = readings(seed, 12, late=0.03 * seed)
    fitted = regimes if seed % 2 else {}
    ticks = live(arrivals, 12, fitted)
    rows = history(arrivals, 12, fitted)
    assert len(rows) > 60
    assert np.isfinite(rows.X).mean() > 0.6
    known = {(a, t) for a, t in zip(rows.assets, rows.ts_ms, strict=True)}
    both = np.array([(a, t) in known for a, t in zip(ticks.assets, ticks.ts_ms, strict=True)])
    same_bits(ticks.take(both), rows)


def test_nothing_for_nobody() -> None:
    job = FeatureJob(MemoryStore(), PLANT, SETTINGS)  # type: ignore[arg-type]
    assert len(job.tick(START)) == 0
    assert PUMP.asset == "pump-1"

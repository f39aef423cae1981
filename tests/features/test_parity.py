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


def test_a_gateway_that_sends_every_half_hour(regimes: dict[str, RegimeModel]) -> None:
    half = 1_800_000
    arrivals = [
        Reading(r.asset, r.ts_ms, r.values, received_ms=(r.ts_ms // half + 1) * half + 90_000)
        for r in readings(21, 8)
    ]
    ticks = live(arrivals, 8, regimes)
    rows = history(arrivals, 8, regimes)
    assert len(rows) > 40
    same_bits(ticks.take(np.isin(ticks.ts_ms, rows.ts_ms)), rows)


def test_five_hundred_permutations_give_the_same_bits(regimes: dict[str, RegimeModel]) -> None:
    """Arrival order, repetition and lateness are shuffled; each time live equals backfill."""
    orders = set()
    for seed in range(500):
        arrivals = readings(1000, 2.5, step_ms=240_000)
        rng = np.random.default_rng(seed)
        shuffled = [
            Reading(r.asset, r.ts_ms, r.values, received_ms=r.ts_ms + delay)
            for r in arrivals
            for delay in _delays(rng)
        ]
        shuffled.sort(key=lambda r: (r.received_ms or 0, r.ts_ms))
        orders.add(tuple(r.ts_ms for r in shuffled))
        ticks = live(shuffled, 2.5, regimes if seed % 2 else {})
        rows = history(shuffled, 2.5, regimes if seed % 2 else {})
        same_bits(ticks.take(np.isin(ticks.ts_ms, rows.ts_ms)), rows)
    assert len(orders) == 500


def _delays(rng: np.random.Generator) -> list[int]:
    """Return when one message arrives: mostly on time, sometimes late, sometimes twice."""
    first = int(rng.integers(0, 50_000))
    if rng.random() < 0.1:
        first = int(rng.integers(60_000, 5_400_000))
    again = [first + int(rng.integers(1, 3_600_000))] if rng.random() < 0.1 else []
    return [first, *again]


def test_on_time_order_does_not_matter(regimes: dict[str, RegimeModel]) -> None:
    arrivals = readings(5, 4)
    wanted = history(arrivals, 4, regimes)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(arrivals))
        same_bits(history([arrivals[i] for i in order], 4, regimes), wanted)


def test_no_row_sees_the_future(regimes: dict[str, RegimeModel]) -> None:
    """Whatever comes after t, the rows up to t keep their bits."""
    arrivals = readings(11, 8, late=0.05)
    cut = START + 5 * HOUR
    wanted = history(arrivals, 8, regimes)
    wanted = wanted.take(wanted.ts_ms <= cut)
    known = [r for r in arrivals if (r.received_ms or 0) <= cut + SETTINGS.lateness_ms]
    for seed in range(4):
        other = [
            r
            for r in readings(100 + seed, 8, late=0.05)
            if r.ts_ms >= cut and (r.received_ms or 0) > cut + SETTINGS.lateness_ms
        ]
        changed = history(known + other, 8, regimes)
        same_bits(changed.take(changed.ts_ms <= cut), wanted)


def test_a_machine_silent_for_months_is_connected_anew() -> None:
    """One stray reading of an unset clock must not fill years with emptiness."""
    arrivals = readings(2, 3)
    stray = Reading(PUMP, 1_000_000, {"vibration": 1.0}, received_ms=START)
    wanted = history(arrivals, 3, {})
    rows = history([stray, *arrivals], 3, {})
    rows = rows.take(rows.ts_ms >= START)
    same_bits(rows, wanted)
    ticks = live([stray, *arrivals], 3, {})
    same_bits(ticks.take(np.isin(ticks.ts_ms, wanted.ts_ms)), wanted)
    store = MemoryStore()
    store.write_readings(arrivals)
    job = FeatureJob(store, PLANT, SETTINGS)  # type: ignore[arg-type]
    late = job.tick(START + 300 * 24 * HOUR)
    assert late.column("asset.silent.age")[0] == pytest.approx(300 * 24 - 3, abs=0.3)
    assert np.isnan(late.column("vibration.1h.mean")[0])


def test_nothing_for_nobody() -> None:
    job = FeatureJob(MemoryStore(), PLANT, SETTINGS)  # type: ignore[arg-type]
    assert len(job.tick(START)) == 0
    assert PUMP.asset == "pump-1"

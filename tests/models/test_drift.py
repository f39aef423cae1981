"""Drift: what machines share and what seasons bring is no drift; what moved is found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from features.catalogue import Catalogue, Feature
from features.table import FeatureTable
from models.drift import Drift, _against_earlier_years, check_drift
from models.settings import ModelSettings
from plant.times import DAY_MS

Floats = NDArray[np.float64]
START_MS = 1_650_000_000_000
NEWEST_DAYS = 14


def checks(
    shared: Callable[[np.random.Generator, NDArray[np.int64]], Floats],
    settings: ModelSettings,
    *,
    seed: int,
    days: int = 180,
    machines: int = 10,
    signals: int = 1,
    moved: Floats | None = None,
) -> list[Drift]:
    """Check daily rows that are `shared` by all machines plus own noise (sd 0.5) and own level (0.3).

    moved: float64[machines] what the first signal of each moves by in the newest days.
    """
    rng = np.random.default_rng(seed)
    day = np.arange(days)
    X = np.empty((machines, days, signals))
    for s in range(signals):
        own = rng.normal(0, 0.5, (machines, days)) + rng.normal(0, 0.3, (machines, 1))
        X[:, :, s] = shared(rng, day) + own
    if moved is not None:
        X[:, -NEWEST_DAYS:, 0] += moved[:, None]
    names = tuple(f"s{s}" for s in range(signals))
    table = FeatureTable(
        np.repeat([f"s/l/p{m:02d}" for m in range(machines)], days).astype(object),
        np.tile(START_MS + day * DAY_MS, machines).astype(np.int64),
        X.reshape(-1, signals),
        Catalogue(tuple(Feature(s, "ewm6h", "level", "degC", "x") for s in names), names),
        np.zeros((machines * days, signals), dtype=np.uint8),
        np.full(machines * days, "pump", dtype=object),
    )
    return check_drift(table, START_MS + (days - NEWEST_DAYS) * DAY_MS, settings)


def nothing(rng: np.random.Generator, day: NDArray[np.int64]) -> Floats:
    return np.zeros(len(day))


def product_mix(rng: np.random.Generator, day: NDArray[np.int64]) -> Floats:
    """Another level every week, the same for all machines."""
    return rng.normal(0, 1, len(day) // 7 + 1)[day // 7]


def weather(rng: np.random.Generator, day: NDArray[np.int64]) -> Floats:
    """Return a level that remembers 0.8 of yesterday's, sd 1."""
    level = rng.normal(0, 1, len(day))
    for i in range(1, len(day)):
        level[i] = 0.8 * level[i - 1] + 0.6 * level[i]
    return level


def season(rng: np.random.Generator, day: NDArray[np.int64]) -> Floats:
    return np.asarray(5 * np.sin(2 * np.pi * day / 365))


@pytest.mark.parametrize(("shared", "days"), [(product_mix, 200), (weather, 180), (season, 760)])
def test_what_all_machines_share_is_no_drift(
    shared: Callable[[np.random.Generator, NDArray[np.int64]], Floats],
    days: int,
    settings: ModelSettings,
) -> None:
    """Each machine judged by itself, a third to two thirds of these were called drift."""
    found = [checks(shared, settings, seed=s, days=days + 9 * s) for s in range(12)]
    assert sum(d.drifted for drifts in found for d in drifts) <= 1


@pytest.mark.parametrize(
    ("shared", "days", "moved"),
    [
        (nothing, 180, np.full(10, 1.0)),
        (nothing, 180, np.repeat([3.0, 0.0], 5)),
        (nothing, 180, np.linspace(-3, 3, 10)),  # wider, in the middle the same
        (weather, 180, np.full(10, 4.0)),
        (season, 760, np.full(10, 1.0)),  # a tenth of what the year brings
    ],
)
def test_what_moved_is_found(
    shared: Callable[[np.random.Generator, NDArray[np.int64]], Floats],
    days: int,
    moved: Floats,
    settings: ModelSettings,
) -> None:
    found = [checks(shared, settings, seed=s, days=days, moved=moved) for s in range(4)]
    assert sum(drifts[0].drifted for drifts in found) >= 3


def test_many_signals_leave_one_its_chance(settings: ModelSettings) -> None:
    """Corrected for thirty signals, the level is below one in a thousand: draws must reach it."""
    drifts = checks(nothing, settings, seed=1, signals=30, moved=np.full(10, 2.0))
    assert [d.what for d in drifts if d.drifted] == ["s0"]


def test_a_week_is_compared_with_the_same_week_of_every_earlier_year() -> None:
    weeks = np.full((1, 110), np.nan)
    weeks[0, [1, 53, 105]] = 1.0, 2.0, 6.0  # 52 and 104 weeks apart
    against = _against_earlier_years(weeks)
    assert np.isnan(against[0, 1])
    assert against[0, [53, 105]].tolist() == [1.0, 4.5]


def test_too_little_history_says_nothing(settings: ModelSettings) -> None:
    assert checks(nothing, settings, seed=0, days=60) == []

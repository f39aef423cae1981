"""Health indices: what moves slowly in many signals is found, per regime, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from features.catalogue import build_catalogue
from features.regime_fit import fit_regimes
from features.settings import FeatureSettings
from features.slow import slow_factors, smoothed
from plant.config import KindSpec, SignalSpec

LIVES, LENGTH, SPAN = 40, 150, 20.0
GROUPS = np.repeat(np.arange(LIVES), LENGTH)
#: What six signals show of two ways to wear; two more show nothing.
LOADS = np.array(
    [[1.0, 0.8, -0.9, 0.6, 0.3, 0.0, 0.0, 0.0], [0.0, 0.5, 0.4, -0.7, 1.0, 0.9, 0.0, 0.0]]
)


def wear(seed: int) -> np.ndarray:
    """Two ways to wear, float64[n, 2]: the first always rises, the second rises or falls."""
    rng = np.random.default_rng(seed)
    age = np.tile(np.linspace(0, 1, LENGTH), LIVES)
    speed, way = rng.uniform(1, 4, LIVES)[GROUPS], rng.normal(0, 2, LIVES)[GROUPS]
    return np.column_stack([speed * age**2, way * age])


def told(truth: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Return the share of each truth's variance that smoothed factors tell, float64[2]."""
    slow = smoothed(np.ascontiguousarray(factors), GROUPS, 5.0)
    design = np.column_stack([np.ones(len(slow)), slow])
    left = truth - design @ np.linalg.lstsq(design, truth, rcond=None)[0]
    return 1 - left.var(axis=0) / truth.var(axis=0)


def apply(z: np.ndarray, place: np.ndarray, centre: np.ndarray, mix: np.ndarray) -> np.ndarray:
    """The obvious definition, row by row."""
    return np.array([mix[r] @ (row - centre[r]) for row, r in zip(z, place, strict=True)])


def test_two_ways_to_wear_are_found_and_noise_is_not() -> None:
    truth = wear(1)
    z = truth @ LOADS + np.random.default_rng(2).normal(size=(len(GROUPS), 8))
    place = np.zeros(len(z), np.int64)
    centre, mix = slow_factors(z, GROUPS, place, 1, 4, SPAN)
    assert mix.shape == (1, 2, 8)
    assert told(truth, apply(z, place, centre, mix)).min() > 0.85
    noise = np.random.default_rng(3).normal(size=z.shape)
    assert slow_factors(noise, GROUPS, place, 1, 4, SPAN)[1].shape == (1, 1, 8)


def test_indices_are_uncorrelated_and_the_first_rises_with_wear() -> None:
    truth = wear(4)
    z = -truth @ LOADS + np.random.default_rng(5).normal(size=(len(GROUPS), 8))
    place = np.zeros(len(z), np.int64)
    factors = apply(z, place, *slow_factors(z, GROUPS, place, 1, 2, SPAN))
    assert np.allclose(np.cov(factors, rowvar=False), np.eye(2), atol=1e-6)
    assert np.corrcoef(factors[:, 0], truth[:, 0])[0, 1] > 0.6
    late = np.tile(np.arange(LENGTH) > 100, LIVES)
    rise = factors[late].mean(axis=0) - factors[~late].mean(axis=0)
    assert rise[0] > 0
    assert abs(rise[1]) < 0.1 * rise[0]


def test_a_regime_that_shows_wear_the_other_way_round_has_its_own_mix() -> None:
    rng = np.random.default_rng(6)
    truth = wear(7)
    place = rng.integers(0, 2, len(GROUPS))
    loads = np.stack([LOADS, LOADS * [1, 1, -1, 1, -1, 1, 1, 1]])
    z = np.einsum("nf,nfc->nc", truth, loads[place]) + rng.normal(size=(len(GROUPS), 8))
    centre, mix = slow_factors(z, GROUPS, place, 2, 2, SPAN)
    one = slow_factors(z, GROUPS, np.zeros_like(place), 1, 2, SPAN)
    own = told(truth, apply(z, place, centre, mix))
    common = told(truth, apply(z, np.zeros_like(place), *one))
    assert own.min() > 0.8
    assert np.all(own > common)
    assert np.sign(mix[0, 0, 2]) == -np.sign(mix[1, 0, 2])


@pytest.mark.parametrize("regimes", [1, 2])
def test_the_kernel_mixes_as_the_fit_says(regimes: int) -> None:
    rng = np.random.default_rng(8)
    names = tuple(f"s{i}" for i in range(8))
    ops = rng.integers(0, regimes, (len(GROUPS), 1)) * 10.0
    means = wear(9) @ LOADS + rng.normal(size=(len(GROUPS), 8)) + 5 * ops
    model = fit_regimes(
        means, ops, names, ("load",), groups=GROUPS, components=2, blends=True, smooth=SPAN
    )
    assert model.components == 4
    assert np.allclose(model.mix[:, 2], (model.mix[:, 0] + model.mix[:, 1]) / np.sqrt(2))
    assert np.allclose(model.mix[:, 3], (model.mix[:, 0] - model.mix[:, 1]) / np.sqrt(2))
    means[3, 2] = np.nan
    excess, place = model.excess(means, ops)
    assert len(set(place.tolist())) == regimes
    at = place.astype(np.int64)
    off = np.nan_to_num(excess[:, :8] / model.reference - model.mix_centre[at])  # unknown: usual
    wanted = np.einsum("npc,nc->np", model.mix[at], off)
    assert np.allclose(excess[:, 8:], wanted, atol=1e-9)


def test_too_little_history_gives_no_index() -> None:
    rng = np.random.default_rng(10)
    model = fit_regimes(
        rng.normal(size=(60, 8)), np.zeros((60, 0)), tuple(f"s{i}" for i in range(8)), ()
    )
    assert model.components == 0


def test_health_indices_alone_leave_the_signals_out() -> None:
    kind = KindSpec(signals={"a": SignalSpec(), "b": SignalSpec()})
    settings = FeatureSettings(excess="health", window_stats=(), extra=())
    names = build_catalogue(kind, settings, components=1).names
    assert "health1.own.deviation" in names
    assert not [name for name in names if name.startswith(("a.", "b."))]
    without = build_catalogue(kind, settings).names  # nothing was fitted: signals must do
    assert "a.own.deviation" in without

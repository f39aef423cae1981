"""How wide curves are: found on held-out lives, kept to the mean, refused when damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bundle import Bundle, load, save
from models.curve import SurvivalCurves
from models.hazard import Landmarks
from models.score import predict
from models.sharpness import KNOTS, Sharpness, fit_sharpness, sharpness_from_dict, sharpness_to_dict
from plant.errors import ModelError
from tests.models.test_bundle import rewrite

EDGES = np.linspace(0, 200, 41)
CAP_H = 150.0


def log_logistic(middle: np.ndarray, spread: float) -> SurvivalCurves:
    """Return curves of median `middle` whose log-odds rise by 1 / spread per unit of log time."""
    with np.errstate(divide="ignore"):
        z = (np.log(EDGES) - np.log(middle)[:, None]) / spread
    return SurvivalCurves(EDGES, 1 / (1 + np.exp(z)))


def lives(n: int, spread: float, seed: int) -> tuple[np.ndarray, Landmarks]:
    """Return n medians and what became of them; a fifth were cut off at a random time."""
    rng = np.random.default_rng(seed)
    middle = np.exp(rng.uniform(np.log(8), np.log(120), n))
    life = middle * np.exp(rng.logistic(0, spread, n))
    cut = np.where(rng.random(n) < 0.2, rng.uniform(5, 200, n), np.inf)
    return middle, Landmarks(np.zeros((n, 1)), np.minimum(life, cut), life <= cut, np.ones(n))


def test_curves_twice_too_wide_are_narrowed_by_two() -> None:
    middle, marks = lives(1500, 0.1, seed=1)
    wide = log_logistic(middle, 0.2)
    found = fit_sharpness(wide, marks, np.arange(1500), CAP_H)
    assert found is not None
    assert np.exp(found.log_slopes[1:4]) == pytest.approx([2, 2, 2], rel=0.25)
    middle, marks = lives(1500, 0.1, seed=2)
    wide, right = log_logistic(middle, 0.2), log_logistic(middle, 0.1)
    off = [
        np.abs(c.p_fail(30.0) - right.p_fail(30.0)).mean() for c in (wide, found.sharpened(wide))
    ]
    assert off[1] < 0.4 * off[0]


def test_curves_too_narrow_are_widened() -> None:
    middle, marks = lives(1500, 0.25, seed=3)
    found = fit_sharpness(log_logistic(middle, 0.16), marks, np.arange(1500), CAP_H)
    assert found is not None
    assert max(found.log_slopes[:4]) < 0


def test_right_curves_and_few_lives_are_left() -> None:
    middle, marks = lives(1500, 0.15, seed=4)
    right = log_logistic(middle, 0.15)
    assert fit_sharpness(right, marks, np.arange(1500), CAP_H) is None
    few, many = lives(1500, 0.05, seed=5)[1], np.arange(1500) % 15
    assert fit_sharpness(log_logistic(middle, 0.3), few, many, CAP_H) is None


@given(
    slopes=st.lists(st.floats(-0.6, 1.4), min_size=len(KNOTS), max_size=len(KNOTS)),
    seed=st.integers(0, 99),
)
def test_sharpened_curves_fall_and_keep_their_mean(slopes: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = rng.exponential(rng.choice([0.01, 0.1, 1.0], (20, 1)), (20, len(EDGES) - 1))
    curves = SurvivalCurves(
        EDGES, np.exp(-np.cumsum(np.column_stack([np.zeros(20), steps]), axis=1))
    )
    sharp = Sharpness(CAP_H, tuple(slopes)).sharpened(curves)
    assert np.all(np.diff(sharp.survival, axis=1) <= 1e-12)
    assert np.all(sharp.survival[:, 0] == 1)
    endless = ~np.isfinite(curves.quantile_h(0.5))
    assert np.array_equal(sharp.survival[endless], curves.survival[endless])
    # Time is stretched by 0.4 to 2.5 at most, so the mean of the oddest curves cannot be kept.
    mean = curves.restricted_mean_h(CAP_H)
    usual = (mean > 5) & (curves.survival[:, 1] > 0.5)
    assert sharp.restricted_mean_h(CAP_H)[usual] == pytest.approx(mean[usual], rel=0.02)


def test_a_model_says_how_wide_and_reads_it_again(bundle: Bundle, tmp_path: Path) -> None:
    table = np.random.default_rng(0).normal(size=(50, len(bundle.features)))
    slopes = tuple(0.6 for _ in KNOTS)
    narrow = replace(bundle, sharpness=Sharpness(CAP_H, slopes))
    save(narrow, tmp_path / "m")
    read = load(tmp_path / "m")
    assert read.sharpness == narrow.sharpness
    before, after = (predict(b, table).curves for b in (replace(bundle, sharpness=None), read))
    assert before is not None
    assert after is not None
    assert not np.array_equal(before.survival, after.survival)
    late = table.copy()
    late[:, list(bundle.features).index("asset.life.age")] = np.nan
    assert (
        narrow.late_windows is None
    )  # so unknown ages share both, as levels hold for sharpened curves
    shared = predict(narrow, late)
    assert shared.curves is not None
    assert narrow.windows is not None
    assert np.array_equal(shared.windows_h, narrow.windows.windows(shared.curves), equal_nan=True)
    blunt = predict(replace(narrow, sharpness=None), late).curves
    assert blunt is not None
    assert not np.array_equal(shared.curves.survival, blunt.survival)
    for name, value in (("log_slopes", [0.6]), ("log_slopes", [9.0] * len(KNOTS)), ("cap_h", -1.0)):
        damaged = sharpness_to_dict(Sharpness(CAP_H, slopes)) | {name: value}
        with pytest.raises(ValueError, match="sharpness"):
            sharpness_from_dict(damaged)
        rewrite(tmp_path / "m", sharpness=damaged)
        with pytest.raises(ModelError, match="sharpness"):
            load(tmp_path / "m")

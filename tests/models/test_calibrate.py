"""Recalibration and window levels: the parts that make predictions mean what they say."""

from __future__ import annotations

import numpy as np
import pytest

from models.bins import expand
from models.calibrate import fit_hazard_calibration, fit_window_levels
from models.curve import SurvivalCurves

EDGES = np.linspace(0, 100, 11)


def exponential(rates: np.ndarray) -> SurvivalCurves:
    return SurvivalCurves(EDGES, np.exp(-rates[:, None] * EDGES))


def test_recalibration_undoes_a_known_distortion() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(-2, 1, (4000, 10))
    hazards = 1 / (1 + np.exp(-truth))
    fails = rng.random(hazards.shape) < hazards
    first = np.where(fails.any(axis=1), fails.argmax(axis=1), 10)
    ttf = np.minimum(first * 10 + 5.0, 101.0)
    c = fit_hazard_calibration(2 * truth + 1, expand(ttf, first < 10, EDGES))
    assert c.slope == pytest.approx(0.5, abs=0.05)
    assert c.intercept == pytest.approx(-0.5, abs=0.1)


def test_recalibration_counts_lives_not_rows() -> None:
    """Fifty rows of each of eight lives that all err the same change no more than one row of each."""
    ttf, failed = np.array([15.0, 25.0, 35.0, 45.0, 55.0, 65.0, 75.0, 85.0]), np.ones(8, bool)
    logits = np.random.default_rng(1).normal(-2.5, 0.5, (8, 10))
    once = fit_hazard_calibration(logits, expand(ttf, failed, EDGES))
    again = np.repeat(np.arange(8), 50)
    periods = expand(ttf[again], failed[again], EDGES)
    many = fit_hazard_calibration(logits[again], periods, rows_per_life=50.0)
    assert many.intercept == pytest.approx(once.intercept)
    assert many.slope == pytest.approx(once.slope)
    assert 0 < many.intercept < fit_hazard_calibration(logits[again], periods).intercept


def test_recalibration_leaves_everything_without_failures() -> None:
    periods = expand(np.full(10, 50.0), np.zeros(10, bool), EDGES)
    assert fit_hazard_calibration(np.zeros((10, 10)), periods).slope == 1.0


@pytest.mark.parametrize("censored", [0.0, 0.5])
def test_windows_hold_what_they_promise_even_when_the_curve_is_too_sure(censored: float) -> None:
    """Lives are twice as spread as the curves say; half of them are cut at random."""
    rng = np.random.default_rng(1)
    n = 6000
    middle = rng.uniform(10, 60, n)
    life = middle * np.exp(rng.normal(0, 0.5, n))
    z = (np.log(np.maximum(EDGES, 1e-3)) - np.log(middle)[:, None]) / 0.25
    curves = SurvivalCurves(EDGES, np.where(EDGES == 0, 1.0, 1 - 0.5 * (1 + np.tanh(0.8 * z))))
    cut = np.where(rng.random(n) < censored, rng.uniform(0, 100, n), np.inf)
    seen, observed = np.minimum(life, cut), life <= cut
    every = np.arange(3000)
    levels = fit_window_levels(
        curves.take(every), seen[:3000], observed[:3000], 0.8, np.ones(3000), every
    )
    windows = levels.windows(curves.take(np.arange(3000, n)))
    known = np.isfinite(windows[:, 2])
    inside = (life[3000:] >= windows[:, 0]) & (life[3000:] <= windows[:, 2])
    assert inside[known].mean() == pytest.approx(0.8, abs=0.04)


def test_lives_that_outlast_the_curve_neither_widen_nor_shift_windows() -> None:
    """The curves are right and two thirds of lives outlast them: every range is held by 80 %."""
    rng = np.random.default_rng(3)
    middle = np.exp(rng.uniform(np.log(10), np.log(1000), 20_000))
    life = middle * np.exp(rng.logistic(0, 0.25, len(middle)))
    with np.errstate(divide="ignore"):
        z = (np.log(EDGES) - np.log(middle)[:, None]) / 0.25
    curves = SurvivalCurves(EDGES, 1 / (1 + np.exp(z)))
    every, seen = np.arange(len(life)), np.minimum(life, 150.0)
    levels = fit_window_levels(curves, seen, life < 150, 0.8, np.ones(len(life)), every)
    low, median, high = levels.windows(curves).T
    short = median < 60
    inside = (life >= low) & (life <= high)
    assert inside[short].mean() == pytest.approx(0.8, abs=0.02)
    for reach in (short, (median >= 60) & (median < 100)):
        assert (life < low)[reach].mean() == pytest.approx(0.1, abs=0.02)


def test_endless_windows_do_not_hide_that_others_are_narrow() -> None:
    """Of few lives, whose rows err alike, most outlive the curve; the others are held by 80 %."""
    rng = np.random.default_rng(6)

    def lives(n: int) -> tuple[SurvivalCurves, np.ndarray, np.ndarray]:
        of = np.repeat(np.arange(n), 12)
        mean_h = np.where(rng.random(n) < 0.7, 900.0, 25.0)[of] * np.exp(rng.normal(0, 0.3, 12 * n))
        return exponential(1 / mean_h), -np.log(rng.random(n)[of]) * mean_h, of

    covered = []
    for _ in range(60):
        curves, life, of = lives(40)
        seen = np.minimum(life, 101.0)
        levels = fit_window_levels(curves, seen, life <= 100, 0.8, np.ones(len(life)), of)
        curves, life, _ = lives(300)
        low, _, high = levels.windows(curves).T
        ended = np.isfinite(high)
        covered.append(np.mean(((life >= low) & (life <= high))[ended]))
    assert np.mean(covered) == pytest.approx(0.8, abs=0.02)


def test_windows_of_few_lives_hold_for_other_lives() -> None:
    """Twelve lives of many like rows: counted as rows, windows would be far too sure."""
    rng = np.random.default_rng(4)
    covered = []
    for _ in range(60):
        rows, own = 60, np.repeat(rng.normal(0, 0.5, 40), 60)  # a life's rows err alike
        middle = rng.uniform(10, 60, len(own))
        life = middle * np.exp(own + rng.normal(0, 0.05, len(own)))
        z = (np.log(np.maximum(EDGES, 1e-3)) - np.log(middle)[:, None]) / 0.25
        curves = SurvivalCurves(EDGES, np.where(EDGES == 0, 1.0, 1 - 0.5 * (1 + np.tanh(0.8 * z))))
        of = np.repeat(np.arange(40), rows)
        know, new = of < 12, np.flatnonzero(of >= 12)
        levels = fit_window_levels(
            curves.take(know), life[know], life[know] < 1e9, 0.8, np.ones(know.sum()), of[know]
        )
        windows = levels.windows(curves.take(new))
        known = np.isfinite(windows[:, 2])
        covered.append(
            np.mean(((life[new] >= windows[:, 0]) & (life[new] <= windows[:, 2]))[known])
        )
    assert np.mean(covered) == pytest.approx(0.8, abs=0.05)

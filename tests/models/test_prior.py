"""What deviation and age say beside the trees, and how the trees take over."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.bins import make_edges
from models.bundle import Bundle, load, save
from models.hazard import Landmarks
from models.prior import (
    Prior,
    fit_prior,
    known_of,
    learn_prior,
    prior_from_dict,
    prior_to_dict,
    trees_share,
)
from models.score import predict, score
from models.settings import ModelSettings
from models.train import train
from plant.errors import ModelError
from tests.models.conftest import NOW_MS
from tests.models.fleet import PLANT, fleet
from tests.models.test_bundle import rewrite

EDGES = make_edges(200.0, 10)


def worn(n: int, seed: int) -> tuple[NDArray[np.float64], Landmarks]:
    """Return what is known of machines whose hazard rises with the square of the deviation."""
    rng = np.random.default_rng(seed)
    deviation = np.exp(rng.normal(-0.5, 0.8, n))
    ttf = rng.exponential(150.0 / deviation**2)
    censored = rng.uniform(50, 400, n)
    marks = Landmarks(np.zeros((n, 1)), np.minimum(ttf, censored), ttf <= censored, np.ones(n))
    return known_of(deviation, np.full(n, np.nan)), marks


def hindsight(marks: Landmarks) -> NDArray[np.float64]:
    """Return log-odds of trees that know in which bin each machine fails."""
    fails = marks.event[:, None] & (EDGES[None, 1:] >= marks.ttf_h[:, None])
    return np.where(fails, 3.0, -3.0)


def test_the_slope_is_the_power_of_the_deviation() -> None:
    known, marks = worn(4000, 1)
    prior = fit_prior(known, marks, EDGES)
    assert prior.slopes[0] / prior.spread[0] == pytest.approx(2.0, abs=0.35)
    assert prior.slopes[1] == 0  # no age was ever known


def test_what_tells_of_the_near_bins_alone_fades_with_the_horizon() -> None:
    """Worn machines fail within 60 hours or are as others are; old ones fail only after that."""
    rng = np.random.default_rng(8)
    worn_, old = rng.random((2, 4000)) < 0.5
    near = rng.exponential(np.where(worn_, 60.0, 600.0))
    far = 60.0 + rng.exponential(np.where(old, 60.0, 600.0))
    ttf = np.minimum(np.where(near <= 60.0, near, np.inf), far)
    marks = Landmarks(np.zeros((4000, 1)), ttf, ttf < 200.0, np.ones(4000))
    known = np.column_stack([worn_, old]).astype(np.float64)
    prior = fit_prior(known, marks, EDGES)
    assert prior.drift[0] < -1
    assert prior.drift[1] > 1
    told = prior.logits(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    by_wear, by_age = told[1] - told[0], told[2] - told[0]
    assert by_wear[0] > 1.5
    assert abs(by_wear[-1]) < 0.7
    assert by_age[0] < 0.7
    assert by_age[-1] > 1.5
    before = prior_to_dict(prior)
    del before["drift"]  # as bundles before format 4
    assert np.all(prior_from_dict(before, 10).drift == 0)


def test_the_unknown_is_usual_and_the_unseen_is_as_the_nearest_seen() -> None:
    known, marks = worn(500, 2)
    prior = fit_prior(known, marks, EDGES)
    odd = np.array([[np.nan, np.nan], [50.0, 3.0], [-50.0, 3.0]])
    nearest = np.array([[prior.centre[0], 0.0], [prior.high[0], 0.0], [prior.low[0], 0.0]])
    assert np.array_equal(prior.logits(odd), prior.logits(nearest))
    assert np.array_equal(
        np.isnan(known_of(np.array([0.0, np.nan]), np.array([0.0, 5.0]))[:, 0]), [False, True]
    )


def test_trees_that_know_more_take_over_as_lives_accumulate() -> None:
    shares = []
    for lives in (10, 40, 400):
        known, marks = worn(lives, 3)
        row = life = np.arange(lives)
        by_prior = fit_prior(known, marks, EDGES).logits(known)
        better = by_prior + 0.3 * hindsight(marks)
        shares.append(trees_share(by_prior, better, marks, row, life, EDGES))
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.8
    assert shares[-1] == 1.0


def test_rows_of_one_life_are_one_observation() -> None:
    known, marks = worn(12, 3)
    by_prior = fit_prior(known, marks, EDGES).logits(known)
    trees = by_prior + 0.3 * hindsight(marks)
    row = life = np.arange(12)
    once = trees_share(by_prior, trees, marks, row, life, EDGES)
    again = np.repeat(row, 50)
    many = trees_share(by_prior, trees, marks.take(again), again, again, EDGES)
    assert 0 < once < 1
    assert many == once


def test_trees_that_know_nothing_are_not_heard() -> None:
    known, marks = worn(200, 4)
    noise = np.random.default_rng(5).normal(-2, 1.5, (200, 10))
    fold = np.arange(200) % 4
    row = np.arange(200)
    prior, both = learn_prior(known, noise, fold, marks, row, row, EDGES)
    assert prior is not None
    assert prior.share < 0.1
    assert both.shape == noise.shape
    perfect = 2 * hindsight(marks)
    alone, same = learn_prior(known, perfect, fold, marks, row, row, EDGES)
    assert alone is None
    assert same is perfect


@pytest.fixture(scope="module")
def first(settings: ModelSettings) -> Bundle:
    """The first model of a plant with hardly more failures than are needed."""
    table, events = fleet(machines=8, lives=3, seed=5)
    return train(table, events, PLANT, settings, now_ms=NOW_MS)


def test_the_first_model_listens_to_the_deviation(first: Bundle, bundle: Bundle) -> None:
    assert first.lineage["failures"] == 24
    assert first.prior is not None
    assert first.prior.slopes[0] > 0
    shares = [b.lineage["prior"]["share_of_trees"] for b in (first, bundle)]
    assert shares[0] < shares[1]
    assert first.prior.share == pytest.approx(shares[0], abs=0.005)


def test_what_is_said_is_the_blend(first: Bundle, tmp_path: Path) -> None:
    table, _ = fleet(machines=2, lives=1, seed=9)
    first = replace(first, horizons=None, sharpness=None)
    p = predict(first, table.X)
    assert first.hazard is not None
    assert first.prior is not None
    assert p.curves is not None
    X = table.X.astype(np.float32).astype(np.float64)
    known = known_of(first.deviation.score(X), X[:, -1])
    z = first.prior.share * first.hazard.logits(X) + (1 - first.prior.share) * first.prior.logits(
        known
    )
    assert np.allclose(p.curves.survival, first.hazard.curves_of(z).survival)
    assert not np.allclose(p.curves.survival, first.hazard.curves(X).survival)
    save(first, tmp_path / "model")
    again = predict(load(tmp_path / "model"), table.X)
    assert again.curves is not None
    assert np.array_equal(again.curves.survival, p.curves.survival)


def test_a_model_of_before_is_read_and_a_signed_but_damaged_prior_is_not(
    first: Bundle, tmp_path: Path
) -> None:
    save(replace(first, prior=None), tmp_path / "before")
    rewrite(tmp_path / "before", format=1)
    assert load(tmp_path / "before").prior is None
    assert first.prior is not None
    save(first, tmp_path / "odd")
    rewrite(tmp_path / "odd", prior=prior_to_dict(first.prior) | {"share": 2.0})
    with pytest.raises(ModelError, match="damaged"):
        load(tmp_path / "odd")


def test_drivers_name_what_deviates(first: Bundle, settings: ModelSettings) -> None:
    """Where the trees are hardly heard the signal farthest from healthy is the driver."""
    assert first.prior is not None
    quiet = replace(first, prior=replace(first.prior, share=0.0))
    table, events = fleet(machines=8, lives=3, seed=5)
    failure = next(e for e in events if e.kind == "failure" and e.mode == "SEAL")
    row = np.flatnonzero((table.assets == str(failure.asset)) & (table.ts_ms < failure.ts_ms))[-1:]
    (a,) = score(quiet, table.take(row), settings, explain_above=0.0)
    assert a.drivers[0].signal == "heat"
    assert a.drivers[0].contribution > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"share": 1.0},
        {"share": float("nan")},
        {"slopes": [1.0]},
        {"drift": [0.0, float("nan")]},
        {"offsets": [0.0] * 9},
        {"spread": [0.0, 1.0]},
        {"low": [float("inf"), 0.0]},
    ],
)
def test_a_damaged_prior_is_refused(changes: dict[str, object]) -> None:
    known, marks = worn(50, 6)
    good = json.loads(json.dumps(prior_to_dict(fit_prior(known, marks, EDGES))))
    assert isinstance(prior_from_dict(good, 10), Prior)
    with pytest.raises(ValueError, match="prior"):
        prior_from_dict(good | changes, 10)

"""Folds that grow together: one number of trees for all, found on machines that were left out."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pytest

from models.bins import FloatArray, make_edges
from models.bundle import Bundle
from models.crossfit import CrossFit, Examples, crossfit
from models.forest import parse_forest
from models.hazard import Landmarks, Trainee, as_input, fit_member
from models.settings import ModelSettings
from models.splits import folds_by_group

EDGES = make_edges(200.0, 8)
EVENTS = np.full(24, 40.0)
SETTINGS = ModelSettings(folds=3, max_rounds=80, patience=8, threads=1)


@pytest.fixture(scope="module")
def examples() -> Examples:
    """Return 24 machines of which the wear tells much in the first fold, nothing in the last."""
    rng = np.random.default_rng(3)
    machine = np.repeat(np.arange(24), 40)
    X = as_input(rng.normal(size=(len(machine), 6)))
    fold = folds_by_group(machine, EVENTS, SETTINGS.folds, SETTINGS.seed)
    told = np.array([1.5, 1.0, 0.0])[fold]
    ttf = np.exp(4.0 + told * X[:, 0] + rng.normal(0, 0.4, len(machine)))
    marks = Landmarks(X, ttf, np.ones(len(ttf), bool), np.ones(len(ttf)))
    return Examples(marks, np.arange(len(ttf)), machine)


def by_folds(examples: Examples, settings: ModelSettings) -> CrossFit:
    X, machine = examples.landmarks.X, examples.group
    return crossfit(examples, None, X, machine, EVENTS, EDGES, settings, lambda *_: None)


def losses(examples: Examples, fold: np.ndarray, k: int, rounds: int) -> FloatArray:
    """Return the loss of one fold's held-out machines before and after each of so many rounds."""
    marks, seed = examples.landmarks, SETTINGS.seed + 1000 + k
    alone = Trainee(marks.take(fold != k), EDGES, SETTINGS, seed, marks.take(fold == k))
    alone.grow(rounds)
    return np.array(alone.losses)


def test_all_folds_predict_with_as_many_trees(examples: Examples) -> None:
    """A fold with fewer has wider curves, and the windows found on them are too narrow in use."""
    oof = by_folds(examples, SETTINGS)
    best = [int(np.argmin(losses(examples, oof.fold, k, 60))) for k in range(3)]
    assert min(best) < oof.rounds - 1  # left alone, one of them would have stopped earlier
    for k in range(3):
        part = examples.landmarks.take(oof.fold != k)
        fit = fit_member(part, EDGES, SETTINGS, SETTINGS.seed + 1000 + k, oof.rounds)
        inside = oof.fold == k
        walked = parse_forest(fit.text).predict_bins(examples.landmarks.X[inside], 8)[:, :, 0]
        assert np.array_equal(oof.logits[inside], walked + fit.offsets)


def test_folds_stop_where_their_mean_loss_is_lowest(examples: Examples) -> None:
    oof = by_folds(examples, SETTINGS)
    mean = np.mean([losses(examples, oof.fold, k, 60) for k in range(3)], axis=0)
    assert oof.rounds == np.argmin(mean)
    assert oof.loss == mean[oof.rounds]
    assert oof.crowd_loss == mean[0]
    assert oof.loss < oof.crowd_loss


def test_folds_stop_at_the_most_rounds(examples: Examples) -> None:
    assert by_folds(examples, SETTINGS.model_copy(update={"max_rounds": 4})).rounds == 4


def test_the_model_in_use_has_more_trees_as_it_has_more_machines(bundle: Bundle) -> None:
    assert CrossFit(np.zeros((8, 1)), np.arange(8) % 4, 90, 0.1, 0.2).rounds_of_all() == 120
    assert bundle.hazard is not None
    assert {lgb.Booster(model_str=text).num_trees() for text in bundle.hazard.texts} == {
        bundle.lineage["rounds"]
    }


def test_growing_by_steps_changes_nothing(examples: Examples) -> None:
    marks = examples.landmarks
    trainee = Trainee(marks, EDGES, SETTINGS, 5, marks)
    for step in (3, 1, 12):
        trainee.grow(step)
    assert len(trainee.losses) == 17
    at_once = fit_member(marks, EDGES, SETTINGS, 5, 10)
    assert trainee.fit(10).text == at_once.text
    assert lgb.Booster(model_str=at_once.text).num_trees() == 10


def test_no_leaf_stands_on_a_handful_of_failures(examples: Examples) -> None:
    """Bins in which hardly anything fails fill a leaf with examples long before it holds evidence."""
    marks = examples.landmarks
    seen = Landmarks(marks.X, marks.ttf_h, np.arange(len(marks.ttf_h)) % 4 == 0, marks.weight)
    failed = np.count_nonzero(seen.event & (seen.ttf_h <= EDGES[-1]))
    text = fit_member(seen, EDGES, SETTINGS, 0, 20).text
    expected = [
        float(value)
        for line in text.splitlines()
        if line.startswith("leaf_weight=")
        for value in line.removeprefix("leaf_weight=").split()
    ]
    assert len(expected) > 40
    assert min(expected) >= 0.01 * failed

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pytest

from models.bins import make_edges
from models.bundle import Bundle
from models.forest import parse_forest, split_gains
from models.hazard import (
    Landmarks,
    as_input,
    feature_fraction,
    fit_member,
    horizon_columns,
)
from models.settings import ModelSettings
from plant.errors import ModelError


def awkward_rows(bundle: Bundle, n: int = 300) -> np.ndarray:
    rng = np.random.default_rng(1)
    X = rng.normal(0, 2, (n, len(bundle.features)))
    X[rng.random(X.shape) < 0.2] = np.nan
    X[rng.random(X.shape) < 0.1] = 0.0
    X[0] = np.inf
    X[1] = -np.inf
    return as_input(X)


def test_joint_walk_equals_lightgbm_bit_for_bit(bundle: Bundle) -> None:
    assert bundle.hazard is not None
    X = awkward_rows(bundle)
    bins = bundle.hazard.bins
    rows = np.column_stack([np.repeat(X, bins, axis=0), np.tile(np.arange(bins), len(X))])
    theirs = lgb.Booster(model_str=bundle.hazard.texts[0]).predict(
        rows, raw_score=True, num_threads=1
    )
    ours = bundle.hazard.forests[0].predict_bins(X, bins)[:, :, 0]
    assert np.array_equal(ours, np.asarray(theirs).reshape(len(X), bins))


def test_gains_equal_lightgbm_and_are_read_without_it(bundle: Bundle) -> None:
    assert bundle.hazard is not None
    text, features = bundle.hazard.texts[0], bundle.hazard.forests[0].features
    theirs = lgb.Booster(model_str=text).feature_importance("gain")
    assert split_gains(text, features) == pytest.approx(np.asarray(theirs), rel=1e-4)
    cut = "\nTree=".join(text.split("\nTree=")[:4])  # the sizes in the header are wrong now
    assert split_gains(cut, features).sum() < theirs.sum()
    with pytest.raises(ModelError, match="gains"):
        split_gains(text.replace("split_gain=", "split_gain=x "), features)


def test_modes_equal_lightgbm_bit_for_bit(bundle: Bundle) -> None:
    assert bundle.modes is not None
    assert bundle.modes.forest is not None
    X = awkward_rows(bundle)
    rows = np.column_stack([X, np.full(len(X), 3)])
    theirs = lgb.Booster(model_str=bundle.modes.text).predict(rows, raw_score=True, num_threads=1)
    assert np.array_equal(bundle.modes.forest.predict_bins(X, 10)[:, 3, :], np.asarray(theirs))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("left_child=", "left_child=7 "),
        ("split_feature=", "split_feature=9999 "),
        ("leaf_value=", "leaf_value=nan "),
        ("leaf_value=-", "leaf_value=-1e300"),
        ("internal_count=", "internal_count=9e99"),
        ("decision_type=", "decision_type=2."),
        ("leaf_count=", "leaf_count=1.5"),
        ("num_leaves=", "num_leaves=-"),
        ("max_feature_idx=", "max_feature_idx=x"),
    ],
)
def test_damaged_trees_are_refused(bundle: Bundle, old: str, new: str) -> None:
    assert bundle.hazard is not None
    with pytest.raises(ModelError):
        parse_forest(bundle.hazard.texts[0].replace(old, new))


def test_a_walk_cannot_run_in_circles(bundle: Bundle) -> None:
    assert bundle.hazard is not None
    text = bundle.hazard.texts[0]
    line = next(
        part for part in text.splitlines() if part.startswith("left_child=") and len(part) > 20
    )
    loop = "left_child=" + " ".join("0" for _ in line.split("=")[1].split())
    with pytest.raises(ModelError, match="do not form a tree"):
        parse_forest(text.replace(line, loop))


def test_wrong_number_of_features_is_refused(bundle: Bundle) -> None:
    assert bundle.hazard is not None
    with pytest.raises(ModelError, match="features"):
        bundle.hazard.logits(np.zeros((1, 3)))


def test_many_features_give_the_horizon_several_times_and_the_walk_still_equals_lightgbm() -> None:
    rng = np.random.default_rng(0)
    X = as_input(rng.normal(size=(400, 150)))
    X[rng.random(X.shape) < 0.05] = np.nan
    ttf = rng.exponential(40, 400) * np.exp(np.nan_to_num(X[:, 0])) + 0.1
    edges = make_edges(200.0, 8)
    settings = ModelSettings()
    marks = Landmarks(X, ttf, np.ones(400, bool), np.ones(400))
    fit = fit_member(marks, edges, settings, 3, 30)
    booster = lgb.Booster(model_str=fit.text)
    forest = parse_forest(fit.text)
    count = horizon_columns(settings, 150)
    assert count == forest.horizons > 1
    assert 1 - (1 - feature_fraction(settings, 150)) ** count >= 0.75
    walked = forest.predict_bins(X, 8)[:, :, 0]
    for k in range(8):
        theirs = booster.predict(np.column_stack([X, np.full((400, count), k)]), raw_score=True)
        assert np.array_equal(walked[:, k], np.asarray(theirs))
    assert np.ptp(walked, axis=1).max() > 0


def test_few_features_are_all_seen_and_give_the_horizon_once() -> None:
    settings = ModelSettings()
    assert feature_fraction(settings, 6) == 1.0
    assert horizon_columns(settings, 6) == 1

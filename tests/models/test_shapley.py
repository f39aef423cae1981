from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bundle import Bundle
from models.forest import Forest
from models.shapley import shapley
from tests.models import trees
from tests.models.test_forest import awkward_rows
from tests.models.trees import AWKWARD, random_nodes


@given(st.integers(0, 2**32 - 1), st.integers(1, 14), st.integers(1, 2))
@settings(max_examples=30, deadline=None)
def test_shares_equal_the_sum_over_all_subsets(seed: int, leaves: int, horizons: int) -> None:
    nodes = random_nodes(seed, 2, 4, horizons, leaves)
    rng = np.random.default_rng(seed)
    x, bin_ = rng.choice([*AWKWARD, np.nan], 4), int(rng.integers(6))
    forest = Forest(nodes, 4 + horizons, 1, horizons)
    wanted = trees.shapley(nodes, np.append(x, np.full(horizons, bin_)))
    assert shapley(forest, x[None], np.array([bin_]))[0] == pytest.approx(wanted[:4], abs=1e-12)


def test_shares_equal_lightgbm(bundle: Bundle) -> None:
    assert bundle.hazard is not None
    X = awkward_rows(bundle)
    bins = np.random.default_rng(2).integers(bundle.hazard.bins, size=len(X))
    forest, booster = bundle.hazard.forests[0], lgb.Booster(model_str=bundle.hazard.texts[0])
    inputs = np.column_stack([X, np.tile(bins[:, None], (1, forest.horizons))])
    theirs = np.asarray(booster.predict(inputs, pred_contrib=True))[:, : X.shape[1]]
    ours = shapley(forest, X, bins)
    assert np.abs(theirs).max() > 0.1
    assert np.abs(ours - theirs).max() < 1e-12

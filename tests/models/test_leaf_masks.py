from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.forest import Forest
from tests.models.trees import AWKWARD, random_nodes, walk


def awkward_rows(seed: int, n: int, features: int) -> np.ndarray:
    return np.random.default_rng(seed).choice([*AWKWARD, np.nan, np.nan], (n, features))


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from((1, 2, 5, 31, 32, 33, 64, 65, 150)),
    st.integers(0, 3),
    st.integers(1, 3),
    st.sampled_from((1, 2, 63, 64, 65)),
)
@settings(max_examples=100, deadline=None)
def test_scores_equal_a_walk_bit_for_bit(
    seed: int, leaves: int, horizons: int, classes: int, n: int
) -> None:
    features, bins = 4, 6
    nodes = random_nodes(seed, 3 * classes, features, horizons, leaves)
    X = awkward_rows(seed, n, features)
    scores = Forest(nodes, features + horizons, classes, horizons).predict_bins(X, bins)
    for i in range(n):
        for k in range(bins):
            wanted = np.zeros(classes)
            for tree in range(3 * classes):
                wanted[tree % classes] += walk(nodes, tree, np.append(X[i], np.full(horizons, k)))
            assert scores[i, k].tolist() == wanted.tolist()


@pytest.mark.parametrize("bins", [1, 3, 20])
def test_the_number_of_bins_is_asked_for_not_built_in(bins: int) -> None:
    nodes = random_nodes(5, 8, 3, 2, 40)
    X = awkward_rows(5, 70, 3)
    forest = Forest(nodes, 5, 1, 2)
    scores = forest.predict_bins(X, bins)
    assert scores.shape == (70, bins, 1)
    assert np.array_equal(scores[:, : min(bins, 3)], forest.predict_bins(X, 3)[:, :bins])


def test_no_rows_give_no_scores() -> None:
    assert Forest(random_nodes(1, 2, 3, 1, 9), 4, 1, 1).predict_bins(np.zeros((0, 3)), 5).size == 0

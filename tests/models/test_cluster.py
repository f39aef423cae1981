from __future__ import annotations

import numpy as np
import pytest

from models.bins import make_edges
from models.cluster import fit_member_on_cluster
from models.forest import parse_forest
from models.hazard import Landmarks, as_input, fit_member
from models.settings import ModelSettings
from plant.errors import DataError


def test_a_cluster_learns_what_one_process_learns() -> None:
    from distributed import Client, LocalCluster

    rng = np.random.default_rng(0)
    X = as_input(rng.normal(size=(1200, 4)))
    ttf = rng.exponential(60 * np.exp(X[:, 0]))
    edges = make_edges(168.0, 8)
    settings = ModelSettings(feature_fraction=1.0, bagging_fraction=1.0, num_leaves=7)
    everything = Landmarks(X, ttf, np.ones(1200, bool), np.ones(1200))
    parts = [everything.take(np.arange(600)), everything.take(np.arange(600, 1200))]
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        fit = fit_member_on_cluster(client, parts, edges, settings, 1, 30)
    alone = fit_member(everything, edges, settings, 1, 30)
    Z = as_input(rng.normal(size=(200, 4)))
    together = parse_forest(fit.text).predict_bins(Z, 8) + fit.offsets[:, None]
    apart = parse_forest(alone.text).predict_bins(Z, 8) + alone.offsets[:, None]
    assert np.allclose(fit.offsets, alone.offsets)
    assert np.corrcoef(together.ravel(), apart.ravel())[0, 1] > 0.97


def test_nothing_to_learn_is_said() -> None:
    nothing = Landmarks(np.zeros((0, 2)), np.zeros(0), np.zeros(0, bool), np.zeros(0))
    with pytest.raises(DataError, match="no landmarks"):
        fit_member_on_cluster(None, [nothing], make_edges(168.0, 8), ModelSettings(), 1, 5)

"""Boosters of single horizons: when they join, what they say, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest

from features.table import FeatureTable
from models.bundle import Bundle, load, save
from models.crossfit import CrossFit
from models.curve import SurvivalCurves
from models.explain import contributions
from models.hazard import Landmarks, as_input
from models.horizons import fit_horizons, horizons_from_dict, horizons_to_dict
from models.labels import label_rows
from models.metrics import brier
from models.score import predict
from models.settings import ModelSettings
from models.train import train
from plant.errors import ModelError
from plant.event import Event
from tests.models.conftest import NOW_MS, SETTINGS
from tests.models.fleet import PLANT, fleet
from tests.models.test_bundle import rewrite


def announced(seed: int) -> tuple[FeatureTable, list[Event]]:
    """Return a fleet whose failures announce themselves 24 h ahead and not before."""
    table, events = fleet(machines=16, lives=4, seed=seed)
    labels = label_rows(table.assets, table.ts_ms, events, SETTINGS)
    table.X[:, :5] = np.random.default_rng(seed).normal(size=(len(table), 5))
    table.X[:, 0] += 3.0 * (labels.ttf_h <= 24)
    return table, events


@pytest.fixture(scope="module")
def asked(settings: ModelSettings) -> Bundle:
    return train(*announced(3), PLANT, settings, now_ms=NOW_MS)


def test_one_question_is_answered_better_where_faults_announce_themselves(asked: Bundle) -> None:
    assert asked.horizons is not None
    assert 24.0 in asked.horizons.hours
    assert asked.lineage["horizons"] == dict(
        zip(map(str, asked.horizons.hours), asked.horizons.shares, strict=True)
    )
    table, events = announced(4)
    labels = label_rows(table.assets, table.ts_ms, events, SETTINGS)
    losses = []
    for bundle in (asked, replace(asked, horizons=None)):
        curves = predict(bundle, as_input(table.X)).curves
        assert curves is not None
        p = curves.p_fail(24.0)[labels.valid, 0]
        losses.append(brier(p, labels.ttf_h[labels.valid], labels.observed[labels.valid], 24.0))
    assert losses[0] < 0.9 * losses[1]


def marks_of(n: int, lives: int, seed: int) -> tuple[Landmarks, np.ndarray, CrossFit]:
    """Return landmarks of which the first feature tells whether they fail within 24 h."""
    rng = np.random.default_rng(seed)
    ttf = rng.uniform(0.1, 200, n)
    X = np.column_stack([rng.normal(size=n) + 3 * (ttf <= 24), rng.normal(size=n)])
    life = np.arange(n) % lives
    oof = CrossFit(np.zeros((n, 4)), life % 3, 10, 1.0, 1.0)
    return Landmarks(X, ttf, np.ones(n, bool), np.ones(n)), life, oof


EDGES = np.array([0.0, 10.0, 30.0, 100.0, 200.0])
FLAT = np.exp(-EDGES / 100)


def curves_of(n: int) -> SurvivalCurves:
    return SurvivalCurves(EDGES, np.tile(FLAT, (n, 1)))


def test_what_is_not_known_is_what_the_curve_says_and_never_a_no() -> None:
    marks, life, oof = marks_of(900, 60, 1)
    # Half of those that fail within a day are cut off before: a "no" of each would teach the opposite.
    near = marks.ttf_h <= 24
    cut = near & (np.arange(900) % 2 == 0)
    unsure = replace(marks, event=~cut, ttf_h=np.where(cut, marks.ttf_h / 2, marks.ttf_h))
    survival = np.where(near[:, None], [1.0, 0.5, 0.01, 0.008, 0.005], FLAT)
    told = SurvivalCurves(EDGES, survival)
    said = [
        fit_horizons(marks.X, oof, unsure, np.arange(900), life, curves, SETTINGS, lambda *_: None)
        for curves in (told, curves_of(900))
    ]
    found = [bent.p_fail(24.0)[cut, 0].mean() for boosters, bent in said if boosters is not None]
    assert found[0] > 0.8
    assert 0.4 < found[1] < 0.7


@pytest.mark.parametrize("lives", [12, 60])
def test_few_failures_or_nothing_to_gain_leave_the_curve_alone(lives: int) -> None:
    marks, life, oof = marks_of(600, lives, 2)
    if lives == 60:  # enough, but nothing tells of the failure
        marks = replace(marks, X=np.random.default_rng(0).normal(size=marks.X.shape))
        ttf = np.random.default_rng(1).exponential(100, 600)
        marks = replace(marks, ttf_h=ttf)
    curves = curves_of(600)
    boosters, same = fit_horizons(
        marks.X, oof, marks, np.arange(600), life, curves, SETTINGS, lambda *_: None
    )
    assert boosters is None
    assert same is curves


def test_held_out_curves_are_those_of_boosters_that_did_not_see_the_life() -> None:
    marks, life, oof = marks_of(900, 60, 5)
    boosters, held_out = fit_horizons(
        marks.X, oof, marks, np.arange(900), life, curves_of(900), SETTINGS, lambda *_: None
    )
    assert boosters is not None
    seen = boosters.blend(marks.X, curves_of(900))
    losses = [brier(c.p_fail(24.0)[:, 0], marks.ttf_h, marks.event, 24.0) for c in (held_out, seen)]
    assert losses[0] > 1.05 * losses[1]


def test_drivers_are_also_those_of_the_booster_that_speaks(asked: Bundle) -> None:
    X = as_input(announced(6)[0].X)
    curves = predict(asked, X).curves
    assert curves is not None
    assert asked.horizons is not None
    assert asked.horizons.hours == (24.0,)
    with_it = contributions(asked, X, curves)
    without = contributions(replace(asked, horizons=None), X, curves)
    likeliest = np.argmax(-np.diff(curves.survival) / np.diff(curves.edges_h), axis=1)
    near = curves.edges_h[likeliest] < 24
    assert 0 < near.sum() < len(X)
    assert np.array_equal(with_it[~near], without[~near])
    booster = lgb.Booster(model_str=asked.horizons.texts[0])
    theirs = np.asarray(booster.predict(X[near], pred_contrib=True))[:, :-1]
    share = asked.horizons.shares[0]
    assert np.allclose(with_it[near], (1 - share) * without[near] + share * theirs)


def test_a_saved_model_says_the_same(asked: Bundle, tmp_path: Path) -> None:
    X = as_input(announced(6)[0].X[:200])
    save(asked, tmp_path / "model")
    again, before = predict(load(tmp_path / "model"), X).curves, predict(asked, X).curves
    assert again is not None
    assert before is not None
    assert np.array_equal(again.survival, before.survival)


def test_a_model_of_before_is_read(asked: Bundle, tmp_path: Path) -> None:
    save(replace(asked, horizons=None), tmp_path / "before")
    rewrite(tmp_path / "before", format=4)
    assert load(tmp_path / "before").horizons is None


@pytest.mark.parametrize(
    "changes",
    [
        {"hours": [24.0, 8.0], "shares": [1.0, 1.0]},
        {"hours": [-1.0], "shares": [1.0]},
        {"hours": [900.0], "shares": [1.0]},
        {"hours": [8.0], "shares": [1.5]},
        {"hours": [8.0], "shares": []},
        {"hours": [], "shares": []},
        {"hours": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "shares": [1.0] * 6},
    ],
)
def test_damaged_horizons_are_refused(
    asked: Bundle, tmp_path: Path, changes: dict[str, list[float]]
) -> None:
    save(asked, tmp_path / "model")
    rewrite(tmp_path / "model", horizons=changes)
    with pytest.raises(ModelError, match="damaged"):
        load(tmp_path / "model")


def test_boosters_of_other_features_are_refused(asked: Bundle) -> None:
    assert asked.horizons is not None
    files: dict[str, bytes] = {}
    written = horizons_to_dict(asked.horizons, files)
    assert horizons_from_dict(written, files, 6, 200.0).shares == asked.horizons.shares
    with pytest.raises(ValueError, match="features"):
        horizons_from_dict(written, files, 7, 200.0)

"""Repairs that were made because of how machines looked are told from others, and left out of training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.table import FeatureTable
from models.dependence import Dependence, dependence
from models.labels import label_rows
from models.score import predict
from models.settings import ModelSettings
from models.train import train
from plant.asset import AssetPath
from plant.event import Event
from tests.models.fleet import PLANT, fleet


def cut_short(
    why: str, seed: int, settings: ModelSettings, found: str = "unknown"
) -> tuple[FeatureTable, list[Event]]:
    """Return a fleet of which two thirds of the lives end by a repair, for looks, age or no reason."""
    table, events = fleet(machines=25, lives=6, seed=seed)
    labels = label_rows(table.assets, table.ts_ms, events, settings)
    rng = np.random.default_rng(seed)
    look = np.maximum(table.X[:, 0], table.X[:, 2])
    age = table.column("asset.life.age")
    assets = np.array(
        [f"s/l/pump-{i:03d}" for i in range(len(labels.lives))], dtype=object
    )  # one life each
    table = replace(table, assets=assets[labels.life])
    keep = np.ones(len(table), dtype=bool)
    log: list[Event] = []
    for i, life in enumerate(labels.lives):
        mine = np.flatnonzero(labels.life == i)
        over = {
            "looks": look[mine] > rng.uniform(0.8, 3.6),
            "age": age[mine] > rng.normal(250, 30),
            "nothing": age[mine] > rng.uniform(20, 500),
        }[why]
        path = AssetPath.parse(assets[i])
        if over.any():
            at = int(np.flatnonzero(over)[0]) + 1
            keep[mine[at:]] = False
            done_ms = int(table.ts_ms[mine[at - 1]]) + 60_000
            log.append(Event(path, done_ms, "maintenance", mode=life.mode, found=found))
        else:
            log.append(Event(path, life.stop_ms, "failure", mode=life.mode))
    return table.take(keep), log


def judged(why: str, seed: int, settings: ModelSettings) -> Dependence:
    table, events = cut_short(why, seed, settings)
    labels = label_rows(table.assets, table.ts_ms, events, settings)
    return dependence(labels, table.ts_ms, np.maximum(table.X[:, 0], table.X[:, 2]))


@pytest.mark.parametrize("why", ["age", "nothing"])
def test_repairs_by_age_or_for_nothing_are_not_on_condition(
    why: str, settings: ModelSettings
) -> None:
    found = [judged(why, seed, settings) for seed in range(12)]
    assert all(one.repairs >= 20 for one in found)
    assert not any(one.on_condition for one in found)
    assert abs(np.mean([one.z for one in found])) < 1.0  # standard errors, so about normal
    assert np.std([one.z for one in found]) < 2.0


def test_repairs_for_looks_are_on_condition(settings: ModelSettings) -> None:
    for seed in range(6):
        one = judged("looks", seed, settings)
        assert one.on_condition
        assert one.percentile > 0.75


def test_a_few_repairs_prove_nothing(settings: ModelSettings) -> None:
    table, events = cut_short("looks", 1, settings)
    few = table.take(np.isin(table.assets, sorted(set(table.assets))[:9]))
    labels = label_rows(few.assets, few.ts_ms, events, settings)
    one = dependence(labels, few.ts_ms, np.maximum(few.X[:, 0], few.X[:, 2]))
    assert one == Dependence(one.repairs, 0.5, 0.0)
    assert not one.on_condition


def test_the_model_leaves_such_lives_out_and_is_not_hopeful(settings: ModelSettings) -> None:
    """Judged on whole lives of another fleet, against a model that believes each repair was censoring."""
    table, events = cut_short("looks", 3, settings)
    told = train(table, events, PLANT, settings, now_ms=0)
    said = told.lineage["findings"]["unknown_repairs"]
    repairs = sum(e.kind == "maintenance" for e in events)
    assert said["left_out"] == repairs > 40
    table, events = cut_short(
        "looks", 3, settings, found="sound"
    )  # says: lasts, with nothing to weigh it
    plain = settings.model_copy(update={"degraded_residual_h": 0.0})
    believed = train(table, events, PLANT, plain, now_ms=0)
    whole, log = fleet(seed=99)
    labels = label_rows(whole.assets, whole.ts_ms, log, settings)
    rows = np.flatnonzero(labels.observed & labels.valid & (labels.ttf_h < 150))
    errors = []
    for bundle in (told, believed):
        curves = predict(bundle, whole.X[rows]).curves
        assert curves is not None
        errors.append(curves.restricted_mean_h(150.0) - labels.ttf_h[rows])
    bias = [float(np.mean(error)) for error in errors]
    assert abs(bias[0]) < 0.6 * bias[1]
    assert np.sqrt(np.mean(errors[0] ** 2)) < np.sqrt(np.mean(errors[1] ** 2))

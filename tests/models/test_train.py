from __future__ import annotations

import numpy as np
import pytest

from features.table import FeatureTable
from models.bundle import Bundle, to_files
from models.score import predict, score
from models.settings import ModelSettings
from models.train import train
from plant.errors import DataError, ModelError
from plant.event import Event
from plant.times import HOUR_MS
from tests.models.conftest import NOW_MS
from tests.models.fleet import CATALOGUE, PLANT, fleet

History = tuple[FeatureTable, list[Event]]


def test_same_seed_same_model_byte_for_byte(
    history: History, settings: ModelSettings, bundle: Bundle
) -> None:
    threaded = settings.model_copy(update={"threads": 3})
    again = train(*history, PLANT, threaded, now_ms=NOW_MS)
    assert again.hazard is not None
    assert bundle.hazard is not None
    assert again.hazard.texts == bundle.hazard.texts
    assert to_files(again) == to_files(bundle)


def test_model_knows_a_new_fleet(bundle: Bundle, settings: ModelSettings) -> None:
    table, events = fleet(machines=6, seed=99)
    ends = np.array([e.ts_ms for e in events if e.kind == "failure"])
    owner = [str(e.asset) for e in events if e.kind == "failure"]
    life_h = np.array([
        min(t for t, o in zip(ends, owner, strict=True) if o == a and t > ts) - ts
        for a, ts in zip(table.assets, table.ts_ms, strict=True)
    ]) / HOUR_MS  # fmt: skip
    p = predict(bundle, table.X)
    assert p.curves is not None
    assert p.windows_h is not None
    error = p.curves.restricted_mean_h() - np.minimum(life_h, 200)
    crowd = np.std(np.minimum(life_h, 200))
    assert np.sqrt(np.mean(error**2)) < 0.6 * crowd
    inside = (life_h >= p.windows_h[:, 0]) & (life_h <= p.windows_h[:, 2])
    assert 0.65 < inside[np.isfinite(p.windows_h[:, 2])].mean() < 0.95


def test_assessment_of_a_worn_machine(
    bundle: Bundle, history: History, settings: ModelSettings
) -> None:
    table, events = history
    failure = next(e for e in events if e.kind == "failure" and e.mode == "BRG")
    before = (table.assets == str(failure.asset)) & (table.ts_ms < failure.ts_ms)
    row = np.flatnonzero(before)[-1:]
    (a,) = score(bundle, table.take(row), settings)
    assert a.status == "ok"
    assert a.p_fail is not None
    assert a.p_fail[24] > 0.3
    assert sorted(a.p_fail.values()) == list(a.p_fail.values())
    assert a.mode is not None
    assert a.mode[0] == "BRG"
    assert a.drivers[0].signal == "shake"
    assert a.drivers[0].contribution > 0
    assert a.drivers[0].direction in {"high", "rising"}
    assert a.drivers[0].unit.startswith("mm/s")
    assert a.quantiles_h is not None
    assert a.quantiles_h[0] <= a.quantiles_h[1] <= a.quantiles_h[2]
    assert a.deviation is not None
    assert a.deviation > 1
    assert len(a.curve()) == 11


def test_young_or_blind_rows_get_no_confident_zero(
    bundle: Bundle, history: History, settings: ModelSettings
) -> None:
    table = history[0].take(np.arange(2))
    table.X[0, :] = np.nan
    table.X[1, -1] = 0.5  # half an hour old
    for a in score(bundle, table, settings):
        assert a.status == "insufficient_data"
        assert a.p_fail is None
        assert a.quantiles_h is None
        assert a.note


def test_few_failures_give_deviation_only_and_say_so(history: History) -> None:
    table, events = history
    strict = ModelSettings(min_failures=1000)
    bundle = train(table, events, PLANT, strict, now_ms=NOW_MS)
    assert bundle.hazard is None
    (a,) = score(bundle, table.take(np.array([50])), strict)
    assert a.status == "deviation_only"
    assert a.p_fail is None
    assert "1000 are needed" in a.note
    assert "half of" in a.note
    assert a.deviation is not None


def test_rare_modes_are_pooled_and_said_to_be(history: History, settings: ModelSettings) -> None:
    table, events = history
    renamed = [
        Event(e.asset, e.ts_ms, e.kind, mode="RARE", found=e.found)
        if i < 8 and e.mode == "BRG"
        else e
        for i, e in enumerate(events)
    ]
    bundle = train(table, renamed, PLANT, settings, now_ms=NOW_MS)
    assert bundle.modes is not None
    assert bundle.modes.codes[-1] == "other"
    assert bundle.modes.pooled == ("RARE",)
    assert bundle.lineage["modes_pooled"] == ["RARE"]


def test_no_future_reaches_a_model_or_a_score(history: History, settings: ModelSettings) -> None:
    """Scrambling everything after a moment changes neither a model trained as of it nor earlier scores."""
    table, events = history
    cut = int(np.median(table.ts_ms))
    rng = np.random.default_rng(3)
    X = table.X.copy()
    later = table.ts_ms >= cut
    X[later] = rng.permutation(X[later])
    scrambled = FeatureTable(
        table.assets, table.ts_ms, X, table.catalogue, table.faults, table.kinds
    )
    other_events = [e for e in events if e.ts_ms < cut]
    few = settings.model_copy(update={"max_rounds": 15, "min_failures": 10})
    a = train(table, events, PLANT, few, now_ms=NOW_MS, as_of_ms=cut)
    b = train(scrambled, other_events, PLANT, few, now_ms=NOW_MS, as_of_ms=cut)
    assert a.hazard is not None
    assert b.hazard is not None
    assert a.hazard.texts == b.hazard.texts
    past = np.flatnonzero(~later)
    pa, pb = predict(a, table.X[past]), predict(b, scrambled.X[past])
    assert pa.curves is not None
    assert pb.curves is not None
    assert np.array_equal(pa.curves.survival, pb.curves.survival)


def test_rows_of_other_features_are_refused(bundle: Bundle, history: History) -> None:
    table = history[0]
    other = type(CATALOGUE)(CATALOGUE.features, CATALOGUE.measured, basis="changed")
    foreign = FeatureTable(table.assets, table.ts_ms, table.X, other, table.faults, table.kinds)
    with pytest.raises(ModelError, match="another feature catalogue"):
        score(bundle, foreign)


def test_an_unknown_kind_is_named(history: History, settings: ModelSettings) -> None:
    with pytest.raises(DataError, match="there are: pump"):
        train(*history, PLANT, settings, now_ms=NOW_MS, kind="fan")


def test_manifest_says_where_the_model_comes_from(bundle: Bundle) -> None:
    lineage = bundle.lineage
    assert lineage["failures"] == 48
    assert lineage["failures_by_mode"].keys() == {"BRG", "SEAL"}
    assert lineage["metrics"]["skill"] > 0.1
    assert 0.7 < lineage["metrics"]["window_coverage"] < 0.9
    assert lineage["seed"] == 7
    for scores in lineage["challengers_brier"].values():
        assert scores["vigie"] < scores["age"]

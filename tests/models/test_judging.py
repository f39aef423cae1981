"""Heads, findings, deviation, drift, promotion, backtest: the parts that judge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.table import FeatureTable
from models.bundle import Bundle
from models.curve import SurvivalCurves, from_hazards
from models.drift import check_drift, should_retrain
from models.evaluate import Said, alarms, backtest
from models.found import infer_findings, last_rows
from models.heads import blend_to_mean, conditional_mean_h
from models.labels import label_rows
from models.lifetime import fit_lifetime
from models.metrics import average_precision, brier, calibration_ratio, concordance, window_coverage
from models.promote import compare
from models.report import write_report
from models.settings import ModelSettings
from models.splits import before, folds_by_group, thin
from models.train import train
from plant.errors import DataError
from plant.event import Event
from plant.times import DAY_MS, HOUR_MS
from tests.models.conftest import NOW_MS
from tests.models.fleet import PLANT, fleet

EDGES = np.linspace(0, 100, 11)
History = tuple[FeatureTable, list[Event]]


def exponential(rates: np.ndarray) -> SurvivalCurves:
    return SurvivalCurves(EDGES, np.exp(-rates[:, None] * EDGES))


def test_blend_reaches_the_mean_it_aims_at() -> None:
    curves = exponential(np.array([0.02, 0.03, 0.05]))
    goal = curves.restricted_mean_h(80.0) * np.array([1.2, 0.8, 1.0])
    blended = blend_to_mean(curves, goal, 80.0, 1.0)
    assert blended.restricted_mean_h(80.0) == pytest.approx(goal, rel=0.01)


def test_conditional_mean_of_an_exponential_has_no_memory() -> None:
    curves = SurvivalCurves(
        np.linspace(0, 1000, 200), np.exp(-0.02 * np.linspace(0, 1000, 200))[None, :]
    )
    assert conditional_mean_h(curves, np.array([30.0]), 900.0) == pytest.approx([80.0], rel=0.01)


def test_missing_codes_are_inferred_from_looks(settings: ModelSettings) -> None:
    table, events = fleet(machines=30, repaired=0.6, seed=5)
    labels = label_rows(table.assets, table.ts_ms, events, settings)
    rows = last_rows(labels, table.ts_ms)
    looks = 0.2 + np.abs(table.X[rows][:, [0, 2]]).max(axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    hidden = [
        replace(e, found="unknown")
        if e.found in {"sound", "degraded"} and rng.random() < 0.3
        else e
        for e in events
    ]
    masked = label_rows(table.assets, table.ts_ms, hidden, settings)
    findings = infer_findings(masked, rows, looks, settings)
    truth = np.array([life.reason == "degraded" for life in labels.lives])
    unknown = np.array([life.reason == "unknown" for life in masked.lives])
    assert unknown.sum() > 10
    assert findings.learned > 20
    assert findings.p[unknown & truth].mean() > findings.p[unknown & ~truth].mean() + 0.4
    certain = np.array([life.reason in {"failed", "open"} for life in masked.lives])
    assert set(findings.p[certain]) <= {0.0, 1.0}


def test_few_codes_are_taken_as_they_are(settings: ModelSettings, history: History) -> None:
    table, events = history
    labels = label_rows(table.assets, table.ts_ms, events, settings)
    rows = last_rows(labels, table.ts_ms)
    findings = infer_findings(labels, rows, np.ones((len(rows), 1)), settings)
    assert findings.learned == 0
    assert set(findings.p) <= {0.0, 1.0}


def test_lifetime_is_kaplan_meier_by_hand(history: History, settings: ModelSettings) -> None:
    table, events = history
    labels = label_rows(table.assets, table.ts_ms, events, settings)
    lifetime = fit_lifetime(labels.lives)
    assert lifetime.failures == 48
    median = lifetime.quantile_h(0.5)
    assert median is not None
    assert 200 < median < 400
    p = lifetime.p_fail(np.array([100.0, np.nan]), np.array([0.0, 1e6]))
    assert p[0].tolist() == [0.0, 1.0]


def test_metrics_on_worked_numbers() -> None:
    ttf, observed = np.array([1.0, 2.0, 3.0, 4.0]), np.ones(4, bool)
    assert concordance(ttf, ttf, observed, np.arange(4)) == 1.0
    assert concordance(-ttf, ttf, observed, np.arange(4)) == 0.0
    assert brier(np.array([1.0, 1, 0, 0]), ttf, observed, 2.5) == 0.0
    assert calibration_ratio(np.full(4, 0.5), ttf, observed, 2.5) == 1.0
    assert average_precision(
        np.array([0.9, 0.8, 0.1]), np.array([True, False, True])
    ) == pytest.approx(5 / 6)
    windows = np.array([[0.0, 1, 2], [0.0, 1, 1.5], [1.0, 2, np.inf], [3.0, 4, 5]])
    assert window_coverage(windows, ttf, observed)[0] == pytest.approx(2 / 3)


def test_censored_lives_do_not_bend_calibration() -> None:
    rng = np.random.default_rng(2)
    life, cut = rng.exponential(50, 20_000), rng.exponential(60, 20_000)
    seen, observed = np.minimum(life, cut), life <= cut
    p = np.full(len(seen), 1 - np.exp(-30 / 50))
    assert calibration_ratio(p, seen, observed, 30.0) == pytest.approx(1.0, abs=0.03)


def test_folds_spread_failures_and_keep_machines_whole() -> None:
    events = np.array([5, 0, 3, 1, 4, 0, 2, 1.0])
    groups = np.repeat(np.arange(8), 10)
    fold = folds_by_group(groups, events, 4, seed=0)
    assert all(len(set(fold[groups == g])) == 1 for g in range(8))
    per_fold = [events[[g for g in range(8) if fold[groups == g][0] == k]].sum() for k in range(4)]
    assert max(per_fold) - min(per_fold) <= 4


def test_thinning_keeps_every_life_and_the_limit() -> None:
    life = np.repeat(np.arange(5), 100)
    ts = np.tile(np.arange(100), 5).astype(np.int64)
    mask = thin(life, ts, 4, 60, seed=0)
    assert 0 < mask.sum() <= 75
    assert set(life[mask]) == set(range(5))


def test_embargo_parts_the_periods() -> None:
    ts = np.arange(10, dtype=np.int64) * HOUR_MS
    learn, judge = before(ts, 4 * HOUR_MS, 2.0)
    assert learn.sum() == 4
    assert judge.tolist() == [False] * 6 + [True] * 4


def test_identical_weeks_do_not_drift_and_a_shift_does(settings: ModelSettings) -> None:
    table, _ = fleet(machines=16, lives=6, seed=3)
    cut = int(np.quantile(table.ts_ms, 0.8))
    assert not any(d.drifted for d in check_drift(table, cut, settings))
    X = table.X.copy()
    X[table.ts_ms >= cut, 4] += 1.0  # the `noise` signal
    moved = FeatureTable(table.assets, table.ts_ms, X, table.catalogue, table.faults, table.kinds)
    drifts = check_drift(moved, cut, settings)
    assert [d.what for d in drifts if d.drifted] == ["noise"]
    assert should_retrain(drifts, 0, 1.0, settings) == "drift in noise"
    assert should_retrain([], 6, 1.0, settings) == "6 new failures"
    assert should_retrain([], 0, 40.0, settings) == "40 days since the last training"
    assert should_retrain([], 0, 1.0, settings) is None


@pytest.fixture(scope="module")
def crippled(history: History, settings: ModelSettings) -> Bundle:
    """A model that saw nothing but noise."""
    table, events = history
    X = table.X.copy()
    X[:, :4] = np.random.default_rng(0).normal(size=(len(X), 4))
    blind = FeatureTable(table.assets, table.ts_ms, X, table.catalogue, table.faults, table.kinds)
    return replace(train(blind, events, PLANT, settings, now_ms=NOW_MS), model_id="blind")


def test_only_a_clearly_better_challenger_takes_over(
    bundle: Bundle, crippled: Bundle, settings: ModelSettings
) -> None:
    table, events = fleet(machines=10, seed=77)
    labels = label_rows(table.assets, table.ts_ms, events, settings)
    rows = np.flatnonzero(labels.valid)
    tables = {bundle.model_id: table, "blind": table}
    up = compare(crippled, bundle, tables, labels, rows, settings)
    assert up.promote
    assert up.overall.low > 0
    assert {s.name for s in up.slices} == {"mode BRG", "mode SEAL"}
    down = compare(bundle, crippled, tables, labels, rows, settings)
    assert not down.promote
    assert "worse" in down.reason()
    same = compare(bundle, replace(bundle, model_id="blind"), tables, labels, rows, settings)
    assert same.overall.verdict == "unclear"
    assert "not clearly better" in same.reason()


def test_alarming_always_is_not_free() -> None:
    """Sixty days above the threshold, then a failure: an alarm a week, all but the last ones false."""
    days = [said(24.0 * d, 0.9, 24.0 * (60 - d), True) for d in range(60)]
    found = alarms(days, 168.0, 0.5, 8.0)
    assert found["alarms"] == 9  # days 0, 7, ... 56
    assert found["false_alarms"] == 8  # on day 56 the failure is 4 days ahead
    assert found["foreseen"] == 1
    next_life = [said(24.0 * d, 0.9, 24.0 * (66 - d), True) for d in range(60, 66)]
    assert alarms([*days, *next_life], 168.0, 0.5, 8.0)["alarms"] == 10


def said(hour: float, p: float, ttf: float, observed: bool = True) -> Said:
    return Said("s/l/p", round(hour * HOUR_MS), p, 1, 2, 3, ttf, observed)


def test_alarms_are_counted_as_people_count_them() -> None:
    days = [
        said(0, 0.1, 240), said(24, 0.9, 216),   # 216 h before: too early, false
        said(48, 0.1, 192), said(72, 0.8, 168), said(96, 0.9, 144),  # one alarm, foreseen 168 h ahead
        said(120, 0.2, 120),
    ]  # fmt: skip
    f = alarms(days, 168.0, 0.5, 8.0)
    assert (f["failures"], f["foreseen"], f["alarms"], f["false_alarms"]) == (1, 1, 2, 1)
    assert f["median_lead_h"] == 168


def test_backtest_knows_only_its_past_and_feeds_the_report(
    history: History, settings: ModelSettings, bundle: Bundle, tmp_path: Path
) -> None:
    table, events = history
    quick = settings.model_copy(update={"min_failures": 10, "max_rounds": 30})
    result = backtest(table, events, PLANT, quick, periods=2)
    assert result.figures["days"] == len(result.said) > 100
    assert result.figures["recall"] is not None
    assert result.figures["recall"] > 0.4
    assert all(p["failures_known"] < 48 for p in result.periods)
    first = min(s.ts_ms for s in result.said)
    assert first >= result.periods[0]["from_ms"] + DAY_MS
    out = tmp_path / "model.html"
    write_report(out, bundle, table, PLANT, result)
    html = out.read_text(encoding="utf-8")
    assert html.count("data:image/png;base64,") == 5
    assert "Calibration" in html
    assert 'src="http' not in html


def test_backtest_trains_as_vigie_does(
    history: History, settings: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each model gets the machines connected in mid-life that were known at its time."""
    table, events = history
    quick = settings.model_copy(update={"min_failures": 10, "max_rounds": 10, "challengers": False})
    trained: list[tuple[int, object]] = []

    def spy(*arguments: Any, midlife: FeatureTable | None, as_of_ms: int, **more: Any) -> Bundle:
        trained.append((as_of_ms, midlife))
        return train(*arguments, as_of_ms=as_of_ms, **more)

    monkeypatch.setattr("models.evaluate.train", spy)
    known: dict[int, FeatureTable] = {}

    def late(cut_ms: int) -> FeatureTable:
        return known.setdefault(cut_ms, table.take(table.ts_ms < cut_ms))

    result = backtest(table, events, PLANT, quick, periods=2, late=late)
    assert [cut for cut, _ in trained] == [p["from_ms"] for p in result.periods]
    assert all(midlife is known[cut] for cut, midlife in trained)


def test_backtest_refuses_a_horizon_past_the_curve(
    history: History, settings: ModelSettings
) -> None:
    table, events = history
    quick = settings.model_copy(
        update={"min_failures": 10, "max_rounds": 10, "challengers": False, "horizon_h": None}
    )
    with pytest.raises(DataError, match="--horizon 336 is past the") as refused:
        backtest(table, events, PLANT, quick, horizon_h=336.0, periods=2)
    largest = float(refused.value.fix.split()[2])
    assert 200 <= largest < 336
    told = backtest(table, events, PLANT, quick, horizon_h=largest, periods=2)
    assert all(np.isfinite(s.p_fail) for s in told.said)


def test_censored_fleet_is_not_taken_for_failing(settings: ModelSettings) -> None:
    """With most lives cut by coded repairs, the mean life stays that of the machines, not of the repairs."""
    table, events = fleet(machines=24, lives=5, repaired=0.6, seed=11)
    model = train(table, events, PLANT, settings, now_ms=NOW_MS)
    assert model.hazard is not None
    young = np.flatnonzero(table.X[:, 5] == 40.0)
    from models.score import predict

    p = predict(model, table.X[young])
    assert p.curves is not None
    assert (
        p.curves.restricted_mean_h().mean() > 150
    )  # lives last 150 to 450 h; repairs came at half
    assert model.lineage["findings"]["repairs"]["sound"] > 10


def test_flat_hazard_of_one_bin() -> None:
    assert from_hazards(np.array([0.0, 1.0]), np.array([[0.25]])).survival.tolist() == [[1.0, 0.75]]

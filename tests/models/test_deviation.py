from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from features.catalogue import Catalogue, Feature
from features.table import FeatureTable
from models import train
from models.columns import mode_ages, views
from models.deviation import (
    DeviationModel,
    deviation_from_dict,
    deviation_to_dict,
    fit_deviation,
)
from models.healthy import healthy_rows, whole_weeks
from models.labels import label_rows
from models.settings import ModelSettings
from models.tail import MONTH_MS, false_alarm_limit, spell_peaks, watched_ms
from plant.asset import AssetPath
from plant.event import Event
from plant.times import DAY_MS, HOUR_MS

Array = NDArray[np.float64]
RATE = 0.5
SETTINGS = ModelSettings(false_alarms_per_month=RATE)
EVERY = (np.arange(5),)


def healthy(
    machines: int, days: int, seed: int, signals: int = 5, offset: float = 0.3
) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
    """Return hourly rows of smooth, correlated signals; machines differ a little from each other."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(signals, signals))
    n = days * 24
    rows = []
    for _ in range(machines):
        noise = rng.normal(size=(n, signals))
        for i in range(1, n):  # each hour remembers most of the one before
            noise[i] = 0.9 * noise[i - 1] + np.sqrt(1 - 0.81) * noise[i]
        rows.append(noise @ mixing + 20 + offset * rng.normal(size=signals))
    ts = np.tile(np.arange(n, dtype=np.int64) * HOUR_MS, machines)
    return np.concatenate(rows), ts, np.repeat(np.arange(machines), n)


def false_alarms(model: DeviationModel, machines: int, days: int, seed: int) -> float:
    """Return the spells a machine-month of fresh healthy machines."""
    X, ts, groups = healthy(machines, days, seed)
    spells = len(spell_peaks(model.score(X), ts, groups, 1.0, DAY_MS))
    return spells / (watched_ms(ts, groups) / MONTH_MS)


@pytest.fixture(scope="module")
def model() -> DeviationModel:
    return fit_deviation(*healthy(12, 60, 0), EVERY, SETTINGS)


def test_fresh_healthy_machines_pass_the_limit_about_as_often_as_set() -> None:
    rates = [
        false_alarms(fit_deviation(*healthy(12, 60, seed), EVERY, SETTINGS), 40, 60, seed + 100)
        for seed in range(3)
    ]
    assert 0.1 < np.mean(rates) < 1.0  # 0.5 is asked


def test_a_lower_rate_gives_a_higher_limit() -> None:
    X, ts, groups = healthy(12, 60, 0)
    seldom = ModelSettings(false_alarms_per_month=0.01)
    assert np.all(
        fit_deviation(X, ts, groups, EVERY, seldom).score(X[:50])
        < fit_deviation(X, ts, groups, EVERY, SETTINGS).score(X[:50])
    )


def test_signals_that_stop_agreeing_deviate_though_each_is_in_its_range() -> None:
    rng = np.random.default_rng(1)
    common = rng.normal(size=5000)
    X = np.column_stack([common, common + 0.05 * rng.normal(size=5000)])
    ts = np.arange(5000, dtype=np.int64) * HOUR_MS
    model = fit_deviation(X, ts, np.zeros(5000, np.int64), (np.arange(2),), SETTINGS)
    assert model.score(np.array([[1.5, -1.5]]))[0] > 1
    assert model.score(np.array([[1.5, 1.5]]))[0] < 1


def test_one_signal_is_not_drowned_by_many_quiet_ones() -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(6000, 60))
    ts = np.arange(6000, dtype=np.int64) * HOUR_MS
    model = fit_deviation(X, ts, np.zeros(6000, np.int64), (np.arange(60),), SETTINGS)
    row = np.zeros((1, 60))
    row[0, 17] = 9.0
    assert model.score(row)[0] > 1
    assert int(np.argmax(np.abs(model.parts(row)[0]))) == 17


def test_a_coarse_sensor_does_not_rule_the_score() -> None:
    """Almost always at one value, its quartiles have no width; its rare other values are healthy too."""
    rng = np.random.default_rng(3)
    X = np.column_stack([rng.normal(size=8000), np.where(rng.random(8000) < 0.01, 1.0, 0.0)])
    X[:, 1] += 1e-6 * rng.normal(size=8000)
    ts = np.arange(8000, dtype=np.int64) * HOUR_MS
    groups = np.arange(8000) // 1000
    model = fit_deviation(X, ts, groups, (np.array([0]), np.array([1])), SETTINGS)
    assert model.score(np.array([[0.0, 1.0]]))[0] < 1
    assert model.score(np.array([[9.0, 0.0]]))[0] > 1


def test_a_healthy_period_with_a_fault_in_it_still_gives_a_useful_limit() -> None:
    X, ts, groups = healthy(12, 60, 0)
    X[500:560] += 60.0  # two and a half days of one machine were not healthy
    model = fit_deviation(X, ts, groups, EVERY, SETTINGS)
    clean, _, _ = healthy(1, 10, 5)
    assert np.all(model.score(clean + 40.0) > 1)
    assert np.mean(model.score(clean) > 1) < 0.01


def test_what_is_unknown_is_as_expected_and_nothing_known_is_no_score(
    model: DeviationModel,
) -> None:
    row = np.full((2, 5), np.nan)
    row[0] = model.centre
    row[0, 3] = np.nan
    score = model.score(row)
    assert score[0] == 0
    assert np.isnan(score[1])
    assert np.isnan(fit_deviation(*healthy(1, 1, 0), EVERY, SETTINGS).score(row)).all()


def test_the_same_rows_give_the_same_bits_and_survive_json(model: DeviationModel) -> None:
    X, ts, groups = healthy(12, 60, 0)
    again = fit_deviation(X, ts, groups, EVERY, SETTINGS)
    assert json.dumps(deviation_to_dict(again)) == json.dumps(deviation_to_dict(model))
    read = deviation_from_dict(json.loads(json.dumps(deviation_to_dict(model))), 5)
    assert np.array_equal(read.score(X), model.score(X))
    with pytest.raises(ValueError, match="shapes"):
        deviation_from_dict(deviation_to_dict(model), 4)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scale", [1.0, 1.0, 0.0, 1.0, 1.0]),
        ("centre", [1.0]),
        ("columns", [0, 1, 2, 3, -1]),
        ("views", []),
        ("views", [{"place": [0, 9], "whiten": [[1, 0], [0, 1]], "limits": [1, 1]}]),
        ("views", [{"place": [0], "whiten": [[1, 0]], "limits": [1, 1]}]),
        ("views", [{"place": [0], "whiten": [[1]], "limits": [1, -1]}]),
        ("limit", float("nan")),
    ],
)
def test_damaged_parameters_are_refused(model: DeviationModel, key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"deviation|reshape"):
        deviation_from_dict(deviation_to_dict(model) | {key: value}, 5)


def test_spells_are_counted_by_machine_and_day() -> None:
    ts = np.array([0, 1, 2, 40, 41, 0, 1], dtype=np.int64) * HOUR_MS
    groups = np.array([0, 0, 0, 0, 0, 1, 1])
    score = np.array([2.0, 3.0, 0.0, 2.5, 0.0, 0.0, 9.0])
    assert spell_peaks(score, ts, groups, 1.0, DAY_MS).tolist() == [3.0, 2.5, 9.0]
    assert spell_peaks(score, ts, groups, 1.0, 60 * HOUR_MS).tolist() == [3.0, 9.0]
    assert spell_peaks(score, ts, groups, 99.0, DAY_MS).tolist() == []
    assert watched_ms(ts, groups) == 4 * HOUR_MS  # the gap of 38 h was not watched


def test_the_limit_reaches_past_what_was_seen() -> None:
    """Daily peaks of an exponential law: a rate once a year needs ln(365) above the threshold's."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(40):
        days = np.arange(0, 120, 2)  # two days apart: every peak is a spell of its own
        score = rng.exponential(size=len(days))
        ts = np.repeat(days, 24) * DAY_MS + np.tile(np.arange(24), len(days)) * HOUR_MS
        rows = np.where(np.arange(24 * len(days)) % 24 == 12, np.repeat(score, 24), 0.0)
        filled = np.interp(np.arange(0, 118 * 24) * HOUR_MS, ts, rows)  # watched without gaps
        at = np.arange(0, 118 * 24, dtype=np.int64) * HOUR_MS
        found.append(false_alarm_limit(filled, at, np.zeros(len(at), np.int64), 1 / 12))
    # 15 peaks a month of an exponential law, one in 12 months wanted: ln(180) = 5.2
    assert 4.0 < np.median(found) < 6.5


def test_a_large_plant_is_learned_from_by_whole_weeks() -> None:
    ts = np.tile(np.arange(0, 70 * 24, dtype=np.int64) * HOUR_MS, 9)
    groups = np.repeat(np.arange(9), 70 * 24)
    kept = whole_weeks(ts, groups, len(ts) // 5)
    assert kept.sum() == len(ts) // 5
    assert set(groups[kept]) == set(range(9))
    weeks = np.unique(
        np.column_stack([groups, ts // (7 * DAY_MS)])[kept], axis=0, return_counts=True
    )
    assert set(weeks[1]) == {7 * 24}
    assert len(np.unique(weeks[0][:, 1])) == 10  # every week is seen at some machine
    assert whole_weeks(ts, groups, len(ts)).all()
    assert whole_weeks(ts[:100], groups[:100], 10).all()  # less than a week is taken as it is
    assert len(whole_weeks(ts[:0], groups[:0], 10)) == 0


def test_a_large_plant_keeps_its_false_alarm_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of noise without memory every eighth row passes a limit eight times less often than all rows do."""
    machines, n = 40, 60 * 24
    rng = np.random.default_rng(4)
    table = FeatureTable(
        np.repeat(np.array([f"s/l/m{i:02d}" for i in range(machines)], dtype=object), n),
        np.tile(np.arange(n, dtype=np.int64) * HOUR_MS, machines),
        rng.normal(size=(machines * n, 4)),
        Catalogue(tuple(Feature(f"s{i}", "ewm6h", "level", "", "") for i in range(4))),
        np.zeros((machines * n, 0), np.uint8),
    )
    settings = ModelSettings(false_alarms_per_month=RATE, healthy_share=0.9)
    monkeypatch.setattr(train, "_HEALTHY_ROWS", 6_500)
    model = train._healthy(table, label_rows(table.assets, table.ts_ms, [], settings), settings)
    assert 5_000 < model.rows < 8_000
    fresh, groups = rng.normal(size=(machines * n, 4)), np.repeat(np.arange(machines), n)
    spells = len(spell_peaks(model.score(fresh), table.ts_ms, groups, 1.0, DAY_MS))
    assert 0.2 < spells / (watched_ms(table.ts_ms, groups) / MONTH_MS) < 1.0


def test_a_fast_signal_keeps_its_false_alarm_rate() -> None:
    """On a grid of ten minutes noise passes its 80 % point every day: that spell never ends."""
    n, machines, months = 18 * 144, 20, 40 * 18 / 30
    ts = np.tile(np.arange(n, dtype=np.int64) * HOUR_MS // 6, machines)
    groups = np.repeat(np.arange(machines), n)
    rng, rates = np.random.default_rng(5), []
    for _ in range(5):
        limit = false_alarm_limit(np.abs(rng.normal(size=len(ts))), ts, groups, RATE)
        fresh = np.abs(rng.normal(size=(2, len(ts))))
        spells = sum(len(spell_peaks(one, ts, groups, limit, DAY_MS)) for one in fresh)
        rates.append(spells / months)
    assert 0.25 < np.mean(rates) < 1.0  # 0.5 is asked


def test_a_catalogue_is_looked_at_statistic_by_statistic() -> None:
    features = (
        Feature("a", "ewm6h", "level", "", ""),
        Feature("b", "ewm6h", "level", "", ""),
        Feature("a", "own", "deviation", "", ""),
        Feature("a", "24h", "slope", "", ""),
        Feature("asset", "deviation", "age", "h", ""),
        Feature("asset", "BRG", "age", "h", ""),
    )
    assert [v.tolist() for v in views(Catalogue(features))] == [[0, 1], [2]]
    assert mode_ages(Catalogue(features)) == {"BRG": 5}
    plain = (Feature("a", "1h", "mean", "", ""), Feature("a", "1h", "std", "", ""))
    assert [v.tolist() for v in views(Catalogue(plain))] == [[0], [1]]


def test_a_part_that_was_not_repaired_is_not_healthy_because_another_was() -> None:
    """The seal is mended at 60 h; the bearing, new at 0 h, fails at 100 h: past 30 h it is worn."""
    path = AssetPath("s", "l", "m")
    hours = np.arange(1, 140)
    catalogue = Catalogue((Feature("asset", "BRG", "age", "h", ""),))
    events = [
        Event(path, 60 * HOUR_MS, "failure", mode="SEAL"),
        Event(path, 61 * HOUR_MS, "maintenance", scope=("SEAL",), found="failed"),
        Event(path, 100 * HOUR_MS, "failure", mode="BRG"),
        Event(path, 101 * HOUR_MS, "maintenance", scope=("BRG",), found="failed"),
    ]
    age = np.where(hours <= 100, hours, hours - 101.0)
    table = FeatureTable(
        np.full(len(hours), str(path), dtype=object),
        hours * HOUR_MS,
        age[:, None].astype(float),
        catalogue,
        np.zeros((len(hours), 0), np.uint8),
    )
    settings = ModelSettings(healthy_share=0.3)
    labels = label_rows(table.assets, table.ts_ms, events, settings)
    told = set(hours[healthy_rows(table, labels, settings)].tolist())
    assert {1, 10, 18} <= told  # the first share of the first life
    assert not told & set(range(31, 101))  # the bearing's life past 30 h, the fresh seal or not
    assert {103, 110} <= told

"""The threshold that history would have chosen."""

from __future__ import annotations

import numpy as np
import pytest

from plant.asset import AssetPath
from plant.event import Event
from plant.risk import Risk
from plant.times import HOUR_MS
from serve.alarms.rules import Rules
from serve.alarms.tune import best, replay, scaled, tune, with_threshold
from serve.settings import ServeSettings, Thresholds
from tests.serve.examples import PLANT, T0, risk_at

RULES = Rules(PLANT, ServeSettings())
ASSETS = [AssetPath.parse(spec.path) for spec in PLANT.assets]


def history(seed: int = 0) -> tuple[dict[AssetPath, list[Risk]], list[Event]]:
    """Lives of 300 h; noise up to 0.3, risk rises to 0.5 in the last 60 h before each failure."""
    rng = np.random.default_rng(seed)
    risks: dict[AssetPath, list[Risk]] = {}
    events = []
    for asset in ASSETS:
        rows = []
        for life in range(6):
            start = T0 + life * 310 * HOUR_MS
            for hour in range(300):
                rise = 0.4 * max(0, hour - 240) / 60
                p = float(np.clip(0.1 + rise + 0.08 * rng.standard_normal(), 0, 1))
                rows.append(risk_at(start + hour * HOUR_MS, p, asset=asset))
            failed = start + 300 * HOUR_MS
            events.append(Event(asset, failed, "failure", mode="BRD", duration_h=6.0))
            events.append(Event(asset, failed + 6 * HOUR_MS, "start", mode="BRD"))
        rows.append(risk_at(T0 + 6 * 310 * HOUR_MS, 0.05, asset=asset))
        risks[asset] = rows
    return risks, events


def test_the_choice_catches_the_failures_at_the_least_cost() -> None:
    risks, events = history()
    trials = tune(risks, events, RULES, "pump", candidates=(0.05, 0.2, 0.25, 0.35, 0.5, 0.8))
    by_threshold = {trial.threshold: trial for trial in trials}
    failures = 6 * len(ASSETS)
    assert all(t.caught + t.late + t.missed == failures for t in trials)
    assert by_threshold[0.8].missed == failures
    assert by_threshold[0.05].false > failures > by_threshold[0.25].false
    chosen = best(trials)
    assert chosen is not None
    assert chosen.threshold in {0.2, 0.25, 0.35}
    assert chosen.caught >= 0.8 * failures
    assert chosen.cost == min(trial.cost for trial in trials if trial.in_budget)
    assert chosen.lead_h is not None
    assert chosen.lead_h >= 24


def test_a_small_budget_raises_the_threshold() -> None:
    risks, events = history()
    crew = PLANT.crews[0].model_copy(update={"alarm_budget_per_week": 1.0})
    poor = Rules(PLANT.model_copy(update={"crews": (crew,)}), ServeSettings())
    candidates = (0.15, 0.2, 0.25, 0.35)
    trials = tune(risks, events, poor, "pump", candidates=candidates)
    assert not any(trial.in_budget for trial in trials)
    chosen = best(trials)
    assert chosen is not None
    assert chosen.worst_week == min(trial.worst_week for trial in trials)


def test_other_kinds_are_left_out_and_nothing_gives_nothing() -> None:
    risks, events = history()
    (trial,) = tune(risks, events, RULES, "compressor", candidates=(0.3,))
    assert (trial.alarms, trial.missed, trial.cost) == (0, 0, 0)
    assert best([]) is None


def test_a_repair_ends_a_life_in_the_replay() -> None:
    rows = [risk_at(T0 + h * HOUR_MS, 0.5) for h in range(10)]
    assert [step.action for step in replay(rows, [], RULES)] == ["raise"]


@pytest.mark.parametrize("warning", [0.05, 0.2, 0.35, 0.6, 0.9])
def test_the_other_thresholds_move_along(warning: float) -> None:
    moved = scaled(Thresholds(), warning)
    assert 0 < moved.advisory <= moved.warning <= moved.critical < 1
    assert moved.warning == warning
    rules = with_threshold(RULES, "pump", warning)
    assert rules.settings.severity.of_kind("pump") == moved
    assert rules.settings.severity.of_kind("fan") == Thresholds()
    assert scaled(Thresholds(), 0.35) == Thresholds()

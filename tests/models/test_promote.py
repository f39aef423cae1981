"""Promotion: few machines promote nothing by themselves, and a mode is judged on rows of every end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.bundle import Bundle
from models.labels import label_rows
from models.promote import Comparison, _slice, compare, row_losses
from models.settings import ModelSettings
from plant.times import DAY_MS
from tests.models.fleet import fleet


@pytest.mark.parametrize(("skewed", "most"), [(False, 0.04), (True, 0.08)])
@pytest.mark.parametrize("machines", [4, 10])
def test_no_gain_is_seldom_called_one(machines: int, skewed: bool, most: float) -> None:
    """A percentile bootstrap says so of a tenth to a quarter; 0.025 is what the interval promises."""
    rng, better = np.random.default_rng(0), 0
    for seed in range(400):
        gain = 1 - rng.exponential(1, machines) if skewed else rng.normal(0, 1, machines)
        found = _slice("all", np.arange(machines), gain, np.zeros(machines), seed)
        better += found.verdict == "better"
    assert better / 400 <= most


def test_few_machines_wait_for_a_person_and_say_why() -> None:
    gain = 1 + np.linspace(-0.1, 0.1, 10)
    for machines, promote in ((9, False), (10, True)):
        whole = _slice("all", np.arange(machines), gain[:machines], np.zeros(machines), 0)
        said = Comparison(whole, ())
        assert whole.verdict == "better"
        assert said.promote is promote
        assert ("9 machines, fewer than 10" in said.reason()) is not promote


def shifted(bundle: Bundle, log_odds: float) -> Bundle:
    """Return a model that is off by so much everywhere."""
    assert bundle.hazard is not None
    hazard = replace(bundle.hazard, intercept=bundle.hazard.intercept + log_odds)
    return replace(bundle, hazard=hazard, sharpness=None, model_id=f"off by {log_odds}")


@pytest.mark.parametrize("log_odds", [-1.5, 1.5])
def test_no_mode_prefers_who_is_always_too_dark_or_too_bright(
    bundle: Bundle, settings: ModelSettings, log_odds: float
) -> None:
    """Judged on rows that failed alone, seeing failures everywhere looks like a merit."""
    table, events = fleet(machines=40, lives=3, seed=100)
    stop = int(np.quantile(table.ts_ms, 0.5))
    labels = label_rows(table.assets, table.ts_ms, events, settings, stop)
    rows = np.flatnonzero(labels.valid & (table.ts_ms >= stop - 6 * DAY_MS))
    right, wrong = shifted(bundle, 0.0), shifted(bundle, log_odds)
    tables = {right.model_id: table, wrong.model_id: table}
    said = compare(wrong, right, tables, labels, rows, settings)
    assert said.promote, said.reason()
    assert [s.name for s in said.slices] == ["mode BRG", "mode SEAL"]
    assert all(s.gain > 0 for s in said.slices)
    assert all(4 <= s.machines < 40 for s in said.slices)  # those that failed by it


def test_modes_add_up_to_the_whole(bundle: Bundle, settings: ModelSettings) -> None:
    """Without a mode model, modes have their usual shares, and lose what those do not say."""
    table, events = fleet(machines=10, seed=5)
    labels = label_rows(table.assets, table.ts_ms, events, settings)
    rows = np.flatnonzero(labels.valid & (labels.ttf_h <= 200))
    losses = row_losses(replace(bundle, modes=None), table, labels, rows, 200.0)
    mode = labels.mode[rows]
    assert set(losses) == {"", "BRG", "SEAL"}
    _, which, counts = np.unique(mode[mode != ""], return_inverse=True, return_counts=True)
    of_shares = np.zeros(len(rows))
    of_shares[mode != ""] = -np.log(counts / counts.sum())[which]
    assert losses["BRG"] + losses["SEAL"] == pytest.approx(losses[""] + of_shares)

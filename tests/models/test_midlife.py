"""Machines whose past is unknown: what trains for them, and what they are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.assemble import build_table, plans_for, roll_all
from features.catalogue import Catalogue, Feature
from features.settings import FeatureSettings
from features.sources import FrameSource
from features.table import FeatureTable
from models.bundle import Bundle, load, save
from models.labels import label_rows
from models.midlife import choose_late, late_copies
from models.score import predict, score
from models.settings import ModelSettings
from models.train import train
from plant.asset import AssetPath
from plant.config import parse_plant
from plant.event import Event
from plant.times import HOUR_MS
from tests.models.conftest import NOW_MS
from tests.models.fleet import CATALOGUE, PLANT, fleet

JOINED = Catalogue(
    (*CATALOGUE.features, Feature("asset", "connected", "age", "h", "hours since the first row")),
    CATALOGUE.measured,
)
AGE, CONNECTED = JOINED.index("asset.life.age"), JOINED.index("asset.connected.age")


def connected(table: FeatureTable) -> FeatureTable:
    """Return a fleet's rows as of machines that were watched from birth."""
    own = table.select(JOINED)
    own.X[:, CONNECTED] = own.X[:, AGE]
    return own


def joined_late(table: FeatureTable, seed: int) -> FeatureTable:
    """Return rows of each life from a random moment on: no age, and slopes only after a day."""
    late = connected(table)
    rng = np.random.default_rng(seed)
    life = np.cumsum(np.r_[True, np.diff(late.X[:, AGE]) <= 0])
    longest = np.array([late.X[life == k, AGE].max() for k in range(1, life[-1] + 1)])
    cut = rng.uniform(0, 0.95, len(longest)) * longest
    late.X[:, CONNECTED] = late.X[:, AGE] - cut[life - 1]
    late = late.take(late.X[:, CONNECTED] > 0)
    late.X[:, AGE] = np.nan
    late.X[late.X[:, CONNECTED] < 24, 1:4:2] = np.nan
    return late


@pytest.fixture(scope="module")
def taught(settings: ModelSettings) -> Bundle:
    table, events = fleet(machines=16, lives=4)
    return train(
        connected(table), events, PLANT, settings, now_ms=NOW_MS, midlife=joined_late(table, 1)
    )


def test_all_lengths_of_history_train_alike(settings: ModelSettings) -> None:
    table, events = fleet()
    own, late = connected(table), joined_late(table, 1)
    late.X[:40, AGE] = 7.0  # renewed since: nothing unknown about these
    valid = label_rows(own.assets, own.ts_ms, events, settings).valid
    valid[:300] = False
    chosen, rows, place = choose_late(own, late, valid, 400, 5.0, seed=3)
    assert len(chosen) == 400
    assert np.all(np.diff(chosen) > 0)
    assert np.array_equal(late.ts_ms[chosen], own.ts_ms[rows])
    assert np.array_equal(late.assets[chosen], own.assets[rows])
    assert valid[rows].all()
    assert np.isnan(late.X[chosen, AGE]).all()
    history = late.X[chosen, CONNECTED]
    assert history.min() >= 5
    per_octave = [np.count_nonzero((history >= h) & (history < 2 * h)) for h in (8, 16, 32, 64)]
    assert max(per_octave) < 2.2 * min(per_octave)  # evenly drawn rows: eight times
    again, *_ = choose_late(own, late, valid, 400, 5.0, seed=3)
    assert np.array_equal(chosen, again)
    few, *_ = choose_late(own, late, valid, 100, 5.0, seed=3)
    assert np.array_equal(chosen[place < 100], few)


def test_copies_are_the_rows_of_a_machine_that_joins_then() -> None:
    plant = parse_plant(
        "[sites.s.lines.l]\n[kinds.fan.signals.shake]\n"
        '[[assets]]\npath = "s/l/fan"\nkind = "fan"\ncommissioned = 1970-01-01T00:00:00Z'
    )
    features = FeatureSettings(bucket_ms=HOUR_MS, baseline_h=12, windows=("6h",), trends=())
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {"ts_ms": np.arange(400) * HOUR_MS + 1_000, "shake": rng.normal(3, 1, 400)}
    )
    source = FrameSource.from_frames({"s/l/fan": frame})
    asset = AssetPath.parse("s/l/fan")
    repair = Event(asset, 390 * HOUR_MS, "maintenance")
    (extent,) = source.extents()
    plan = plans_for(plant, features, [extent])["fan"]
    rolled = [(asset, roll_all(plan, source, extent))]
    late = late_copies(plan, plant, source, rolled, [repair], 1 << 60, copies=12, seed=4)
    assert late is not None
    age, since = late.column("asset.life.age"), late.column("asset.connected.age")
    assert np.array_equal(np.isnan(age), late.ts_ms < repair.ts_ms)
    starts = np.flatnonzero(np.r_[True, np.diff(late.ts_ms) != HOUR_MS])
    lengths = np.diff(np.r_[starts, len(late.ts_ms)])
    assert len(starts) == 12
    assert lengths.min() < 30
    assert lengths.max() > 60
    start, stop = starts[np.argmax(lengths)], starts[np.argmax(lengths)] + lengths.max()
    first_ms = int(late.ts_ms[start] - since[start] * HOUR_MS)
    joins = FrameSource.from_frames({"s/l/fan": frame[frame.ts_ms >= first_ms]})
    unborn = plant.model_copy(
        update={"assets": tuple(a.model_copy(update={"commissioned": None}) for a in plant.assets)}
    )
    rows = build_table(joins, joins.extents(), unborn, features, events=[repair])
    same = np.isin(rows.ts_ms, late.ts_ms[start:stop])
    assert np.array_equal(rows.X[same], late.X[start:stop], equal_nan=True)


def test_windows_of_an_unknown_past_hold_what_they_promise(
    taught: Bundle, tmp_path: Path, settings: ModelSettings
) -> None:
    assert taught.late_windows is not None
    assert taught.lineage["midlife_landmarks"] > 100
    assert taught.lineage["midlife_metrics"]["c_index"] > 0.7
    table, events = fleet(machines=12, lives=4, seed=77)
    late = joined_late(table, 9)
    late = late.take(late.X[:, CONNECTED] >= 5)
    labels = label_rows(late.assets, late.ts_ms, events, settings)
    p = predict(taught, late.X)
    assert p.windows_h is not None
    known = labels.valid & np.isfinite(p.windows_h[:, 2])
    t, w = labels.ttf_h[known], p.windows_h[known]
    assert 0.68 < np.mean((t >= w[:, 0]) & (t <= w[:, 2])) < 0.92
    assert p.curves is not None
    assert np.array_equal(p.windows_h, taught.late_windows.windows(p.curves), equal_nan=True)
    save(taught, tmp_path / "model")
    read = load(tmp_path / "model")
    assert read.late_windows is not None
    assert read.late_windows.low == taught.late_windows.low
    assert read.late_windows.high == taught.late_windows.high
    assert np.array_equal(predict(read, late.X).windows_h, p.windows_h)
    old = replace(taught, late_windows=None)
    save(old, tmp_path / "before")
    assert load(tmp_path / "before").late_windows is None


def test_an_unknown_past_costs_less_than_being_taken_for_new(
    taught: Bundle, settings: ModelSettings
) -> None:
    table, events = fleet(machines=16, lives=4)
    whole = train(connected(table), events, PLANT, settings, now_ms=NOW_MS)
    other, log = fleet(machines=12, lives=4, seed=78)
    late = joined_late(other, 5)
    labels = label_rows(late.assets, late.ts_ms, log, settings)
    rows = labels.valid & (late.X[:, CONNECTED] >= 5) & (late.X[:, CONNECTED] < 60)
    error = {}
    for name, bundle in (("taught", taught), ("whole", whole)):
        curves = predict(bundle, late.X[rows]).curves
        assert curves is not None
        truth = np.minimum(labels.ttf_h[rows], curves.horizon_h)
        error[name] = np.sqrt(np.mean((curves.restricted_mean_h() - truth) ** 2))
    assert error["taught"] < error["whole"]


def test_an_unknown_past_has_a_head_of_its_own(taught: Bundle, tmp_path: Path) -> None:
    assert taught.late_heads is not None
    assert taught.lineage["midlife_heads"] == 1
    without = replace(taught, late_heads=None)
    whole = connected(fleet(machines=2, lives=2, seed=79)[0])
    known, as_before = predict(taught, whole.X), predict(without, whole.X)
    assert known.curves is not None
    assert as_before.curves is not None
    assert np.array_equal(known.curves.survival, as_before.curves.survival)
    mixed = np.concatenate([whole.X[:50], joined_late(fleet(machines=2)[0], 4).X[:50]])
    late = np.isnan(mixed[:, AGE])
    own, shared = predict(taught, mixed).curves, predict(without, mixed).curves
    assert own is not None
    assert shared is not None
    assert np.array_equal(own.survival[~late], shared.survival[~late])
    blended = taught.late_heads.blend(mixed[late], shared.take(late))
    assert np.array_equal(own.survival[late], blended.survival)
    assert not np.allclose(own.survival[late], shared.survival[late])
    save(taught, tmp_path / "model")
    read = predict(load(tmp_path / "model"), mixed).curves
    assert read is not None
    assert np.array_equal(read.survival, own.survival)


def test_the_head_of_an_unknown_past_errs_less(taught: Bundle, settings: ModelSettings) -> None:
    error = {"own": 0.0, "shared": 0.0}
    for seed in (78, 81, 82):
        table, events = fleet(machines=12, lives=4, seed=seed)
        late = joined_late(table, 5)
        labels = label_rows(late.assets, late.ts_ms, events, settings)
        rows = labels.valid & labels.observed & (late.X[:, CONNECTED] >= 5)
        for name, bundle in (("own", taught), ("shared", replace(taught, late_heads=None))):
            curves = predict(bundle, late.X[rows]).curves
            assert curves is not None
            truth = np.minimum(labels.ttf_h[rows], curves.horizon_h)
            error[name] += float(np.mean((curves.restricted_mean_h() - truth) ** 2))
    assert error["own"] < error["shared"]


def test_a_head_that_does_not_help_is_left_out(settings: ModelSettings) -> None:
    table, events = fleet(machines=12, lives=4)
    late = joined_late(table, 1)
    useless = settings.model_copy(
        update={"head_share": 0.0, "max_rounds": 20, "challengers": False}
    )
    own = connected(table)
    bundle = train(own, events, PLANT, useless, now_ms=NOW_MS, midlife=late)
    assert bundle.late_heads is None
    assert bundle.late_windows is not None


def test_heads_learn_of_machines_connected_late(settings: ModelSettings) -> None:
    table, events = fleet(machines=10, lives=3)
    with_heads = settings.model_copy(update={"heads": 1, "max_rounds": 20, "challengers": False})
    own, late = connected(table), joined_late(table, 1)
    alone = train(own, events, PLANT, with_heads, now_ms=NOW_MS)
    both = train(own, events, PLANT, with_heads, now_ms=NOW_MS, midlife=late)
    assert alone.heads is not None
    assert both.heads is not None
    assert alone.heads.texts != both.heads.texts


def test_a_machine_that_has_just_joined_is_too_young(
    taught: Bundle, settings: ModelSettings
) -> None:
    late = joined_late(fleet(machines=1, lives=1)[0], 3).take(np.arange(2))
    late.X[0, CONNECTED], late.X[1, CONNECTED] = 2.0, 8.0
    said = score(taught, late, settings)
    assert [a.status for a in said] == ["insufficient_data", "ok"]

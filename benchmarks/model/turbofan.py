"""C-MAPSS through the product's own features: tables for training and testing, and the official figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.cmapss_data import CAP_H, load, nasa_score, plant, to_table, true_rul
from features.assemble import build_table, join_rows, plans_for, renewals_of, roll_all
from features.backfill import reader, rows_of_asset
from features.fit import fit_regimes_of
from features.regime import RegimeModel
from features.settings import FeatureSettings
from features.sources import FrameSource
from features.table import FeatureTable
from models.bundle import Bundle
from models.metrics import brier, calibration_ratio, concordance, rmse, window_coverage
from models.midlife import late_copies, without_birth
from models.score import newest, predict
from models.settings import ModelSettings
from plant.asset import AssetPath
from plant.config import Plant
from plant.event import Event
from plant.times import HOUR_MS

#: One cycle is one hour: windows in cycles.
FEATURES = FeatureSettings(
    bucket_ms=HOUR_MS,
    windows=("20h",),
    window_stats=(),
    extra=(),
    operating=(),
    ewm=("12h", "30h"),
    trends=("20h.trend", "40h.trend", "80h.trend"),
    baseline_h=45,
    deviation_span="15h",
    components=4,
    blends=True,
    excess="health",
)
#: Chosen by cross-validation on the training engines (`--case cv`).
MODEL = ModelSettings(
    horizon_h=170,
    bins=20,
    learning_rate=0.08,
    max_rounds=300,
    heads=4,
    head_cap_h=CAP_H,
    members=3,
    folds=8,
    landmarks_per_life=100,
    degraded_residual_h=15,  # crews call degraded what would fail within 30 h
    midlife_share=0,
)


@dataclass(frozen=True, slots=True, eq=False)
class Turbofans:
    """A subset ready to learn from: life_h is the true life of each training engine."""

    subset: str
    plant: Plant
    source: FrameSource
    test_source: FrameSource
    events: list[Event]
    regimes: dict[str, RegimeModel]
    train: FeatureTable
    test: FeatureTable
    true_rul_h: NDArray[np.float64]
    life_ms: dict[str, int]


def frames(table: pd.DataFrame, subset: str) -> dict[str, pd.DataFrame]:
    """Return one frame per engine path."""
    return {
        f"nasa/{subset.lower()}/{name}": rows.drop(columns=["asset", "ts"]).assign(
            ts_ms=rows["ts"].to_numpy()
        )
        for name, rows in table.groupby("asset", sort=False)
    }


def turbofans(folder: Path, subset: str, settings: FeatureSettings = FEATURES) -> Turbofans:
    """Read a subset and make its features; regimes are learned from training engines only."""
    tables = {part: to_table(load(folder, subset, part), part) for part in ("train", "test")}
    where = plant(subset, [str(name) for t in tables.values() for name in t["asset"].unique()])
    sources = {p: FrameSource.from_frames(frames(t, subset)) for p, t in tables.items()}
    life = {
        f"nasa/{subset.lower()}/{name}": int(ts) + HOUR_MS  # it fails at the end of its last cycle
        for name, ts in tables["train"].groupby("asset", sort=False)["ts"].max().items()
    }
    events = [
        Event(AssetPath.parse(path), ts, "failure", mode="ENG", found="failed")
        for path, ts in life.items()
    ]
    source = sources["train"]
    regimes = fit_regimes_of(source, source.extents(), where, settings, events=events)
    made = {
        part: build_table(s, s.extents(), where, settings, events=events, regimes=regimes)
        for part, s in sources.items()
    }
    return Turbofans(
        subset,
        where,
        source,
        sources["test"],
        events,
        regimes,
        made["train"],
        made["test"],
        true_rul(folder, subset),
        life,
    )


def copies(
    data: Turbofans, engines: set[str], count: int, seed: int, keep_h: float | None = None
) -> FeatureTable | None:
    """Return the rows of training engines as if connected late (see `late_copies`)."""
    extents = [e for e in data.source.extents() if str(e.asset) in engines]
    plan = plans_for(data.plant, FEATURES, extents, data.regimes)["turbofan"]
    rolled = ((e.asset, roll_all(plan, data.source, e)) for e in extents)
    return late_copies(
        plan, data.plant, data.source, rolled, data.events, 1 << 60,
        copies=count, seed=seed, keep_h=keep_h,
    )  # fmt: skip


def last_hours(data: Turbofans, hours: int) -> tuple[FeatureTable, NDArray[np.float64]]:
    """Return the newest row of each test engine, of its last hours alone, and its remaining life, h.

    As if it had been connected then, its past unknown. Engines that ran for less are left out.
    """
    extents = list(data.test_source.extents())
    plan = plans_for(data.plant, FEATURES, extents, data.regimes)["turbofan"]
    parts = []
    for extent in extents:
        buckets, values = roll_all(plan, data.test_source, extent)
        if len(buckets) < hours:
            continue
        buckets, values = buckets[-hours:], values[-hours:]
        rows = rows_of_asset(
            plan,
            (buckets, values),
            renewals_of(without_birth(data.plant), extent.asset, [], plan),
            reader(data.test_source, extent.asset),
            int(buckets[0]) * HOUR_MS,
            int(buckets[-1] + 2) * HOUR_MS,
        )
        parts.append((extent.asset, plan, rows))
    table = newest(join_rows(parts))
    number = [int(str(a).rsplit("-", 1)[1]) for a in table.assets]
    return table, data.true_rul_h[np.array(number) - 1]


def last_rows(data: Turbofans) -> FeatureTable:
    """Return every test engine's last row, in the order of the truth file."""
    table = newest(data.test)
    number = [int(str(a).rsplit("-", 1)[1]) for a in table.assets]
    return table.take(np.argsort(number))


def every_hour(bundle: Bundle, data: Turbofans) -> dict[str, float | int]:
    """Return how windows hold at every hour of the test engines: a hundred of them are few at one each.

    The official moments also leave out all with more than some 145 h to go, so that long windows can
    hardly fail above.
    """
    table = data.test
    windows = predict(bundle, table.X).windows_h
    if windows is None:
        raise SystemExit("The model gives no window.")
    number = np.array([int(str(a).rsplit("-", 1)[1]) for a in table.assets])
    last_ms = np.zeros(number.max() + 1, dtype=np.int64)
    np.maximum.at(last_ms, number, table.ts_ms)
    y = data.true_rul_h[number - 1] + (last_ms[number] - table.ts_ms) / HOUR_MS
    out: dict[str, float | int] = {}
    for name, rows in (("every_hour", y >= 0), ("every_hour_last_30", y <= 30)):
        coverage, width, count = window_coverage(windows[rows], y[rows], np.ones(rows.sum(), bool))
        out |= {
            f"window_coverage_80_{name}": round(coverage, 4),
            f"window_width_{name}": round(width, 4),
            f"windows_{name}": count,
        }
    return out


def official(bundle: Bundle, data: Turbofans) -> dict[str, float | int]:
    """Return the figures of the official protocol: each test engine at its last cycle."""
    table = last_rows(data)
    p = predict(bundle, table.X)
    if p.curves is None or p.windows_h is None:
        raise SystemExit("The model gives no window.")
    y = data.true_rul_h
    capped = np.minimum(y, CAP_H)
    mean = p.curves.restricted_mean_h(CAP_H)
    everyone = np.ones(len(y), dtype=bool)
    coverage, width, known = window_coverage(p.windows_h, y, everyone)
    soon = y <= 30
    near, near_width, near_n = window_coverage(p.windows_h[soon], y[soon], everyone[soon])
    out: dict[str, float | int] = {
        "engines": len(y),
        "rmse_capped": rmse(mean, capped),
        "rmse_uncapped": rmse(mean, y),
        "nasa_score": nasa_score(mean, capped),
        "nasa_score_uncapped": nasa_score(mean, y),
        "c_index": concordance(mean, y, everyone, np.arange(len(y))),
        "window_coverage_80": coverage,
        "window_width": width,
        "windows": known,
        "window_coverage_80_last_30": near,
        "window_width_last_30": near_width,
        "windows_last_30": near_n,
    }
    for h in (15, 30, 60):
        risk = p.curves.p_fail(h)[:, 0]
        out[f"brier_{h}"] = brier(risk, y, everyone, h)
        out[f"observed_over_expected_{h}"] = calibration_ratio(risk, y, everyone, h)
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in out.items()}

"""Engines that join with an unknown past: 15 or 30 hours of history, no age."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.cmapss_data import CAP_H
from benchmarks.model.turbofan import MODEL, Turbofans, copies
from features.table import FeatureTable
from models.bundle import Bundle
from models.metrics import rmse, window_coverage
from models.score import predict
from models.splits import folds_by_group
from models.train import train
from plant.times import HOUR_MS


def run(data: Turbofans, seed: int, quick: bool) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield RMSE on held-out engines cut at random, by a model of whole lives and by Vigie's."""
    engines = sorted(data.life_ms)
    folds = 2 if quick else 3
    fold_of = folds_by_group(np.arange(len(engines)), np.ones(len(engines)), folds, seed)
    fold = dict(zip(engines, fold_of.tolist(), strict=True))
    row_fold = np.array([fold[str(a)] for a in data.train.assets])
    settings = MODEL.model_copy(update={"heads": 0, "members": 1})
    mixed = settings.model_copy(update={"midlife_share": 0.3})
    said: dict[tuple[str, int], list[tuple[NDArray[np.float64], ...]]] = {}
    for k in range(folds):
        table = data.train.take(row_fold != k)
        events = [e for e in data.events if fold[str(e.asset)] != k]
        learn = {e for e in engines if fold[e] != k}
        late = copies(data, learn, 3, seed)
        whole = train(table, events, data.plant, settings, now_ms=0)
        vigie = train(table, events, data.plant, mixed, now_ms=0, midlife=late)
        judged = copies(data, set(engines) - learn, 3, seed + 1)
        if judged is None:
            continue
        for name, bundle in (("whole_lives", whole), ("vigie", vigie)):
            for hours in (15, 30, 60):
                part = _said(bundle, judged, data, hours)
                said.setdefault((name, hours), []).append(part)
    for (name, hours), parts in said.items():
        mean, y, *windows = (np.concatenate(p) for p in zip(*parts, strict=True))
        coverage, width, _ = window_coverage(
            np.column_stack(windows), y, np.ones(len(y), dtype=bool)
        )
        yield (
            f"{hours}h-{name}",
            {
                "rmse": rmse(mean, np.minimum(y, CAP_H)),
                "bias": float(np.mean(mean - np.minimum(y, CAP_H))),
                "window_coverage_80": coverage,
                "window_width": width,
                "rows": len(y),
                "folds": folds,
            },
        )


def _said(
    bundle: Bundle, judged: FeatureTable, data: Turbofans, hours: int
) -> tuple[NDArray[np.float64], ...]:
    """Return (mean, truth, p10, p50, p90) of the rows with that much history."""
    connected = judged.column("asset.connected.age")
    y = np.array([data.life_ms[str(a)] for a in judged.assets]) - judged.ts_ms
    rows = np.flatnonzero((np.round(connected) == hours) & (y > 0))
    p = predict(bundle, judged.X[rows])
    if p.curves is None or p.windows_h is None:
        raise SystemExit("The model gives no window.")
    return p.curves.restricted_mean_h(CAP_H), y[rows] / HOUR_MS, *p.windows_h.T

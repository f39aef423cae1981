"""Engines that join with an unknown past: 15, 30 or 60 hours of history, no age."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.cmapss_data import CAP_H
from benchmarks.model.turbofan import MODEL, Turbofans, copies, last_hours
from features.table import FeatureTable
from models.bundle import Bundle
from models.metrics import rmse, window_coverage
from models.score import predict
from models.settings import ModelSettings
from models.splits import folds_by_group
from models.train import train
from plant.times import HOUR_MS

Array = NDArray[np.float64]
_DEFAULT = ModelSettings()
_HISTORY_H = (15, 30, 60)


def run(data: Turbofans, seed: int, quick: bool) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield RMSE on engines with an unknown past, by a model of whole lives and by Vigie's.

    `15h`: held-out training engines, each cut at twenty random moments (four when quick). `whole` is the
    price: the same two models on the held-out engines' whole lives. `test-15h`: models of all training
    engines on the last hours of the official test engines. All are of the settings of `cmapss`.
    """
    engines = sorted(data.life_ms)
    folds = 2 if quick else 5
    fold_of = folds_by_group(np.arange(len(engines)), np.ones(len(engines)), folds, seed)
    fold = dict(zip(engines, fold_of.tolist(), strict=True))
    row_fold = np.array([fold[str(a)] for a in data.train.assets])
    hasty = {"heads": 0, "members": 1} if quick else {}
    whole_lives = MODEL.model_copy(update={"seed": seed, "challengers": False, **hasty})
    vigie = whole_lives.model_copy(update={"midlife_share": _DEFAULT.midlife_share})
    said: dict[str, list[tuple[Array, ...]]] = {}
    for k in range(folds):
        learn = {e for e in engines if fold[e] != k}
        judged = copies(data, set(engines) - learn, 4 if quick else 20, seed + 1, keep_h=90)
        late = copies(data, learn, _DEFAULT.midlife_copies, seed)
        events = [e for e in data.events if str(e.asset) in learn]
        table = data.train.take(row_fold != k)
        for name, settings in (("whole_lives", whole_lives), ("vigie", vigie)):
            bundle = train(table, events, data.plant, settings, now_ms=0, midlife=late)
            if judged is not None:
                connected = np.round(judged.column("asset.connected.age"))
                for hours in _HISTORY_H:
                    said.setdefault(f"{hours}h-{name}", []).append(
                        _said(bundle, *_ahead(judged.take(connected == hours), data))
                    )
            own = data.train.take(row_fold == k)
            young = own.column("asset.life.age") < settings.min_history_h
            said.setdefault(f"whole-{name}", []).append(
                _said(bundle, *_ahead(own.take(~young), data))
            )
    for case, parts in said.items():
        yield case, _figures(parts) | {"folds": folds}
    late = copies(data, set(engines), _DEFAULT.midlife_copies, seed)
    ends = {hours: last_hours(data, hours) for hours in _HISTORY_H}
    for name, settings in (("whole_lives", whole_lives), ("vigie", vigie)):
        bundle = train(data.train, data.events, data.plant, settings, now_ms=0, midlife=late)
        for hours, (table, remaining_h) in ends.items():
            yield f"test-{hours}h-{name}", _figures([_said(bundle, table, remaining_h)])


def _ahead(table: FeatureTable, data: Turbofans) -> tuple[FeatureTable, Array]:
    """Return the rows before the failure of training engines, and the hours to it."""
    y = (np.array([data.life_ms[str(a)] for a in table.assets]) - table.ts_ms) / HOUR_MS
    return table.take(y > 0), y[y > 0]


def _said(bundle: Bundle, table: FeatureTable, y: Array) -> tuple[Array, ...]:
    """Return (mean, truth, p10, p50, p90) hours of every row, float64[n] each."""
    p = predict(bundle, table.X)
    if p.curves is None or p.windows_h is None:
        raise SystemExit("The model gives no window.")
    return p.curves.restricted_mean_h(CAP_H), y, *p.windows_h.T


def _figures(parts: list[tuple[Array, ...]]) -> dict[str, float]:
    mean, y, *windows = (np.concatenate(p) for p in zip(*parts, strict=True))
    truth = np.minimum(y, CAP_H)
    coverage, width, _ = window_coverage(np.column_stack(windows), y, np.ones(len(y), dtype=bool))
    return {
        "rmse": rmse(mean, truth),
        "bias": float(np.mean(mean - truth)),
        "rmse_last_60h": rmse(mean[y <= 60], truth[y <= 60]),
        "window_coverage_80": coverage,
        "window_width": width,
        "rows": len(y),
    }

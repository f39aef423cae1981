"""How far a machine is from how its kind behaves when healthy: for plants with no failures yet.

Features are put on a robust scale of healthy rows (median, interquartile range) and their joint
distance is the Mahalanobis distance under a shrunk correlation (Ledoit & Wolf 2004, DOI
10.1016/S0047-259X(03)00096-4). The distance is divided by the limit that healthy machines, held out
in turn, pass at most `false_alarms_per_month` times a machine-month: **1 is the limit**.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.settings import ModelSettings
from plant.times import DAY_MS

FloatArray = NDArray[np.float64]
_CLIP = 12.0
_MONTH_MS = 30 * DAY_MS
_MAX_ROWS = 8_000
_MAX_COLUMNS = 100


@dataclass(frozen=True, slots=True, eq=False)
class DeviationModel:
    """columns: int64[p] of the feature row; centre, scale: float64[p]; whiten: float64[p, p].

    limit: distance that counts as 1. rows: healthy rows it was learned from (0: nothing known).
    """

    columns: NDArray[np.int64]
    centre: FloatArray
    scale: FloatArray
    whiten: FloatArray
    limit: float
    rows: int

    def score(self, X: FloatArray) -> FloatArray:
        """Return the deviation of rows float64[n, F], float64[n]: 1 is the limit; NaN when unknown."""
        if self.rows == 0 or len(self.columns) == 0:
            return np.full(len(X), np.nan)
        return self._distance(X) / self.limit

    def parts(self, X: FloatArray) -> FloatArray:
        """Return each column's own distance from healthy, signed, float64[n, p], in healthy spreads."""
        z = (X[:, self.columns] - self.centre) / self.scale
        return np.clip(np.nan_to_num(z, nan=0.0, posinf=_CLIP, neginf=-_CLIP), -_CLIP, _CLIP)

    def _distance(self, X: FloatArray) -> FloatArray:
        known = np.isfinite(X[:, self.columns]).any(axis=1)
        d = np.sqrt(np.mean((self.parts(X) @ self.whiten) ** 2, axis=1))
        return np.where(known, d, np.nan)


def fit_deviation(
    X: FloatArray,
    ts_ms: NDArray[np.int64],
    groups: NDArray[np.int64],
    columns: NDArray[np.int64],
    settings: ModelSettings,
) -> DeviationModel:
    """Learn from healthy rows X float64[n, F] of machines `groups` int64[n]; `columns` to look at."""
    nothing = DeviationModel(columns[:0], np.zeros(0), np.ones(0), np.zeros((0, 0)), 1.0, 0)
    if len(X) < 30 or len(columns) == 0:
        return nothing
    use = columns[np.isfinite(X[:, columns]).mean(axis=0) > 0.5][:_MAX_COLUMNS]
    if len(use) == 0:
        return nothing
    step = max(1, -(-len(X) // _MAX_ROWS))
    model = _fit(X[::step], use)
    distance = _held_out(X, ts_ms, groups, use)
    return DeviationModel(
        model.columns, model.centre, model.scale, model.whiten,
        _limit(distance, ts_ms, groups, settings.false_alarms_per_month), len(X),
    )  # fmt: skip


def _fit(X: FloatArray, columns: NDArray[np.int64]) -> DeviationModel:
    V = X[:, columns]
    low, centre, high = np.nanquantile(V, [0.25, 0.5, 0.75], axis=0)
    centre = np.nan_to_num(centre)
    spread = np.nan_to_num((high - low) / 1.349)
    fallback = np.nan_to_num(np.nanstd(V, axis=0))
    scale = np.where(spread > 1e-12 * (1 + np.abs(centre)), spread, fallback)
    scale = np.where(scale > 1e-12 * (1 + np.abs(centre)), scale, 1.0)
    z = np.clip(np.nan_to_num((V - centre) / scale), -_CLIP, _CLIP)
    S = z.T @ z / len(z)
    p = len(columns)
    mean = np.trace(S) / p
    spread2 = np.sum((S - mean * np.eye(p)) ** 2)
    noise = max((np.sum(np.sum(z**2, axis=1) ** 2) / len(z) - np.sum(S**2)) / len(z), 0.0)
    shrink = min(1.0, max(0.05, noise / spread2 if spread2 > 0 else 1.0))
    values, vectors = np.linalg.eigh((1 - shrink) * S + shrink * max(mean, 1e-9) * np.eye(p))
    whiten = vectors / np.sqrt(np.maximum(values, 1e-9))
    return DeviationModel(columns, centre, scale, whiten, 1.0, len(X))


def _held_out(
    X: FloatArray, ts_ms: NDArray[np.int64], groups: NDArray[np.int64], columns: NDArray[np.int64]
) -> FloatArray:
    """Return distances of healthy rows by models that did not see them: other machines, or half the time."""
    names = np.unique(groups)
    part = np.searchsorted(names, groups) % 4
    if len(names) < 4:
        part = (np.argsort(np.argsort(ts_ms, kind="stable"), kind="stable") * 2) // len(ts_ms)
    distance = np.full(len(X), np.nan)
    for k in np.unique(part):
        inside = part == k
        others = X[~inside]
        step = max(1, -(-len(others) // _MAX_ROWS))
        distance[inside] = _fit(others[::step], columns)._distance(X[inside])
    return distance


def _limit(
    distance: FloatArray, ts_ms: NDArray[np.int64], groups: NDArray[np.int64], per_month: float
) -> float:
    """Return the smallest distance passed in at most `per_month` spells a machine-month.

    Passings less than a day apart are one spell.
    """
    known = np.isfinite(distance)
    order = np.lexsort((ts_ms[known], groups[known]))
    d, t, g = distance[known][order], ts_ms[known][order], groups[known][order]
    if len(d) == 0:
        return 1.0
    gaps = np.diff(t)
    months = float(np.sum(np.where((g[1:] == g[:-1]) & (gaps < DAY_MS), gaps, 0))) / _MONTH_MS
    allowed = per_month * months
    for limit in np.quantile(d, [0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995]):
        above = np.flatnonzero(d > limit)
        fresh = np.r_[True, (np.diff(t[above]) > DAY_MS) | (g[above][1:] != g[above][:-1])]
        if len(above) == 0 or np.count_nonzero(fresh[: len(above)]) <= allowed:
            return max(float(limit), 1e-6)
    return max(float(d.max()), 1e-6)


def deviation_to_dict(model: DeviationModel) -> dict[str, Any]:
    """Return JSON-able parameters."""
    return {
        "columns": model.columns.tolist(),
        "centre": model.centre.tolist(),
        "scale": model.scale.tolist(),
        "whiten": model.whiten.tolist(),
        "limit": model.limit,
        "rows": model.rows,
    }


def deviation_from_dict(d: Mapping[str, Any], features: int) -> DeviationModel:
    """Read `deviation_to_dict`'s result. Raises ValueError or KeyError when it is damaged."""
    columns = np.array(d["columns"], dtype=np.int64)
    p = len(columns)
    centre, scale = (np.array(d[key], dtype=np.float64) for key in ("centre", "scale"))
    whiten = np.array(d["whiten"], dtype=np.float64).reshape(p, p)
    if (
        len(centre) != p
        or len(scale) != p
        or (p and not 0 <= columns.min() <= columns.max() < features)
    ):
        raise ValueError("deviation shapes")
    limit = float(d["limit"])
    if not limit > 0 or not np.all(scale > 0):
        raise ValueError("deviation scale")
    return DeviationModel(columns, centre, scale, whiten, limit, int(d["rows"]))

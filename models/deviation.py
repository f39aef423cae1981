"""How far a machine is from how its kind behaves when healthy: for plants with no failures yet.

A *view* is one statistic over one window of all signals (`models.columns.views`): level, own
deviation, scatter, shift. Each view is judged in two ways: all signals together, by the Mahalanobis
distance under a shrunk correlation (Ledoit & Wolf 2004, DOI 10.1016/S0047-259X(03)00096-4), which
sees signals that stop agreeing; and each by itself, which a crowd of quiet signals cannot drown. A
score is divided by the limit that healthy machines, held out in turn, pass `false_alarms_per_month`
times a machine-month (`models.tail`); the greatest is the deviation, limited once more: **1 is the limit**.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.settings import ModelSettings
from models.tail import FloatArray, IntArray, false_alarm_limit

#: A score at this many spreads is far beyond any limit; more would only be a broken sensor's size.
_CLIP = 200.0
_LEAST_LIMIT = 1e-9
#: Healthy machines rarely pass so many spreads of a signal: coarse or heavy-tailed ones are widened.
_RARE = 5.0
_MAX_ROWS, _MIN_ROWS, _MAX_SIGNALS = 8_000, 30, 100
_FOLDS = 4


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """place: int64[p] among the model's columns; whiten: float64[p, p]; limits: together, each."""

    place: IntArray
    whiten: FloatArray
    limits: tuple[float, float] = (1.0, 1.0)

    def distances(self, z: FloatArray) -> FloatArray:
        """Return together and each of standardised rows float64[n, P], float64[n, 2], before limits."""
        own = z[:, self.place]
        together = np.sqrt(np.mean((own @ self.whiten) ** 2, axis=1))
        return np.column_stack([together, np.abs(own).max(axis=1)])


@dataclass(frozen=True, slots=True, eq=False)
class DeviationModel:
    """columns: int64[P] of the feature row; centre, scale: float64[P]; views: parts of the columns.

    limit: score that counts as 1. rows: healthy rows it was learned from (0: nothing known).
    """

    columns: IntArray
    centre: FloatArray
    scale: FloatArray
    views: tuple[View, ...]
    limit: float
    rows: int

    def score(self, X: FloatArray) -> FloatArray:
        """Return the deviation of rows float64[n, F], float64[n]: 1 is the limit; NaN when unknown."""
        if self.rows == 0 or len(self.columns) == 0:
            return np.full(len(X), np.nan)
        V = X[:, self.columns]
        shares = _distances(self.views, _standard(V, self.centre, self.scale)) / self._limits()
        known = np.isfinite(V).any(axis=1)
        return np.where(known, shares.max(axis=1) / self.limit, np.nan)

    def parts(self, X: FloatArray) -> FloatArray:
        """Return each column's own distance from healthy, signed, float64[n, P]: 1 is its view's limit."""
        z = _standard(X[:, self.columns], self.centre, self.scale)
        for view in self.views:
            z[:, view.place] /= view.limits[1] * self.limit
        return z

    def _limits(self) -> FloatArray:
        return np.array([limit for view in self.views for limit in view.limits])


def fit_deviation(
    X: FloatArray,
    ts_ms: IntArray,
    groups: IntArray,
    views: Sequence[IntArray],
    settings: ModelSettings,
) -> DeviationModel:
    """Learn from healthy rows X float64[n, F] of machines `groups` int64[n]; `views`: columns of each."""
    known = np.isfinite(X).mean(axis=0) > 0.5 if len(X) else np.zeros(X.shape[1], dtype=bool)
    kept = [view[known[view]][:_MAX_SIGNALS] for view in views]
    kept = [view for view in kept if len(view)]
    if len(X) < _MIN_ROWS or not kept:
        return DeviationModel(np.zeros(0, np.int64), np.zeros(0), np.ones(0), (), 1.0, 0)
    columns = np.concatenate(kept)
    ends = np.cumsum([len(view) for view in kept])
    places = [np.arange(end - len(view), end) for view, end in zip(kept, ends, strict=True)]
    V, fold = X[:, columns], _folds(ts_ms, groups)

    def limits(score: FloatArray, rows: NDArray[np.bool_] | slice = slice(None)) -> FloatArray:
        t, g = ts_ms[rows], groups[rows]
        rate = settings.false_alarms_per_month
        return np.array([false_alarm_limit(one, t, g, rate) for one in score[rows].T])

    # Every limit that a machine's rows are judged by comes from other machines: limits fitted on a few
    # would otherwise flatter those few. Stretches of one machine's time are not strangers like that.
    # Centres first, then spreads, then views, then all.
    strangers = len(np.unique(groups)) >= _FOLDS

    def judges(k: int) -> NDArray[np.bool_]:
        return fold != k if strangers else np.ones(len(fold), dtype=bool)

    off = np.empty_like(V)
    for k in np.unique(fold):
        off[fold == k] = np.abs(V[fold == k] - _centre(V[fold != k])[0])
    apart = np.empty((len(V), 2 * len(places)))
    for k in np.unique(fold):
        mine, others = fold == k, fold != k
        centre, spread = _centre(V[others])
        scale = _scale(V[others], spread, limits(off, judges(k)))
        fitted = [View(p, _whiten(_standard(V[others], centre, scale)[:, p])) for p in places]
        apart[mine] = _distances(fitted, _standard(V[mine], centre, scale))
    worst = np.empty(len(V))
    for k in np.unique(fold):
        worst[fold == k] = (apart[fold == k] / limits(apart, judges(k))).max(axis=1)

    centre, spread = _centre(V)
    scale = _scale(V, spread, limits(off))
    z, each = _standard(V, centre, scale), limits(apart)
    final = tuple(
        View(place, _whiten(z[:, place]), (float(each[2 * i]), float(each[2 * i + 1])))
        for i, place in enumerate(places)
    )
    return DeviationModel(columns, centre, scale, final, float(limits(worst[:, None])[0]), len(X))


def _folds(ts_ms: IntArray, groups: IntArray) -> IntArray:
    """Return each row's fold: by machine, or by stretches of time when there are few machines."""
    names = np.unique(groups)
    if len(names) >= _FOLDS:
        return np.asarray(np.searchsorted(names, groups) % _FOLDS, dtype=np.int64)
    order = np.argsort(np.argsort(ts_ms, kind="stable"), kind="stable")
    return np.asarray(order * _FOLDS // len(ts_ms), dtype=np.int64)


def _thin(V: FloatArray) -> FloatArray:
    return V[:: max(1, -(-len(V) // _MAX_ROWS))]


def _centre(V: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the median and a robust spread (interquartile) of every column."""
    V = _thin(V)
    low, middle, high = np.zeros((3, V.shape[1]))
    known = np.isfinite(V).any(axis=0)
    low[known], middle[known], high[known] = np.nanquantile(V[:, known], [0.25, 0.5, 0.75], axis=0)
    return middle, (high - low) / 1.349


def _scale(V: FloatArray, spread: FloatArray, limits: FloatArray) -> FloatArray:
    """Return the scale of every column: its spread, more where healthy rows stray farther."""
    scale = np.maximum(spread, limits / _RARE)
    tiny = 1e-12 * (1 + np.abs(np.nan_to_num(_thin(V))).max(axis=0))
    return np.where(scale > tiny, scale, 1.0)


def _standard(V: FloatArray, centre: FloatArray, scale: FloatArray) -> FloatArray:
    """Return rows in spreads from the centre; what is unknown is as expected."""
    z = np.nan_to_num((V - centre) / scale, nan=0.0, posinf=_CLIP, neginf=-_CLIP)
    return np.asarray(np.clip(z, -_CLIP, _CLIP), dtype=np.float64)


def _whiten(z: FloatArray) -> FloatArray:
    """Return the square root of the inverse of the shrunk correlation of standardised rows."""
    z = np.clip(_thin(z), -_RARE, _RARE)
    n, p = z.shape
    S = z.T @ z / n
    mean = max(float(np.trace(S)) / p, 1e-9)
    away = float(np.sum((S - mean * np.eye(p)) ** 2))
    noise = max((float(np.sum(np.sum(z**2, axis=1) ** 2)) / n - float(np.sum(S**2))) / n, 0.0)
    shrink = min(1.0, max(0.05, noise / away if away > 0 else 1.0))
    values, vectors = np.linalg.eigh((1 - shrink) * S + shrink * mean * np.eye(p))
    return np.asarray(vectors / np.sqrt(np.maximum(values, 1e-9)), dtype=np.float64)


def _distances(views: Sequence[View], z: FloatArray) -> FloatArray:
    return np.concatenate([view.distances(z) for view in views], axis=1)


def deviation_to_dict(model: DeviationModel) -> dict[str, Any]:
    """Return JSON-able parameters."""
    return {
        "columns": model.columns.tolist(),
        "centre": model.centre.tolist(),
        "scale": model.scale.tolist(),
        "views": [
            {"place": v.place.tolist(), "whiten": v.whiten.tolist(), "limits": list(v.limits)}
            for v in model.views
        ],
        "limit": model.limit,
        "rows": model.rows,
    }


def deviation_from_dict(d: Mapping[str, Any], features: int) -> DeviationModel:
    """Read `deviation_to_dict`'s result. Raises ValueError or KeyError when it is damaged."""
    columns = np.array(d["columns"], dtype=np.int64)
    p = len(columns)
    centre, scale = (np.array(d[key], dtype=np.float64) for key in ("centre", "scale"))
    if len(centre) != p or len(scale) != p or not _within(columns, features):
        raise ValueError("deviation shapes")
    views = []
    for one in d["views"]:
        place = np.array(one["place"], dtype=np.int64)
        whiten = np.array(one["whiten"], dtype=np.float64).reshape(len(place), len(place))
        together, each = (float(limit) for limit in one["limits"])
        if not len(place) or not _within(place, p) or not np.all(np.isfinite(whiten)):
            raise ValueError("deviation view")
        if not (_LEAST_LIMIT <= together < np.inf and _LEAST_LIMIT <= each < np.inf):
            raise ValueError("deviation limits")
        views.append(View(place, whiten, (together, each)))
    limit = float(d["limit"])
    usual = np.all(np.isfinite(centre)) and np.all(np.isfinite(scale)) and np.all(scale > 0)
    if not _LEAST_LIMIT <= limit < np.inf or not usual or (p > 0) != bool(views):
        raise ValueError("deviation scale")
    return DeviationModel(columns, centre, scale, tuple(views), limit, int(d["rows"]))


def _within(places: IntArray, size: int) -> bool:
    return len(places) == 0 or bool(0 <= places.min() <= places.max() < size)

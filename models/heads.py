"""Regression heads: boosters that predict the restricted mean life directly, blended into the curve.

Squared and Huber loss aim at the mean, where the hazard's likelihood aims at the whole distribution;
the two err differently, so their blend is better than either. A censored life gives its conditional
mean under the out-of-fold hazard as target (Buckley & James 1979, DOI 10.1093/biomet/66.3.429), so
the heads are not misled by censoring. The blend only runs the curve's time slower or faster: every
number given still comes from one curve.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numba import njit

from models.bins import FloatArray
from models.curve import SurvivalCurves
from models.forest import Forest, parse_forest
from models.hazard import feature_fraction, parameters, train_booster
from models.settings import ModelSettings

#: The variant for machines with an unknown past: many random cuts, whose mean noise moves less.
CALM = 1
_FACTOR = (0.4, 2.5)
_TINY = 1e-12
_LOG_TINY = float(np.log(_TINY))


@dataclass(frozen=True, slots=True, eq=False)
class Heads:
    """Boosters on the restricted mean up to cap_h hours, and their share of the blend."""

    texts: tuple[str, ...]
    cap_h: float
    share: float
    forests: tuple[Forest, ...] = field(init=False)

    def __post_init__(self) -> None:
        forests = tuple(parse_forest(text, by_bin=False) for text in self.texts)
        object.__setattr__(self, "forests", forests)

    def mean_h(self, X: FloatArray) -> FloatArray:
        """Return the heads' mean of min(life, cap), float64[n]."""
        total = np.zeros(len(X))
        for forest in self.forests:
            total += forest.predict(X)
        return np.clip(total / len(self.forests), 0.0, self.cap_h)

    def blend(self, X: FloatArray, curves: SurvivalCurves) -> SurvivalCurves:
        """Return curves whose restricted mean is the blend of the hazard's and the heads'."""
        return blend_to_mean(curves, self.mean_h(X), self.cap_h, self.share)


def head_cap_h(edges_h: FloatArray, settings: ModelSettings) -> float:
    """Return the life past which longer is not told apart, for heads and figures."""
    return float(min(settings.head_cap_h or 0.8 * edges_h[-1], edges_h[-1]))


def blend_to_mean(
    curves: SurvivalCurves, mean_h: FloatArray, cap_h: float, share: float
) -> SurvivalCurves:
    """Stretch each curve's time until its restricted mean is (1 - share)·own + share·mean_h."""
    target = (1 - share) * curves.restricted_mean_h(cap_h) + share * mean_h
    log_s = np.log(np.maximum(curves.survival, _TINY))
    factor = np.empty(len(curves))
    _stretch(curves.edges_h, log_s, target, cap_h, _FACTOR[0], _FACTOR[1], factor)
    return curves.rescaled(factor)


@njit(cache=True, nogil=True)
def _stretch(edges, log_s, target, cap, least, most, factor):  # type: ignore[no-untyped-def] # numba
    """Find for each row the factor by which `rescaled` gives it the target as restricted mean.

    The mean rises with the factor, so halving the interval finds it; one row at a time stays in cache.
    """
    last = len(edges) - 2
    for i in range(len(log_s)):
        low, high = least, most
        for _ in range(14):
            middle = np.sqrt(low * high)
            area, old, left, k = 0.0, 0.0, 0, 0  # old: log-survival at the edge before
            while k <= last and edges[k] < cap:
                end = min(edges[k + 1], cap)
                h = edges[k + 1] / middle
                while left < last and edges[left + 1] <= h:
                    left += 1
                share = (h - edges[left]) / (edges[left + 1] - edges[left])
                new = log_s[i, left] + share * (log_s[i, left + 1] - log_s[i, left])
                new = min(max(new, _LOG_TINY), 0.0)
                rate = (old - new) / (edges[k + 1] - edges[k])
                width = end - edges[k]
                piece = (1.0 - np.exp(-rate * width)) / rate if rate * width > 1e-9 else width
                area += np.exp(old) * piece
                old, k = new, k + 1
            if area < target[i]:
                low = middle
            else:
                high = middle
        factor[i] = np.sqrt(low * high)


def conditional_mean_h(curves: SurvivalCurves, seen_h: FloatArray, cap_h: float) -> FloatArray:
    """Return E[min(T, cap) | T > seen] of each curve, float64[n]; `seen_h` is cut at the cap."""
    grid = np.linspace(0.0, cap_h, 65)
    s = curves.at(grid)
    area = np.concatenate(
        [np.zeros((len(s), 1)), np.cumsum((s[:, 1:] + s[:, :-1]) / 2 * np.diff(grid), axis=1)],
        axis=1,
    )
    seen = np.minimum(seen_h, cap_h)
    rows = np.arange(len(s))
    cell = np.clip((seen / grid[1]).astype(np.int64), 0, len(grid) - 2)
    share = (seen - grid[cell]) / grid[1]
    area_seen = area[rows, cell] + share * (area[rows, cell + 1] - area[rows, cell])
    s_seen = s[rows, cell] + share * (s[rows, cell + 1] - s[rows, cell])
    return np.asarray(
        np.minimum(seen + (area[:, -1] - area_seen) / np.maximum(s_seen, 1e-6), cap_h),
        dtype=np.float64,
    )


def fit_head(
    X: FloatArray, mean_h: FloatArray, settings: ModelSettings, index: int, seed: int
) -> str:
    """Train one head on targets float64[n]; even and odd `index` learn differently."""
    huber = {"objective": "huber", "alpha": float(np.ptp(mean_h)) * 0.12 or 1.0}
    variants: list[tuple[int, dict[str, object]]] = [
        (150, huber | {"learning_rate": 0.08}),
        (500, {"objective": "regression", "extra_trees": True, "learning_rate": 0.04}),
    ]
    rounds, extra = variants[index % len(variants)]
    fraction = 0.5 if "extra_trees" in extra else 0.3
    features = X.shape[1]
    common = {
        "num_leaves": 15,
        "min_child_samples": max(5, min(40, len(X) // 40)),
        "feature_fraction": max(fraction, feature_fraction(settings, features)),
    }
    params = parameters(settings, seed, len(X), features) | common | extra
    return str(train_booster(X, mean_h, params, rounds).model_to_string(importance_type="gain"))

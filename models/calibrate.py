"""Making predictions mean what they say, on out-of-fold predictions only.

Hazards: logistic recalibration (Platt 1999) of the log-odds, on every bin of every landmark, with a
pull towards "no change" that counts lives, not rows, so that few failures change little. One map for
the whole curve keeps every horizon consistent, which per-horizon isotonic maps do not.

Windows: the 10 % and 90 % points are conformal (distributional form, Chernozhukov, Wüthrich & Zhu
2021, DOI 10.1073/pnas.2107794118). The score of a landmark is u = F(T), the predicted probability
of failing by the time it did; for a censored one u is only known to exceed F(C), so the scores'
distribution is estimated by Kaplan–Meier, which weights for censoring. Levels are found per band of
predicted median. Rows of one life are not independent, so lives are counted, and held-out lives
decide how wide is honest (Dunn, Wasserman & Ramdas 2023, DOI 10.1080/01621459.2022.2060112).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.bins import FloatArray, PersonPeriods
from models.curve import SurvivalCurves
from models.hazard import bin_position

_RIDGE = 4.0  # pseudo-lives that vote for "no change"
#: Bands of the predicted median, as shares of the horizon.
BANDS = (0.0, 0.06, 0.12, 0.2, 0.35, 0.6, 0.75, 1.0, np.inf)
_MIN_BAND = 60
_FOLDS = 5
#: Shares of the nominal tail to try, until held-out lives are covered.
_NARROWER = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)


@dataclass(frozen=True, slots=True)
class HazardCalibration:
    """log-odds → intercept + slope · log-odds + tilt · bin position."""

    intercept: float = 0.0
    slope: float = 1.0
    tilt: float = 0.0


def fit_hazard_calibration(
    logits: FloatArray, periods: PersonPeriods, rows_per_life: float = 1.0
) -> HazardCalibration:
    """Fit the recalibration on out-of-fold logits float64[n, K] and the landmarks' person-periods.

    Rows of one life err alike: `rows_per_life` of them count as one observation.
    """
    z = logits[periods.row, periods.bin]
    if not np.any(periods.y > 0):
        return HazardCalibration()
    design = np.column_stack([np.ones_like(z), z, bin_position(logits.shape[1])[periods.bin]])
    start = np.array([0.0, 1.0, 0.0])
    beta = start.copy()
    ridge = _RIDGE * rows_per_life * np.array([1.0, 4.0, 1.0])
    for _ in range(30):
        p = 1.0 / (1.0 + np.exp(-design @ beta))
        gradient = design.T @ (periods.weight * (p - periods.y)) + ridge * (beta - start)
        weight = periods.weight * p * (1 - p)
        hessian = (design * weight[:, None]).T @ design + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient)
        beta = beta - step
        if np.max(np.abs(step)) < 1e-10:
            break
    if not np.all(np.isfinite(beta)) or beta[1] <= 0.1:
        return HazardCalibration()
    return HazardCalibration(*(float(value) for value in beta))


@dataclass(frozen=True, slots=True, eq=False)
class WindowLevels:
    """Which quantiles of the curve are honest p10 and p90, per band of the predicted median."""

    bands_h: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def windows(self, curves: SurvivalCurves) -> FloatArray:
        """Return p10, p50, p90 hours, float64[n, 3]; infinity where past the last edge."""
        median = curves.quantile_h(0.5)
        band = np.clip(
            np.searchsorted(self.bands_h, median, side="right") - 1, 0, len(self.low) - 1
        )
        low = curves.quantile_h(np.asarray(self.low)[band])
        high = curves.quantile_h(np.asarray(self.high)[band])
        return np.column_stack([np.minimum(low, median), median, np.maximum(high, median)])


def fit_window_levels(
    curves: SurvivalCurves,
    ttf_h: FloatArray,
    observed: NDArray[np.bool_],
    coverage: float,
    weight: FloatArray,
    life: NDArray[np.int64],
) -> WindowLevels:
    """Find the levels on out-of-fold curves, each landmark with its weight and the life it is of.

    Lives are what can be exchanged, not rows: each weighs the same however long it was, and the share
    left outside is narrowed until lives that were held out are covered as often as asked. A
    thin band takes the levels of all bands together.
    """
    horizon = curves.horizon_h
    u = 1.0 - survival_at(curves, np.arange(len(curves)), np.minimum(ttf_h, horizon))
    _, life = np.unique(life, return_inverse=True)
    per_life = np.bincount(life, weights=weight)
    weight = np.where(weight > 0, weight / np.maximum(per_life[life], 1e-12), 0.0)
    bands = tuple(float(share * horizon) for share in BANDS[:-1])
    band = np.searchsorted(bands, curves.quantile_h(0.5), side="right") - 1
    reach = 1.0 - curves.survival[:, -1]
    scores = _Scores(u, observed & (ttf_h <= horizon), reach, weight, band, life)
    tail = (1.0 - coverage) / 2
    tails = tail * np.array(_NARROWER)
    covered = np.maximum.accumulate(_held_out_coverage(scores, tails, len(bands)))
    chosen = np.interp(coverage, covered, tails)
    low, high = _band_levels(scores, np.array([chosen]), len(bands))
    return WindowLevels(bands, tuple(low[:, 0].tolist()), tuple(high[:, 0].tolist()))


@dataclass(frozen=True, slots=True, eq=False)
class _Scores:
    """u float64[n] of landmarks, whether it is the failure's (else a lower bound), weight, band, life.

    reach: the share of failures each curve has by its last edge; a window up to a higher one has no end.
    """

    u: FloatArray
    event: NDArray[np.bool_]
    reach: FloatArray
    weight: FloatArray
    band: NDArray[np.int64]
    life: NDArray[np.int64]

    def take(self, rows: NDArray[np.bool_]) -> _Scores:
        return _Scores(
            self.u[rows],
            self.event[rows],
            self.reach[rows],
            self.weight[rows],
            self.band[rows],
            self.life[rows],
        )


def _held_out_coverage(scores: _Scores, tails: FloatArray, bands: int) -> FloatArray:
    """Return how often lives are covered by the levels of other lives, float64[tails].

    Of windows that have an end: one without holds all that outlives the curve, and would hide that others
    are too narrow.
    """
    fold = scores.life % _FOLDS
    covered, total = np.zeros(len(tails)), np.zeros(len(tails))
    for k in range(_FOLDS):
        low, high = _band_levels(scores.take(fold != k), tails, bands)
        for b in range(bands):
            judged = scores.take((fold == k) & (scores.band == b))
            for t in range(len(tails)):
                ended = judged.take(judged.reach >= high[b, t])
                if ended.event.any():
                    share = float(ended.weight.sum())
                    covered[t] += share * _inside(ended, low[b, t], high[b, t])
                    total[t] += share
    return covered / np.maximum(total, 1e-12)


def _inside(scores: _Scores, low: float, high: float) -> float:
    """Return how often the failure comes between two levels."""
    u, cdf = _distribution(scores)
    steps = np.r_[0.0, cdf]
    return float(steps[np.searchsorted(u, high, side="right")] - steps[np.searchsorted(u, low)])


def _band_levels(scores: _Scores, tails: FloatArray, bands: int) -> tuple[FloatArray, FloatArray]:
    """Return the levels of each band and tail, two float64[bands, tails]."""
    whole = _levels(scores, tails)
    low, high = np.empty((bands, len(tails))), np.empty((bands, len(tails)))
    for b in range(bands):
        inside = scores.take(scores.band == b)
        enough = int(np.count_nonzero(inside.event)) >= _MIN_BAND
        low[b], high[b] = _levels(inside, tails) if enough else whole
    return low, high


def survival_at(curves: SurvivalCurves, rows: NDArray[np.int64], hours: FloatArray) -> FloatArray:
    """Return each curve's survival at its own time, float64[n]."""
    edges = curves.edges_h
    log_s = np.log(np.maximum(curves.survival, 1e-12))
    left = np.clip(np.searchsorted(edges, hours, side="right") - 1, 0, len(edges) - 2)
    share = (hours - edges[left]) / (edges[left + 1] - edges[left])
    return np.asarray(
        np.exp(log_s[rows, left] + share * (log_s[rows, left + 1] - log_s[rows, left])),
        dtype=np.float64,
    )


def _levels(scores: _Scores, tails: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the u by which each tail and 1 - tail of the failures have come, float64[tails] each."""
    if np.count_nonzero(scores.event) < 20:
        return tails, 1.0 - tails
    u, cdf = _distribution(scores)
    last = len(u) - 1
    low = np.where(cdf[-1] >= tails, u[np.minimum(np.searchsorted(cdf, tails), last)], tails)
    far = 1.0 - tails
    high = np.where(cdf[-1] >= far, u[np.minimum(np.searchsorted(cdf, far), last)], far)
    return np.clip(low, 0.002, 0.49), np.clip(high, 0.51, 0.998)


def _distribution(scores: _Scores) -> tuple[FloatArray, FloatArray]:
    """Return the scores in order and the share of failures come by each (Kaplan–Meier)."""
    order = np.lexsort((~scores.event, scores.u))
    u, event, weight = scores.u[order], scores.event[order], scores.weight[order]
    at_risk = np.cumsum(weight[::-1])[::-1]
    cdf = 1.0 - np.cumprod(1.0 - np.minimum(event * weight / np.maximum(at_risk, 1e-12), 1.0))
    return u, np.asarray(cdf, dtype=np.float64)

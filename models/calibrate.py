"""Making predictions mean what they say, on out-of-fold predictions only.

Hazards: logistic recalibration (Platt 1999) of the log-odds, on every bin of every landmark, with a
pull towards "no change" so that few failures change little. One map for the whole curve keeps every
horizon consistent, which per-horizon isotonic maps do not.

Windows: the 10 % and 90 % points are conformal (distributional form, Chernozhukov, Wüthrich & Zhu
2021, DOI 10.1073/pnas.2107794118). The score of a landmark is u = F(T), the predicted probability
of failing by the time it did; for a censored one u is only known to exceed F(C), so the scores'
distribution is estimated by Kaplan–Meier, which weights for censoring. Levels are found per band of
predicted median.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.bins import FloatArray, PersonPeriods
from models.curve import SurvivalCurves
from models.hazard import bin_position

_RIDGE = 4.0  # pseudo-events that vote for "no change"
#: Bands of the predicted median, as shares of the horizon.
BANDS = (0.0, 0.06, 0.12, 0.2, 0.35, 0.6, np.inf)
_MIN_BAND = 60


@dataclass(frozen=True, slots=True)
class HazardCalibration:
    """log-odds → intercept + slope · log-odds + tilt · bin position."""

    intercept: float = 0.0
    slope: float = 1.0
    tilt: float = 0.0


def fit_hazard_calibration(logits: FloatArray, periods: PersonPeriods) -> HazardCalibration:
    """Fit the recalibration on out-of-fold logits float64[n, K] and the landmarks' person-periods."""
    z = logits[periods.row, periods.bin]
    if not np.any(periods.y > 0):
        return HazardCalibration()
    design = np.column_stack([np.ones_like(z), z, bin_position(logits.shape[1])[periods.bin]])
    start = np.array([0.0, 1.0, 0.0])
    beta = start.copy()
    ridge = _RIDGE * np.array([1.0, 4.0, 1.0])
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
    weight: FloatArray | None = None,
) -> WindowLevels:
    """Find the levels on out-of-fold curves, each landmark with its weight (1 without).

    A thin band takes the levels of all bands together.
    """
    weight = np.ones(len(ttf_h)) if weight is None else weight
    horizon = curves.horizon_h
    seen = np.minimum(ttf_h, horizon)
    rows = np.arange(len(curves))
    u = 1.0 - _survival_at(curves, rows, seen)
    event = observed & (ttf_h <= horizon)
    bands = tuple(float(share * horizon) for share in BANDS[:-1])
    median = curves.quantile_h(0.5)
    tail = (1.0 - coverage) / 2
    whole = _levels(u, event, weight, tail)
    low, high = [], []
    for lower, upper in zip(bands, (*bands[1:], np.inf), strict=True):
        inside = (median >= lower) & (median < upper)
        enough = int(np.count_nonzero(inside & event)) >= _MIN_BAND
        a, b = _levels(u[inside], event[inside], weight[inside], tail) if enough else whole
        low.append(a)
        high.append(b)
    return WindowLevels(bands, tuple(low), tuple(high))


def _survival_at(curves: SurvivalCurves, rows: NDArray[np.int64], hours: FloatArray) -> FloatArray:
    """Return each curve's survival at its own time, float64[n]."""
    edges = curves.edges_h
    log_s = np.log(np.maximum(curves.survival, 1e-12))
    left = np.clip(np.searchsorted(edges, hours, side="right") - 1, 0, len(edges) - 2)
    share = (hours - edges[left]) / (edges[left + 1] - edges[left])
    return np.asarray(
        np.exp(log_s[rows, left] + share * (log_s[rows, left + 1] - log_s[rows, left])),
        dtype=np.float64,
    )


def _levels(
    u: FloatArray, event: NDArray[np.bool_], weight: FloatArray, tail: float
) -> tuple[float, float]:
    """Return the u by which `tail` and 1 - `tail` of the failures have come (Kaplan–Meier)."""
    if np.count_nonzero(event) < 20:
        return tail, 1.0 - tail
    order = np.lexsort((~event, u))
    u, event, weight = u[order], event[order], weight[order]
    at_risk = np.cumsum(weight[::-1])[::-1]
    cdf = 1.0 - np.cumprod(1.0 - np.minimum(event * weight / np.maximum(at_risk, 1e-12), 1.0))
    low = float(u[np.argmax(cdf >= tail)]) if cdf[-1] >= tail else tail
    high = float(u[np.argmax(cdf >= 1 - tail)]) if cdf[-1] >= 1 - tail else 1.0 - tail
    return float(np.clip(low, 0.002, 0.49)), float(np.clip(high, 0.51, 0.998))

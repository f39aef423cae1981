"""How high a limit must be for healthy machines to pass it rarely enough: peaks over a threshold.

Passings of one machine close together are one spell. Spells above a high threshold come at random and
their peaks exceed it by an exponential law, the generalised Pareto of shape 0 (Pickands 1975, DOI
10.1214/aos/1176343003); a fitted shape was no better on held-out machines and wilder on few spells. So
a rate can be met that is lower than anything a short history has shown. The highest tenth of the peaks
counts only as "at least so high": a fault nobody noticed in the healthy period moves the limit little.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plant.times import DAY_MS

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MONTH_MS = 30 * DAY_MS
#: Thresholds tried, as quantiles of all rows, highest first: above a low one the spells of a fast signal,
#: which comes back to it every day, run into one as long as the history.
_THRESHOLDS = (0.9998, 0.9995, 0.999, 0.998, 0.995, 0.99, 0.98, 0.95, 0.9, 0.8)
#: Spells that are enough to fit a tail, and too few to doubt the highest of.
_ENOUGH, _TOO_FEW = 30, 10
#: Share of the highest peaks whose height is not believed.
_DOUBTED = 0.1


def watched_ms(ts_ms: IntArray, groups: IntArray) -> float:
    """Return how long the machines were watched in all; silences of a day or more do not count.

    Rows int64[n] in order of machine and time.
    """
    gaps = np.diff(ts_ms)
    return float(np.sum(np.where((groups[1:] == groups[:-1]) & (gaps < DAY_MS), gaps, 0)))


def spell_peaks(
    score: FloatArray, ts_ms: IntArray, groups: IntArray, above: float, apart_ms: float
) -> FloatArray:
    """Return the highest score of every spell above a limit; rows in order of machine and time."""
    at = np.flatnonzero(score > above)
    if not len(at):
        return np.zeros(0)
    fresh = np.r_[True, (np.diff(ts_ms[at]) > apart_ms) | (np.diff(groups[at]) != 0)]
    return np.asarray(np.maximum.reduceat(score[at], np.flatnonzero(fresh)), dtype=np.float64)


def false_alarm_limit(
    score: FloatArray, ts_ms: IntArray, groups: IntArray, per_month: float
) -> float:
    """Return the limit passed in `per_month` spells a machine-month by scores like these.

    score: float64[n] of healthy rows (NaN: unknown) of machines `groups` int64[n] at ts_ms int64[n], in
    any order. A spell ends after a day of calm, or after a fiftieth of a history shorter than 50 days.
    """
    known = np.flatnonzero(np.isfinite(score))
    if not len(known):
        return 1.0
    order = known[np.lexsort((ts_ms[known], groups[known]))]
    s, t, g = score[order], ts_ms[order], groups[order]
    watched = watched_ms(t, g)
    apart = min(float(DAY_MS), watched / 50)
    allowed = per_month * watched / MONTH_MS
    floor, peaks = 0.0, np.zeros(0)
    for threshold in np.quantile(s, _THRESHOLDS):
        found = spell_peaks(s, t, g, threshold, apart)
        if len(found) > len(peaks):
            floor, peaks = float(threshold), found
        if len(peaks) >= max(2 * allowed, _ENOUGH):
            break
    if not len(peaks):
        return max(floor, 1e-6)
    return max(floor + _excess(np.sort(peaks - floor), allowed), 1e-6)


def _excess(excess: FloatArray, allowed: float) -> float:
    """Return the excess over the threshold that `allowed` of the spells with these (sorted) pass.

    The highest tenth only says that it was that high or higher (type II censoring).
    """
    n = len(excess)
    kept = excess[: n - int(_DOUBTED * n)] if n >= _TOO_FEW else excess
    scale = float(kept.sum() + (n - len(kept)) * kept[-1]) / len(kept)
    return scale * float(np.log(max(n / max(allowed, 1e-12), 1.0)))

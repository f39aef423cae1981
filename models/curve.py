"""Survival curves: everything a person asks about the time to failure is read off them.

Between two edges the hazard rate is constant, so the logarithm of the survival is linear there.
Past the last edge nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plant.errors import DataError

FloatArray = NDArray[np.float64]
_TINY = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class SurvivalCurves:
    """n curves on common edges. edges_h: float64[K+1] from 0, rising; survival: float64[n, K+1]."""

    edges_h: FloatArray
    survival: FloatArray

    def __post_init__(self) -> None:
        edges, survival = self.edges_h, self.survival
        if survival.ndim != 2 or survival.shape[1] != len(edges):
            raise DataError("survival needs one column per edge.")
        if len(edges) < 2 or edges[0] != 0 or not np.all(np.diff(edges) > 0):
            raise DataError("edges must rise from 0 hours.")

    @property
    def horizon_h(self) -> float:
        """The last edge, hours: nothing is known past it."""
        return float(self.edges_h[-1])

    def __len__(self) -> int:
        return len(self.survival)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> SurvivalCurves:
        """Return the curves of some rows."""
        return SurvivalCurves(self.edges_h, self.survival[rows])

    def put(
        self, rows: NDArray[np.int64] | NDArray[np.bool_], other: SurvivalCurves
    ) -> SurvivalCurves:
        """Return these curves with those of some rows replaced, on the same edges."""
        survival = self.survival.copy()
        survival[rows] = other.survival
        return SurvivalCurves(self.edges_h, survival)

    def at(self, hours: ArrayLike) -> FloatArray:
        """Return the survival at h horizons, float64[n, h]; NaN past the last edge."""
        h = np.atleast_1d(np.asarray(hours, dtype=np.float64))
        log_s = np.log(np.maximum(self.survival, _TINY))
        left = np.clip(np.searchsorted(self.edges_h, h, side="right") - 1, 0, len(self.edges_h) - 2)
        share = (h - self.edges_h[left]) / (self.edges_h[left + 1] - self.edges_h[left])
        value = np.exp(log_s[:, left] + share * (log_s[:, left + 1] - log_s[:, left]))
        value[:, (h > self.horizon_h) | (h < 0)] = np.nan
        return np.asarray(value, dtype=np.float64)

    def p_fail(self, hours: ArrayLike) -> FloatArray:
        """Return the probability to fail within h horizons, float64[n, h]; NaN past the last edge."""
        return 1.0 - self.at(hours)

    def quantile_h(self, q: float | FloatArray) -> FloatArray:
        """Return the hours by which a share `q` (one number, or one per row) has failed, float64[n].

        infinity where the curve does not get there before the last edge.
        """
        log_s = np.log(np.maximum(self.survival, _TINY))
        target = np.broadcast_to(np.log1p(-np.asarray(q, dtype=np.float64)), (len(log_s),))[:, None]
        reached = log_s <= target
        hit = reached.any(axis=1)
        right = np.maximum(reached.argmax(axis=1), 1)
        rows = np.arange(len(log_s))
        upper, lower = log_s[rows, right - 1], log_s[rows, right]
        drop = np.where(upper > lower, upper - lower, 1.0)
        share = np.clip((upper - target[:, 0]) / drop, 0.0, 1.0)
        left_h, right_h = self.edges_h[right - 1], self.edges_h[right]
        return np.where(hit, left_h + share * (right_h - left_h), np.inf)

    def restricted_mean_h(self, cap_h: float | None = None) -> FloatArray:
        """Return the mean of min(life, cap), float64[n]: the exact area below the curve up to `cap_h`.

        Without a cap (or with one past the last edge) up to the last edge.
        """
        cap = self.horizon_h if cap_h is None else min(cap_h, self.horizon_h)
        inner = self.edges_h[self.edges_h < cap]
        edges = np.append(inner, cap)
        s = np.column_stack([self.survival[:, : len(inner)], self.at(cap)[:, 0]])
        s = np.maximum(s, _TINY)
        rate = np.log(s[:, :-1]) - np.log(s[:, 1:])
        # The area of an exponential piece is (s0 - s1) / rate; of a flat one its height.
        safe = np.where(rate > 1e-9, rate, 1.0)
        piece = np.where(rate > 1e-9, (s[:, :-1] - s[:, 1:]) / safe, s[:, :-1])
        return np.asarray(piece @ np.diff(edges), dtype=np.float64)

    def through(self, hours: Sequence[float], p_fail: FloatArray) -> SurvivalCurves:
        """Return curves that give these probabilities p_fail float64[n, h] at rising hours.

        The hazard of all bins since the bin of the hour before is scaled alike; past the last hour it is
        left. Of several hours within a bin the first counts.
        """
        edges = self.edges_h
        log_s = np.log(np.maximum(self.survival, _TINY))
        step = np.maximum(-np.diff(log_s, axis=1), _TINY)  # of each bin; none could not be scaled
        done, begin = np.zeros(len(step)), 0
        for j, h in enumerate(hours):
            last = int(np.searchsorted(edges, h)) - 1  # the bin that holds it
            if last < begin:
                continue
            share = (h - edges[last]) / (edges[last + 1] - edges[last])
            wanted = np.maximum(-np.log1p(-np.minimum(p_fail[:, j], 1 - _TINY)) - done, 0.0)
            part = step[:, begin : last + 1]
            own = part[:, :-1].sum(axis=1) + share * part[:, -1]
            part *= (wanted / own)[:, None]
            done += part.sum(axis=1)
            begin = last + 1
        total = np.cumsum(np.column_stack([np.zeros(len(step)), step]), axis=1)
        return SurvivalCurves(edges, np.exp(-total))

    def rescaled(self, factor: FloatArray) -> SurvivalCurves:
        """Return curves whose time runs `factor` times slower, float64[n] > 0 (accelerated life).

        Past the old last edge the last hazard rate goes on, so that a stretched curve stays whole.
        """
        log_s = np.log(np.maximum(self.survival, _TINY))
        edges = self.edges_h
        h = edges[None, :] / factor[:, None]
        left = np.clip(np.searchsorted(edges, h.ravel(), side="right") - 1, 0, len(edges) - 2)
        left = left.reshape(h.shape)
        share = (h - edges[left]) / (edges[left + 1] - edges[left])
        low = np.take_along_axis(log_s, left, axis=1)
        high = np.take_along_axis(log_s, left + 1, axis=1)
        survival = np.exp(low + share * (high - low))
        survival[:, 0] = 1.0
        return SurvivalCurves(edges, np.clip(survival, _TINY, 1.0))


def log_odds(p: FloatArray, least: float) -> FloatArray:
    """Return the log-odds of probabilities, taken for at least `least` and at most 1 - `least`."""
    p = np.clip(p, least, 1 - least)
    return np.asarray(np.log(p) - np.log1p(-p), dtype=np.float64)


def from_hazards(edges_h: FloatArray, hazards: FloatArray) -> SurvivalCurves:
    """Build curves from the conditional failure probability of each bin, float64[n, K]."""
    ones = np.ones((len(hazards), 1))
    survival = np.concatenate([ones, np.cumprod(1.0 - hazards, axis=1)], axis=1)
    return SurvivalCurves(edges_h, survival)

"""How wide curves are: held-out lives say.

Each bin's hazard is learned from the few that failed in it, and what single horizons and heads know only
moves the curve. So where a failure is near, curves are wider than their errors: of FD001's engines with 10
to 60 h left, half failed between the 0.37 and the 0.64 quantile of their curves, where it should be 0.25 and
0.75. Conformal levels mend windows; this mends the curve, and with it every probability.

The log-odds of failing by each edge are multiplied by a slope, above 1 for a narrower curve, that depends on
how near the predicted median is; then time is stretched until the restricted mean is what it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bins import FloatArray
from models.calibrate import survival_at
from models.curve import SurvivalCurves, log_odds
from models.hazard import Landmarks
from models.heads import blend_to_mean

#: Predicted medians where a slope is found, as shares of the horizon. From the horizon on it is 1.
KNOTS = (0.04, 0.1, 0.2, 0.4, 0.7)
_GRID = np.linspace(-0.6, 1.4, 11)  # of the slope's logarithm
_PULL = 0.5  # pseudo-lives that vote for no change, and for none from knot to knot
_FOLDS = 5
_SURE = 2.0  # standard errors over lives
_MIN_LIVES = 20
_MAX_ROWS = 4_000
_SWEEPS = 3
_LEAST = 1e-9  # of a probability, before its log-odds are taken


@dataclass(frozen=True, slots=True)
class Sharpness:
    """log_slopes: the logarithm of the slope at each of KNOTS; cap_h: the restricted mean up to it stays."""

    cap_h: float
    log_slopes: tuple[float, ...]

    def sharpened(self, curves: SurvivalCurves) -> SurvivalCurves:
        """Return the curves as wide as held-out lives say; those without a median are left."""
        median = np.minimum(curves.quantile_h(0.5), curves.horizon_h)
        log_slope = _places(median, curves.horizon_h) @ np.array(self.log_slopes)
        rows = np.flatnonzero(log_slope)
        return curves.put(rows, _sloped(curves.take(rows), np.exp(log_slope[rows]), self.cap_h))


def sharpen(
    curves: SurvivalCurves,
    place: NDArray[np.int64],
    marks: Landmarks,
    life: NDArray[np.int64],
    cap_h: float,
) -> tuple[Sharpness | None, SurvivalCurves]:
    """Return what `fit_sharpness` finds on the curves `place` int64[m], and all curves with it."""
    found = fit_sharpness(curves.take(place), marks, life, cap_h)
    return found, curves if found is None else found.sharpened(curves)


def fit_sharpness(
    curves: SurvivalCurves, marks: Landmarks, life: NDArray[np.int64], cap_h: float
) -> Sharpness | None:
    """Find the slopes on held-out curves; None where lives do not surely gain by the slopes of others.

    marks: what became of each curve, of the life int64[n]. What is made likeliest is the bin in which each
    failed, or that it outlived what was seen of it. Each life counts the same however many its rows.
    """
    median = curves.quantile_h(0.5)
    near = np.flatnonzero(median < curves.horizon_h)
    near = near[:: -(-len(near) // _MAX_ROWS) or 1]
    curves, marks, median = curves.take(near), marks.take(near), median[near]
    _, number = np.unique(life[near], return_inverse=True)
    if len(np.unique(number[marks.event])) < _MIN_LIVES:
        return None
    share = marks.weight / np.maximum(np.bincount(number, weights=marks.weight)[number], _LEAST)
    loss = np.column_stack(
        [share * _loss(_sloped(curves, np.full(len(near), np.exp(g)), cap_h), marks) for g in _GRID]
    )
    losses = _Losses(loss, _places(median, curves.horizon_h))
    sure = [knot for knot in range(len(KNOTS)) if _surely_gain(losses, knot, number)]
    if not sure:
        return None
    best = losses.best(np.ones(len(near), dtype=bool), sure).round(6)
    return Sharpness(cap_h, tuple(best.tolist())) if best.any() else None


def _surely_gain(losses: _Losses, knot: int, number: NDArray[np.int64]) -> bool:
    """Return whether lives `number` int64[n] surely gain by the slope at a knot that other lives chose."""
    gain, fold = np.zeros(len(number)), number % _FOLDS
    before = losses.at(np.zeros(len(KNOTS)))
    for k in range(_FOLDS):
        after = losses.at(losses.best(fold != k, [knot]))
        gain[fold == k] = (before - after)[fold == k]
    of_lives = np.bincount(number, weights=gain)
    return bool(of_lives.sum() > _SURE * float(np.std(of_lives)) * np.sqrt(len(of_lives)))


@dataclass(frozen=True, slots=True, eq=False)
class _Losses:
    """Of every row float64[n, tried slopes]; places: how much each knot counts there, float64[n, knots]."""

    tried: FloatArray
    places: FloatArray

    def at(self, log_slopes: FloatArray) -> FloatArray:
        """Return the loss of each row, float64[n]; straight between two slopes that were tried."""
        at = (self.places @ log_slopes - _GRID[0]) / (_GRID[1] - _GRID[0])
        left = np.clip(at.astype(np.int64), 0, len(_GRID) - 2)
        rows = np.arange(len(at))
        less, more = self.tried[rows, left], self.tried[rows, left + 1]
        return np.asarray(less + (at - left) * (more - less), dtype=np.float64)

    def best(self, rows: NDArray[np.bool_], knots: Sequence[int]) -> FloatArray:
        """Return the values of some knots with the least loss of some rows, found one after another."""
        some = _Losses(self.tried[rows], self.places[rows])

        def total(log_slopes: FloatArray) -> float:
            bends = np.diff(log_slopes, append=0.0)
            return float(
                some.at(log_slopes).sum() + _PULL * (log_slopes @ log_slopes + bends @ bends)
            )

        best = np.zeros(len(KNOTS))
        for knot in list(knots) * _SWEEPS:
            each = np.tile(best, (len(_GRID), 1))
            each[:, knot] = _GRID
            best = min(each, key=total)
        return best


def _sloped(curves: SurvivalCurves, slope: FloatArray, cap_h: float) -> SurvivalCurves:
    """Return curves of the same restricted mean, their log-odds times a slope float64[n] before."""
    z = slope[:, None] * log_odds(1.0 - curves.survival[:, 1:], _LEAST)
    ones = np.ones((len(curves), 1))
    narrow = SurvivalCurves(curves.edges_h, np.column_stack([ones, 1.0 / (1.0 + np.exp(z))]))
    return blend_to_mean(narrow, curves.restricted_mean_h(cap_h), cap_h, 1.0)


def _places(median_h: FloatArray, horizon_h: float) -> FloatArray:
    """Return how much the slope of each knot counts for each median, float64[n, knots]."""
    knots = np.log(np.array([*KNOTS, 1.0]) * horizon_h)
    at = np.log(np.maximum(median_h, KNOTS[0] * horizon_h))
    return np.column_stack([np.interp(at, knots, one) for one in np.eye(len(knots))[:-1]])


def _loss(curves: SurvivalCurves, marks: Landmarks) -> FloatArray:
    """Return minus the log-likelihood of what became of each curve, float64[n]."""
    edges, rows = curves.edges_h, np.arange(len(curves))
    seen = np.minimum(marks.ttf_h, curves.horizon_h)
    last = np.clip(np.searchsorted(edges, seen) - 1, 0, len(edges) - 2)
    within = curves.survival[rows, last] - curves.survival[rows, last + 1]
    failed = marks.event & (marks.ttf_h <= curves.horizon_h)
    p = np.where(failed, within, survival_at(curves, rows, seen))
    return np.asarray(-np.log(np.maximum(p, _LEAST)), dtype=np.float64)


def sharpness_to_dict(sharpness: Sharpness) -> dict[str, Any]:
    """Return what the manifest says of it."""
    return {"cap_h": sharpness.cap_h, "log_slopes": list(sharpness.log_slopes)}


def sharpness_from_dict(d: Mapping[str, Any]) -> Sharpness:
    """Read `sharpness_to_dict`'s result. Raises ValueError or KeyError when it is damaged."""
    read = Sharpness(float(d["cap_h"]), tuple(float(v) for v in d["log_slopes"]))
    if len(read.log_slopes) != len(KNOTS) or not all(
        _GRID[0] <= v <= _GRID[-1] for v in read.log_slopes
    ):
        raise ValueError("sharpness slopes")
    if not 0 < read.cap_h < np.inf:
        raise ValueError("sharpness cap")
    return read

"""What is known of a machine before there is a model: its deviation and its age, as hazards of their own.

With twenty failures a few hundred trees know less than the deviation that spoke until then. So the first
model does not replace it: two slopes are learnt from the same failures,

    logit h(bin | machine) = offset(bin) + (slopes + drift · position(bin)) · (log deviation, log age)

(odds in discrete time, Cox 1972, DOI 10.1111/j.2517-6161.1972.tb00899.x). A sign of wear tells more of the
near bins than of the far ones, an age more of the far: so each slope may drift over the horizon. The trees
are blended with them in log-odds. The share of the trees is what predicts held-out machines best (stacking,
Breiman 1996, DOI 10.1007/BF00117832), with a pull to the prior that counts lives, not rows: it rises with
every failure, and with many the prior is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bins import FloatArray, PersonPeriods, bin_offsets, expand
from models.hazard import Landmarks, bin_position

IntArray = NDArray[np.int64]
#: Lives' worth of likelihood that the trees must gain to be heard alone.
_PULL = 5.0
_RIDGE = 4.0  # pseudo-landmarks that vote for "knows nothing"
_SHARES = np.linspace(0.0, 1.0, 21)
_ALONE = 0.9  # what is left beside such a share is not worth carrying
_LEAST = np.array([0.01, 1.0])  # of a deviation; of an age in hours


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """offsets: float64[K] logits; centre, spread, slopes, drift, low, high: float64[2], of what is known.

    What is unknown counts as usual (`centre`), what was never seen as the nearest that was
    (`low`, `high`). slopes: at half the horizon; drift: how much they rise from the first bin to the
    last. share: the trees' weight in the blend.
    """

    offsets: FloatArray
    slopes: FloatArray
    drift: FloatArray
    centre: FloatArray
    spread: FloatArray
    low: FloatArray
    high: FloatArray
    share: float = 0.0

    def standing(self, known: FloatArray) -> FloatArray:
        """Return how far deviation and age each are from usual, in spreads, float64[n, 2]."""
        usual = np.where(np.isfinite(known), known, self.centre)
        return np.asarray(
            (np.clip(usual, self.low, self.high) - self.centre) / self.spread, dtype=np.float64
        )

    def bin_slopes(self) -> FloatArray:
        """Return the slopes of every bin, float64[K, 2]."""
        return self.slopes + self.drift * bin_position(len(self.offsets))[:, None]

    def logits(self, known: FloatArray) -> FloatArray:
        """Return log-odds of failing in each bin, float64[n, K], of what is known float64[n, 2]."""
        total = self.offsets + self.standing(known) @ self.bin_slopes().T
        return np.asarray(total, dtype=np.float64)

    def blend(self, trees: FloatArray, known: FloatArray) -> FloatArray:
        """Return the trees' log-odds float64[n, K] blended with these."""
        return self.share * trees + (1 - self.share) * self.logits(known)


def known_of(deviation: FloatArray, age_h: FloatArray) -> FloatArray:
    """Return log deviation and log age, float64[n, 2]; NaN where unknown."""
    return np.asarray(np.log(np.maximum(np.column_stack([deviation, age_h]), _LEAST)))


def fit_prior(known: FloatArray, marks: Landmarks, edges_h: FloatArray) -> Prior:
    """Learn the slopes from landmarks and what was known at each, float64[n, 2]."""
    periods = expand(marks.ttf_h, marks.event, edges_h, marks.weight)
    bins = len(edges_h) - 1
    seen = np.isfinite(known)
    centre, spread, low, high = np.zeros(2), np.ones(2), np.zeros(2), np.zeros(2)
    for j in np.flatnonzero(seen.any(axis=0)):
        column = known[seen[:, j], j]
        centre[j], low[j], high[j] = column.mean(), column.min(), column.max()
        spread[j] = max(float(column.std()), 1e-6)
    crowd = bin_offsets(periods, bins)
    blank = Prior(crowd, np.zeros(2), np.zeros(2), centre, spread, low, high)
    z, position = blank.standing(known)[periods.row], bin_position(bins)
    at = position[periods.bin][:, None]
    beta = _logistic(np.hstack([np.ones_like(at), at, z, z * at]), periods, crowd[periods.bin])
    return replace(
        blank,
        offsets=crowd + beta[0] + beta[1] * position,
        slopes=beta[2:4].copy(),
        drift=beta[4:].copy(),
    )


def learn_prior(
    known: FloatArray,
    trees: FloatArray,
    fold: IntArray,
    marks: Landmarks,
    row: IntArray,
    life: IntArray,
    edges_h: FloatArray,
) -> tuple[Prior | None, FloatArray]:
    """Fit the prior and return it with the held-out log-odds float64[n, K] of the blend.

    known: float64[n, 2], trees: float64[n, K] held-out log-odds and fold: int64[n] of the rows; marks:
    examples, each of the row `row` int64[m]. The first of them, each of the life `life` int64[<= m], decide
    the share; all are learnt from. None when the trees are as good alone.
    """
    own = np.arange(len(life))
    held_out = prior_on_folds(known, marks, row, fold, edges_h)
    share = trees_share(held_out, trees, marks.take(own), row[own], life, edges_h)
    if share >= _ALONE:
        return None, trees
    prior = replace(fit_prior(known[row], marks, edges_h), share=share)
    return prior, share * trees + (1 - share) * held_out


def prior_on_folds(
    known: FloatArray, marks: Landmarks, row: IntArray, fold: IntArray, edges_h: FloatArray
) -> FloatArray:
    """Return every row's log-odds by a prior of the other folds, float64[n, K].

    known: float64[n, 2]; fold: int64[n]; marks: examples, each of the row `row` int64[m].
    """
    out = np.empty((len(known), len(edges_h) - 1))
    for k in np.unique(fold):
        others = fold[row] != k
        fitted = fit_prior(known[row[others]], marks.take(others), edges_h)
        out[fold == k] = fitted.logits(known[fold == k])
    return out


def trees_share(
    prior: FloatArray,
    trees: FloatArray,
    marks: Landmarks,
    row: IntArray,
    life: IntArray,
    edges_h: FloatArray,
) -> float:
    """Return the trees' share by held-out log-odds float64[n, K] of both.

    Rows of one life err alike, so a life's mean loss is one observation: the share s minimises the sum
    over lives plus `_PULL` · s². marks: examples, each of the row `row` and the life `life`, int64[m].
    """
    periods = expand(marks.ttf_h, marks.event, edges_h, marks.weight)
    _, life = np.unique(life, return_inverse=True)
    per_life = np.bincount(life, weights=marks.weight)
    weight = periods.weight / np.maximum(per_life, 1e-12)[life[periods.row]]
    at = row[periods.row], periods.bin
    by_prior, by_trees = prior[at], trees[at]

    def loss(share: float) -> float:
        z = share * by_trees + (1 - share) * by_prior
        return float(weight @ (np.logaddexp(0.0, z) - periods.y * z)) + _PULL * share**2

    return float(_SHARES[np.argmin([loss(float(share)) for share in _SHARES])])


def _logistic(design: FloatArray, periods: PersonPeriods, offset: FloatArray) -> FloatArray:
    """Fit coefficients float64[k] of the design float64[m, k] by Newton's method, pulled to zero."""
    beta = np.zeros(design.shape[1])
    for _ in range(30):
        p = 1.0 / (1.0 + np.exp(-(design @ beta + offset)))
        gradient = design.T @ (periods.weight * (p - periods.y)) + _RIDGE * beta
        weight = periods.weight * p * (1 - p)
        hessian = (design * weight[:, None]).T @ design + _RIDGE * np.eye(len(beta))
        step = np.linalg.solve(hessian, gradient)
        beta = beta - step
        if np.max(np.abs(step)) < 1e-10:
            break
    return beta if np.all(np.isfinite(beta)) else np.zeros_like(beta)


def prior_to_dict(prior: Prior) -> dict[str, Any]:
    """Return JSON-able parameters."""
    return {name: getattr(prior, name).tolist() for name in _ARRAYS} | {"share": prior.share}


def prior_from_dict(d: Mapping[str, Any], bins: int) -> Prior:
    """Read `prior_to_dict`'s result. Raises ValueError or KeyError when it is damaged.

    Slopes of bundles before format 4 do not drift.
    """
    d = {"drift": [0.0, 0.0], **d}
    arrays = {name: np.array(d[name], dtype=np.float64) for name in _ARRAYS}
    share = float(d["share"])
    for name, array in arrays.items():
        if array.shape != ((bins,) if name == "offsets" else (2,)) or not np.isfinite(array).all():
            raise ValueError(f"prior {name}")
    if not (0 <= share < 1 and np.all(arrays["spread"] > 0)):
        raise ValueError("prior share")
    return Prior(**arrays, share=share)


_ARRAYS = ("offsets", "slopes", "drift", "centre", "spread", "low", "high")

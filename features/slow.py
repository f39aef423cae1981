"""What changes slowly in all signals at once: the health indices.

Wear moves many signals together and slowly, noise moves each alone and at once. The mixes of signals
with the most slow variance for their noise are the maximum autocorrelation factors (Switzer & Green
1984, Stanford technical report 6; the same as slow feature analysis, Wiskott & Sejnowski 2002, DOI
10.1162/089976602317318938). One regime may show wear in other signals than the next, so each regime
gets a mix of its own: signals are regressed on the factors per regime, and the factors are estimated
again from the signals by generalised least squares (Bartlett 1937, DOI 10.1111/j.2044-8295.1937.tb00863.x).

The first axis is turned to where machines drift in the course of their lives. Nothing here knows failures.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: A factor must have this many times the slow variance that smoothed white noise has.
_ABOVE_NOISE = 4.0
_ROUNDS = 3
#: Noise that every signal is believed to have besides its own: in healthy standard deviations, squared.
_LEAST_NOISE = 1e-3
_RIDGE = 1e-2


def slow_factors(
    z: Matrix, groups: IntArray, place: IntArray, places: int, count: int, span: float
) -> tuple[Matrix, Matrix]:
    """Return each regime's centre float64[R, C] and mix float64[R, P, C] of at most `count` factors.

    z: float64[n, C] excess in healthy standard deviations, 0 where unknown; rows of one life (`groups`,
    int64[n]) are together and in time order. place: int64[n], each row's regime, below `places`. A factor is
    mix @ (z - centre), of variance 1 over all rows. P is below `count` when the rest is noise, at least 1.
    """
    inner = groups[1:] == groups[:-1]
    slow = smoothed(z, groups, span)
    wander = np.cov(slow - _life_means(slow, groups), rowvar=False).reshape(2 * (z.shape[1],))
    noise = _with_ridge(np.cov((z[1:] - z[:-1])[inner], rowvar=False).reshape(wander.shape) / 2)
    ratio, axes = _leading(wander, noise, count)
    axes = axes[:, : max(1, int(np.count_nonzero(ratio > _ABOVE_NOISE / span)))]
    mix = np.repeat(axes.T[None], places, axis=0)
    centre = np.repeat(z.mean(axis=0)[None], places, axis=0)
    for _ in range(_ROUNDS if places > 1 else 0):
        factors = smoothed(_mixed(z, place, centre, mix), groups, span)
        pooled = _unmix(z, factors)
        for r in range(places):
            rows = place == r
            enough = int(rows.sum()) >= 20 * z.shape[1]
            centre[r], mix[r] = _unmix(z[rows], factors[rows]) if enough else pooled
    factors = _mixed(z, place, centre, mix)
    slow = smoothed(factors, groups, span)
    turn = _turned(factors, slow, groups)
    return centre, np.einsum("pq,rqc->rpc", turn, mix)


def _leading(wander: Matrix, noise: Matrix, count: int) -> tuple[Matrix, Matrix]:
    """Return the `count` greatest ratios of wander to noise and the mixes that have them, [C, count]."""
    root = np.linalg.inv(np.linalg.cholesky(noise))
    ratio, vectors = np.linalg.eigh(root @ wander @ root.T)
    return ratio[::-1][:count], (root.T @ vectors)[:, ::-1][:, :count]


def _with_ridge(noise: Matrix) -> Matrix:
    return np.asarray(noise + np.diag(_RIDGE * np.diag(noise) + _LEAST_NOISE), dtype=np.float64)


def _mixed(z: Matrix, place: IntArray, centre: Matrix, mix: Matrix) -> Matrix:
    """Return the factors of every row, float64[n, P]."""
    out = np.empty((len(z), mix.shape[1]))
    for r in range(len(mix)):
        rows = place == r
        out[rows] = (z[rows] - centre[r]) @ mix[r].T
    return out


def _unmix(z: Matrix, factors: Matrix) -> tuple[Matrix, Matrix]:
    """Return centre float64[C] and mix float64[P, C] that best tell `factors` float64[n, P] from `z`."""
    design = np.column_stack([np.ones(len(z)), factors])
    loads = np.linalg.lstsq(design, z, rcond=None)[0]
    noise = _with_ridge(np.cov(z - design @ loads, rowvar=False).reshape(2 * (z.shape[1],)))
    weight = np.linalg.solve(noise, loads[1:].T)
    return loads[0], np.linalg.solve(loads[1:] @ weight, weight.T)


def _turned(factors: Matrix, slow: Matrix, groups: IntArray) -> Matrix:
    """Return the P x P turn to factors of variance 1 without correlation, the first along the mean drift.

    Drift is how a factor moves with time, over all lives.
    """
    count = factors.shape[1]
    size, vectors = np.linalg.eigh(np.cov(factors, rowvar=False).reshape(count, count))
    white = (vectors / np.sqrt(np.maximum(size, 1e-12))).T
    late = np.arange(len(groups), dtype=np.float64)[:, None]
    late -= _life_means(late, groups)
    drift = white @ (late[:, 0] @ slow)
    # An orthonormal basis that begins with the drift.
    basis = np.linalg.qr(np.column_stack([drift, np.eye(count)]))[0]
    basis[:, 0] *= np.sign(basis[:, 0] @ drift) or 1.0
    return np.asarray(basis.T @ white, dtype=np.float64)


def _life_means(values: Matrix, groups: IntArray) -> Matrix:
    """Return the mean of each row's life, float64[n, k]."""
    _, life, count = np.unique(groups, return_inverse=True, return_counts=True)
    total = np.stack([np.bincount(life, weights=column) for column in values.T], axis=1)
    return np.asarray((total / count[:, None])[life], dtype=np.float64)


@njit(cache=True, nogil=True)
def smoothed(z: Matrix, groups: IntArray, span: float) -> Matrix:
    """Return the exponentially weighted mean of each row's life up to that row."""
    keep = 1.0 - 2.0 / (span + 1.0)
    out = np.empty_like(z)
    total = np.zeros(z.shape[1])
    weight = 0.0
    for i in range(z.shape[0]):
        if i == 0 or groups[i] != groups[i - 1]:
            total[:] = 0.0
            weight = 0.0
        weight = weight * keep + 1.0
        for c in range(z.shape[1]):
            total[c] = total[c] * keep + z[i, c]
            out[i, c] = total[c] / weight
    return out

"""Moments of one bucket's values: two passes, many sums side by side, always added in the same order.

Deviations are taken from the bucket's first value, which keeps 9 digits at an offset of 1e9. No
`fastmath`: additions happen in the written order on every processor, so that a row is the same bits
wherever it is made.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.stats import (
    COUNT,
    FIRST,
    LAST,
    M2,
    M3,
    M4,
    MAX,
    MEAN,
    MEAN_LO,
    MIN,
    T_MEAN,
    TX,
)

HOUR = 3_600_000.0
#: So many running sums stand side by side. Each takes every LANES-th value, so that a processor may
#: add several at once without changing the order of any sum. They lie in one flat array and values
#: come in slices: only then does the compiler see that nothing overlaps.
LANES = 32


@njit(cache=True, nogil=True)
def _total(lanes: NDArray[np.float64], row: int) -> float:
    """Return the sum of a row of lanes, folded in half again and again; the row is used up."""
    lane = lanes[row * LANES : (row + 1) * LANES]
    half = LANES // 2
    while half:
        for k in range(half):
            lane[k] += lane[half + k]
        half //= 2
    return float(lane[0])


@njit(cache=True, nogil=True)
def first_pass(
    x: NDArray[np.float64], m: int, lanes: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Return sum(x[:m] - x[0]), min and max of x[:m]; the sum is NaN when a value is."""
    first = low = top = x[0]
    total = 0.0
    if m < LANES:
        for k in range(m):
            v = x[k]
            total += v - first
            low = v if v < low else low
            top = v if v > top else top
        return total, low, top
    lanes[:LANES] = 0.0
    lanes[LANES : 3 * LANES] = first
    for i in range(0, m, LANES):
        part = x[i : min(i + LANES, m)]
        for k in range(len(part)):
            v = part[k]
            lanes[k] += v - first
            lanes[LANES + k] = v if v < lanes[LANES + k] else lanes[LANES + k]
            lanes[2 * LANES + k] = v if v > lanes[2 * LANES + k] else lanes[2 * LANES + k]
    for k in range(LANES):
        low = min(low, lanes[LANES + k])
        top = max(top, lanes[2 * LANES + k])
    return _total(lanes, 0), low, top


@njit(cache=True, nogil=True)
def _second_pass(
    x: NDArray[np.float64],
    t: NDArray[np.float64],
    m: int,
    shift: float,
    middle: float,
    lanes: NDArray[np.float64],
) -> tuple[float, float, float, float, float]:
    """Return the sums over x[:m] of e, e**2, e**3, e**4 and e * (t - middle), e = x - x[0] - shift."""
    first = x[0]
    if m < LANES:
        p = q = r = s = c = 0.0
        for k in range(m):
            e = (x[k] - first) - shift
            f = e * e
            p += e
            q += f
            r += f * e
            s += f * f
            c += e * (t[k] - middle)
        return p, q, r, s, c
    lanes[: 5 * LANES] = 0.0
    for i in range(0, m, LANES):
        part, at = x[i : min(i + LANES, m)], t[i : min(i + LANES, m)]
        for k in range(len(part)):
            e = (part[k] - first) - shift
            f = e * e
            lanes[k] += e
            lanes[LANES + k] += f
            lanes[2 * LANES + k] += f * e
            lanes[3 * LANES + k] += f * f
            lanes[4 * LANES + k] += e * (at[k] - middle)
    return (
        _total(lanes, 0), _total(lanes, 1), _total(lanes, 2), _total(lanes, 3), _total(lanes, 4)
    )  # fmt: skip


@njit(cache=True, nogil=True)
def moments(
    x: NDArray[np.float64],
    t: NDArray[np.float64],
    m: int,
    found: tuple[float, float, float],
    lanes: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Put count, mean, moments, extremes and the co-moment with time of x[:m] into `out`.

    t: ms from the bucket's start, of which out[T_MEAN] (hours) is already known; found: what
    `first_pass` returned. The corrected two-pass form is that of Chan, Golub & LeVeque (1983),
    eq. 1.7, carried on to the third and fourth moment.
    """
    first = x[0]
    shift = found[0] / m
    p, q, r, s, with_t = _second_pass(x, t, m, shift, out[T_MEAN] * HOUR, lanes)
    c = p / m
    shift += c
    mean = first + shift
    part = mean - first
    out[COUNT] = m
    out[MEAN] = mean
    out[MEAN_LO] = (first - (mean - part)) + (shift - part)
    out[M2] = max(q - m * c * c, 0.0)
    out[M3] = r - 3.0 * c * q + 2.0 * m * c * c * c
    out[M4] = max(s - 4.0 * c * r + 6.0 * c * c * q - 3.0 * m * c * c * c * c, 0.0)
    out[MIN] = found[1]
    out[MAX] = found[2]
    out[TX] = with_t / HOUR
    out[FIRST] = first
    out[LAST] = x[m - 1]

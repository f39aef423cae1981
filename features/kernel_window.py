"""Merging rollups: nodes, the aligned tree above them, and any window as a few of its nodes.

A node is the first NODE numbers of a rollup; its times count in hours from its own start. Blocks of
the tree are aligned to absolute multiples of their length, and a window is always put together from
the same blocks in the same order, so the bits of a window depend on nothing but its buckets.

Merging: Chan, Golub & LeVeque (1979) for two moments; Pébay (2008), SAND2008-6212, eq. 2.1 (M2),
1.6/1.7 in the pairwise form for M3 and M4, 3.12 for the co-moment.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.stats import (
    COUNT,
    COVERED,
    GAP,
    M2,
    M3,
    M4,
    MAX,
    MEAN,
    MEAN_LO,
    MIN,
    NODE,
    T_FIRST,
    T_LAST,
    T_M2,
    T_MEAN,
    TX,
)

#: Blocks of at most 2**TOP buckets are kept ready: 21 h of 10 min.
TOP = 7
#: A series of bucket excesses has lighter nodes: count, mean and its rounding, M2, and time.
L_COUNT, L_MEAN, L_MEAN_LO, L_M2, L_T_MEAN, L_T_M2, L_TX = range(7)
LIGHT = 7


@njit(cache=True, nogil=True)
def _pooled(
    na: float, mean_a: float, low_a: float, nb: float, mean_b: float, low_b: float
) -> tuple[float, float, float, float, float, float]:
    """Return n, nb / n, na * nb / n, the means' distance, and the joint mean with its rounding."""
    n = na + nb
    w = nb / n
    d = (mean_b - mean_a) + (low_b - low_a)
    step = low_a + d * w
    mean = mean_a + step
    part = mean - mean_a
    return n, w, na * w, d, mean, (mean_a - (mean - part)) + (step - part)


@njit(cache=True, nogil=True)
def merge_into(a: NDArray[np.float64], b: NDArray[np.float64], shift: float) -> None:
    """Merge node `b`, which starts `shift` hours after `a`, into `a`."""
    if b[COUNT] == 0.0:
        return
    if a[COUNT] == 0.0:
        for k in range(NODE):
            a[k] = b[k]
        a[T_MEAN] += shift
        a[T_FIRST] += shift
        a[T_LAST] += shift
        return
    na, nb = a[COUNT], b[COUNT]
    n, w, both, d, mean, mean_lo = _pooled(na, a[MEAN], a[MEAN_LO], nb, b[MEAN], b[MEAN_LO])
    dt = (b[T_MEAN] + shift) - a[T_MEAN]
    dn = d / n
    d2 = d * d
    a[M4] += (
        b[M4]
        + d2 * dn * dn * both * (na * na - na * nb + nb * nb)
        + 6.0 * dn * dn * (na * na * b[M2] + nb * nb * a[M2])
        + 4.0 * dn * (na * b[M3] - nb * a[M3])
    )
    a[M3] += b[M3] + d2 * dn * both * (na - nb) + 3.0 * dn * (na * b[M2] - nb * a[M2])
    a[M2] += b[M2] + d2 * both
    a[TX] += b[TX] + d * dt * both
    a[T_M2] += b[T_M2] + dt * dt * both
    a[T_MEAN] += dt * w
    a[MEAN], a[MEAN_LO] = mean, mean_lo
    a[MIN] = min(a[MIN], b[MIN])
    a[MAX] = max(a[MAX], b[MAX])
    a[COVERED] += b[COVERED]
    between = (b[T_FIRST] + shift) - a[T_LAST]
    a[GAP] = max(a[GAP], b[GAP], between)
    a[T_LAST] = b[T_LAST] + shift
    a[COUNT] = n


@njit(cache=True, nogil=True)
def merge_core(a: NDArray[np.float64], b: NDArray[np.float64], shift: float) -> None:
    """Do what `merge_into` does to count, mean, M2, extremes and slope, and leave out the rest.

    The same operations in the same order, so what it gives is the same bits for half the work.
    """
    if b[COUNT] == 0.0:
        return
    if a[COUNT] == 0.0:
        for k in range(COVERED):
            a[k] = b[k]
        a[T_MEAN] += shift
        return
    n, w, both, d, mean, mean_lo = _pooled(
        a[COUNT], a[MEAN], a[MEAN_LO], b[COUNT], b[MEAN], b[MEAN_LO]
    )
    dt = (b[T_MEAN] + shift) - a[T_MEAN]
    a[M2] += b[M2] + d * d * both
    a[TX] += b[TX] + d * dt * both
    a[T_M2] += b[T_M2] + dt * dt * both
    a[T_MEAN] += dt * w
    a[MEAN], a[MEAN_LO] = mean, mean_lo
    a[MIN] = min(a[MIN], b[MIN])
    a[MAX] = max(a[MAX], b[MAX])
    a[COUNT] = n


@njit(cache=True, nogil=True)
def grow(tree: NDArray[np.float64], leaves: int, low: int, high: int, bucket_h: float) -> None:
    """Bring the blocks above leaves [low, high) up to date.

    tree: float64[2 * leaves, S, NODE]; level l begins at 2 * leaves - 2 * leaves / 2**l; `leaves` is a
    multiple of 2**TOP, and leaf 0 lies on an absolute multiple of it.
    """
    signals = tree.shape[1]
    below, width = 0, leaves
    first, last = low, high
    for level in range(TOP):
        above = below + width
        first, last = first // 2, (last + 1) // 2
        shift = bucket_h * (1 << level)
        for i in range(first, last):
            for s in range(signals):
                node = tree[above + i, s]
                for k in range(NODE):
                    node[k] = tree[below + 2 * i, s, k]
                merge_into(node, tree[below + 2 * i + 1, s], shift)
        below = above
        width //= 2


@njit(cache=True, nogil=True)
def fold(
    tree: NDArray[np.float64],
    leaves: int,
    s: int,
    low: int,
    high: int,
    bucket_h: float,
    full: bool,
    out: NDArray[np.float64],
) -> None:
    """Put the merge of leaves [low, high) of signal s into `out`; times count from leaf `low`.

    full: also the third and fourth moment, coverage and gaps.
    """
    out[COUNT] = 0.0
    i = low
    while i < high:
        level, below, width = 0, 0, leaves
        while level < TOP and i % (2 << level) == 0 and i + (2 << level) <= high:
            level += 1
            below += width
            width //= 2
        if full:
            merge_into(out, tree[below + (i >> level), s], bucket_h * (i - low))
        else:
            merge_core(out, tree[below + (i >> level), s], bucket_h * (i - low))
        i += 1 << level


@njit(cache=True, nogil=True)
def merge_light(a: NDArray[np.float64], b: NDArray[np.float64], shift: float) -> None:
    """Merge light node `b`, which starts `shift` hours after `a`, into `a`."""
    if b[L_COUNT] == 0.0:
        return
    if a[L_COUNT] == 0.0:
        for k in range(LIGHT):
            a[k] = b[k]
        a[L_T_MEAN] += shift
        return
    n, w, both, d, mean, mean_lo = _pooled(
        a[L_COUNT], a[L_MEAN], a[L_MEAN_LO], b[L_COUNT], b[L_MEAN], b[L_MEAN_LO]
    )
    dt = (b[L_T_MEAN] + shift) - a[L_T_MEAN]
    a[L_M2] += b[L_M2] + d * d * both
    a[L_TX] += b[L_TX] + d * dt * both
    a[L_T_M2] += b[L_T_M2] + dt * dt * both
    a[L_T_MEAN] += dt * w
    a[L_MEAN], a[L_MEAN_LO] = mean, mean_lo
    a[L_COUNT] = n


@njit(cache=True, nogil=True)
def grow_light(
    tree: NDArray[np.float64], leaves: int, low: int, high: int, bucket_h: float
) -> None:
    """Do what `grow` does for a tree of light nodes, float64[2 * leaves, P, LIGHT]."""
    below, width = 0, leaves
    first, last = low, high
    for level in range(TOP):
        above = below + width
        first, last = first // 2, (last + 1) // 2
        shift = bucket_h * (1 << level)
        for i in range(first, last):
            for s in range(tree.shape[1]):
                node = tree[above + i, s]
                for k in range(LIGHT):
                    node[k] = tree[below + 2 * i, s, k]
                merge_light(node, tree[below + 2 * i + 1, s], shift)
        below = above
        width //= 2


@njit(cache=True, nogil=True)
def fold_light(
    tree: NDArray[np.float64],
    leaves: int,
    s: int,
    low: int,
    high: int,
    bucket_h: float,
    light: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Do what `fold` does for a tree of light nodes; `out` gets what a light node knows."""
    light[L_COUNT] = 0.0
    i = low
    while i < high:
        level, below, width = 0, 0, leaves
        while level < TOP and i % (2 << level) == 0 and i + (2 << level) <= high:
            level += 1
            below += width
            width //= 2
        merge_light(light, tree[below + (i >> level), s], bucket_h * (i - low))
        i += 1 << level
    out[COUNT] = light[L_COUNT]
    out[MEAN] = light[L_MEAN]
    out[MEAN_LO] = light[L_MEAN_LO]
    out[M2] = light[L_M2]
    out[T_MEAN] = light[L_T_MEAN]
    out[T_M2] = light[L_T_M2]
    out[TX] = light[L_TX]


#: The statistics of a window in the order `window_stat` knows them; "change" needs two windows and
#: is made where they are.
WINDOW_STATS = (
    "mean",
    "std",
    "min",
    "max",
    "range",
    "rms",
    "skewness",
    "kurtosis",
    "crest",
    "slope",
    "change",
    "missing",
    "gap",
)


@njit(cache=True, nogil=True)
def window_stat(node: NDArray[np.float64], stat: int, hours: float) -> float:  # noqa: PLR0912 - one branch per statistic
    """Read one statistic (position in WINDOW_STATS) off a window's node; `hours` is its length.

    NaN where it is not defined: no reading, one reading for std and slope, no spread for shape.
    """
    n = node[COUNT]
    value = np.nan
    if n == 0:
        if stat == 11:
            value = 1.0
        elif stat == 12:
            value = hours
    elif stat == 0:
        value = node[MEAN]
    elif stat == 1:
        value = np.sqrt(node[M2] / (n - 1.0)) if n > 1 else np.nan
    elif stat == 2:
        value = node[MIN]
    elif stat == 3:
        value = node[MAX]
    elif stat == 4:
        value = node[MAX] - node[MIN]
    elif stat == 5:
        value = np.hypot(node[MEAN], np.sqrt(node[M2] / n))
    elif stat == 6 and node[M2] > 0:
        value = np.sqrt(n) * node[M3] / (node[M2] * np.sqrt(node[M2]))
    elif stat == 7 and node[M2] > 0:
        value = n * node[M4] / (node[M2] * node[M2])
    elif stat == 8:
        rms = np.hypot(node[MEAN], np.sqrt(node[M2] / n))
        value = max(abs(node[MIN]), abs(node[MAX])) / rms if rms > 0 else np.nan
    elif stat == 9 and n > 1 and node[T_M2] > 0:
        value = node[TX] / node[T_M2]
    elif stat == 11:
        value = min(max(1.0 - node[COVERED] / hours, 0.0), 1.0)
    elif stat == 12:  # the window's edges count as readings
        value = max(node[GAP], node[T_FIRST], hours - node[T_LAST])
    return float(value)

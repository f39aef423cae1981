"""From readings to rollups: one pass in, in an order no partition can change.

Everything is a pure function of one bucket's readings in time order.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.kernel_moments import HOUR, LANES, first_pass, moments
from features.stats import (
    COUNT,
    COVERED,
    GAP,
    M2,
    MAX,
    MEAN,
    MIN,
    OUT_OF_RANGE,
    RISES,
    SETTLED,
    SPIKES,
    T_FIRST,
    T_LAST,
    T_M2,
    T_MEAN,
    K,
)


@njit(cache=True, nogil=True)
def edges(ts: NDArray[np.int64], bucket_ms: int) -> NDArray[np.int64]:
    """Return where each bucket's readings begin, int64[buckets + 1]; `ts` ascends."""
    n = ts.shape[0]
    found = np.empty(n + 1, np.int64)
    count = 0
    i = 0
    while i < n:
        found[count] = i
        count += 1
        stop = (ts[i] // bucket_ms + 1) * bucket_ms
        low, step = i, 1
        while low + step < n and ts[low + step] < stop:
            low += step
            step *= 2
        high = min(low + step, n)
        while high - low > 1:
            middle = (low + high) // 2
            if ts[middle] < stop:
                low = middle
            else:
                high = middle
        i = low + 1
    found[count] = n
    return found[: count + 1].copy()


@njit(cache=True, nogil=True)
def _times(
    t: NDArray[np.float64], m: int, bucket_ms: float, hold_ms: float, out: NDArray[np.float64]
) -> None:
    """Put what depends on the time stamps alone into `out`."""
    total = 0.0
    covered = 0.0
    gap = 0.0
    for i in range(m):
        total += t[i]
        until = t[i + 1] if i + 1 < m else bucket_ms
        step = until - t[i]
        covered += step if step < hold_ms else hold_ms
        if i + 1 < m and step > gap:
            gap = step
    middle = total / m
    squares = 0.0
    for i in range(m):
        d = t[i] - middle
        squares += d * d
    out[T_MEAN] = middle / HOUR
    out[T_M2] = squares / (HOUR * HOUR)
    out[COVERED] = covered / HOUR
    out[T_FIRST] = t[0] / HOUR
    out[T_LAST] = t[m - 1] / HOUR
    out[GAP] = gap / HOUR


@njit(cache=True, nogil=True)
def _without_spikes(
    x: NDArray[np.float64],
    t: NDArray[np.float64],
    m: int,
    sigmas: float,
    kept_t: NDArray[np.float64],
) -> int:
    """Drop lone readings far off the bucket's median (Hampel 1974); return how many are left.

    A spike is more than `sigmas` robust sigmas off while its neighbours are not: a machine that
    changes does so for more than one reading.
    """
    ordered = np.sort(x[:m])
    median = ordered[m // 2]
    off = np.abs(x[:m] - median)
    ranked = np.sort(off)
    scale = 1.4826 * ranked[m // 2]
    if scale == 0.0:  # more than half are one value: the mean deviation of all but the top tenth
        keep = m - max(1, m // 10)
        scale = 1.2533 * np.sum(ranked[:keep]) / keep
    if scale == 0.0:
        return m
    limit = sigmas * scale
    left = 0
    for i in range(m):
        calm = (i == 0 or off[i - 1] <= limit) and (i == m - 1 or off[i + 1] <= limit)
        if off[i] > limit and calm:
            continue
        x[left] = x[i]
        kept_t[left] = t[i]
        left += 1
    return left


@njit(cache=True, nogil=True)
def _inside(
    x: NDArray[np.float64],
    t: NDArray[np.float64],
    m: int,
    low: float,
    high: float,
    kept_t: NDArray[np.float64],
) -> tuple[int, int]:
    """Keep the values within [low, high]; return how many, and how many lay outside (not NaN)."""
    left = outside = 0
    for k in range(m):
        v = x[k]
        if v >= low and v <= high:
            x[left] = v
            kept_t[left] = t[k]
            left += 1
        elif v == v:  # noqa: PLR0124 - NaN is not equal to itself
            outside += 1
    return left, outside


@njit(cache=True, nogil=True)
def _suspicious(node: NDArray[np.float64], m: int) -> bool:
    """Tell whether an extreme lies so far out that it may be a spike; most buckets need no closer look."""
    reach = max(node[MAX] - node[MEAN], node[MEAN] - node[MIN])
    few = 1 if m < 8 else 2 + m // 40  # so many spikes are still seen
    gate = min(6.0, 0.95 * np.sqrt((m - few) / few))
    return bool(reach * reach * m > gate * gate * node[M2])


#: What may still be wrong with a bucket's values.
OUTSIDE, SPIKY, NOTHING = range(3)


@njit(cache=True, nogil=True)
def _fill(
    x: NDArray[np.float64],
    t: NDArray[np.float64],
    m: int,
    limits: NDArray[np.float64],
    times: NDArray[np.float64],
    bucket_ms: float,
    hold_ms: float,
    own_t: NDArray[np.float64],
    lanes: NDArray[np.float64],
    node: NDArray[np.float64],
) -> int:
    """Put the rollup of x[:m] into `node` (NaN so far); return how many values were good.

    times: what `_times` says of all readings, true where none is dropped; x, own_t, lanes: used up.
    """
    node[COUNT] = 0.0
    node[OUT_OF_RANGE] = 0.0
    node[SPIKES] = 0.0
    for k in range(T_MEAN, GAP + 1):
        node[k] = times[k]
    doubt = OUTSIDE
    while (
        True
    ):  # each pass over the values stands here once: only so does the compiler make it wide
        found = first_pass(x, m, lanes)
        left = m
        if doubt == OUTSIDE:
            doubt = SPIKY
            # A sum that is NaN fails too: then the extremes say nothing.
            sure = found[0] - found[0] == 0.0
            if not (sure and found[1] >= limits[0] and found[2] <= limits[1]):
                left, node[OUT_OF_RANGE] = _inside(x, t, m, limits[0], limits[1], own_t)
        if left == m:
            moments(x, t, m, found, lanes, node)
            if doubt == SPIKY and m >= 5 and limits[2] < np.inf and _suspicious(node, m):
                left = _without_spikes(x, t, m, limits[2], own_t)
                node[SPIKES] = m - left
            doubt = NOTHING
        if left == m:
            return m
        if left == 0:
            node[T_MEAN : GAP + 1] = np.nan
            return 0
        m, t = left, own_t[:left]
        _times(t, m, bucket_ms, hold_ms, node)


# One signature for values in any memory order: rows, columns, or a stretch of either, without a copy.
@njit(
    "f8[:,:,::1](i8[::1], i8[::1], f8[:,:], i8[::1], f8[:,::1], i8, i8, i8)",
    cache=True,
    nogil=True,
)
def rollup(
    ts: NDArray[np.int64],
    received: NDArray[np.int64],
    values: NDArray[np.float64],
    begin: NDArray[np.int64],
    limits: NDArray[np.float64],
    bucket_ms: int,
    hold_ms: int,
    running_column: int,
) -> NDArray[np.float64]:
    """Return the rollups, float64[buckets, S, K].

    values: float64[n, S] in any memory order; begin: from `edges`; limits: float64[S, 3] of low,
    high and spike sigmas (infinite: do not look for spikes).
    """
    buckets = begin.shape[0] - 1
    signals = values.shape[1]
    out = np.full((buckets, signals, K), np.nan)
    longest = 0
    for b in range(buckets):
        longest = max(longest, begin[b + 1] - begin[b])
    x = np.empty(longest)
    own_t = np.empty(longest)
    from_start = np.empty(longest)
    lanes = np.empty(5 * LANES)
    times = np.empty(K)
    for b in range(buckets):
        i, j = begin[b], begin[b + 1]
        start = ts[i] // bucket_ms * bucket_ms
        newest = 0
        for k in range(i, j):
            newest = max(newest, received[k])
            from_start[k - i] = ts[k] - start
        _times(from_start, j - i, bucket_ms, hold_ms, times)
        for s in range(signals):
            node = out[b, s]
            column = values[i:j, s]
            for k in range(j - i):
                x[k] = column[k]
            m = _fill(
                x,
                from_start[: j - i],
                j - i,
                limits[s],
                times,
                bucket_ms,
                hold_ms,
                own_t,
                lanes,
                node,
            )
            node[SETTLED] = newest
            node[RISES] = 0.0
            if s == running_column:
                rises = 0
                for k in range(1, m):
                    rises += x[k] > x[k - 1]
                node[RISES] = rises
    return out

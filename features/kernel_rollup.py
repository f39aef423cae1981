"""From readings to rollups: one pass in, moments by lanes, in an order no partition can change.

Everything is a pure function of one bucket's readings in time order. No `fastmath`: additions happen
in the written order on every processor, so that a row is the same bits wherever it is made.
Deviations are taken from the bucket's first value, which keeps 9 digits at an offset of 1e9.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.stats import (
    COUNT,
    COVERED,
    FIRST,
    GAP,
    LAST,
    M2,
    M3,
    M4,
    MAX,
    MEAN,
    MEAN_LO,
    MIN,
    OUT_OF_RANGE,
    RISES,
    SETTLED,
    SPIKES,
    T_FIRST,
    T_LAST,
    T_M2,
    T_MEAN,
    TX,
    K,
)

HOUR = 3_600_000.0


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
def _moments(  # noqa: PLR0915 - lanes are written out: an array of them would leave the registers
    x: NDArray[np.float64],
    t: NDArray[np.float64],
    m: int,
    out: NDArray[np.float64],
) -> None:
    """Put count, mean, moments, extremes and the co-moment with time of x[:m] into `out`.

    t: ms from the bucket's start, of which out[T_MEAN] (hours) is already known.
    Four lanes each take every fourth value; the corrected two-pass form is that of Chan, Golub &
    LeVeque (1983), eq. 1.7, carried on to the third and fourth moment.
    """
    first = x[0]
    a0 = a1 = a2 = a3 = 0.0
    low0 = low1 = low2 = low3 = first
    top0 = top1 = top2 = top3 = first
    whole = m - m % 4
    for i in range(0, whole, 4):
        v0, v1, v2, v3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        a0 += v0 - first
        a1 += v1 - first
        a2 += v2 - first
        a3 += v3 - first
        low0 = v0 if v0 < low0 else low0
        low1 = v1 if v1 < low1 else low1
        low2 = v2 if v2 < low2 else low2
        low3 = v3 if v3 < low3 else low3
        top0 = v0 if v0 > top0 else top0
        top1 = v1 if v1 > top1 else top1
        top2 = v2 if v2 > top2 else top2
        top3 = v3 if v3 > top3 else top3
    for i in range(whole, m):
        v0 = x[i]
        a0 += v0 - first
        low0 = v0 if v0 < low0 else low0
        top0 = v0 if v0 > top0 else top0
    shift = ((a0 + a1) + (a2 + a3)) / m
    middle = out[T_MEAN] * HOUR
    p0 = p1 = q0 = q1 = r0 = r1 = s0 = s1 = c0 = c1 = 0.0
    for i in range(0, m - m % 2, 2):
        e0 = (x[i] - first) - shift
        e1 = (x[i + 1] - first) - shift
        f0 = e0 * e0
        f1 = e1 * e1
        p0 += e0
        p1 += e1
        q0 += f0
        q1 += f1
        r0 += f0 * e0
        r1 += f1 * e1
        s0 += f0 * f0
        s1 += f1 * f1
        c0 += e0 * (t[i] - middle)
        c1 += e1 * (t[i + 1] - middle)
    if m % 2:
        e0 = (x[m - 1] - first) - shift
        f0 = e0 * e0
        p0 += e0
        q0 += f0
        r0 += f0 * e0
        s0 += f0 * f0
        c0 += e0 * (t[m - 1] - middle)
    p, q, r, s = p0 + p1, q0 + q1, r0 + r1, s0 + s1
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
    out[MIN] = min(low0, low1, low2, low3)
    out[MAX] = max(top0, top1, top2, top3)
    out[TX] = (c0 + c1) / HOUR
    out[FIRST] = first
    out[LAST] = x[m - 1]


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
def _without_spikes(x: NDArray[np.float64], t: NDArray[np.float64], m: int, sigmas: float) -> int:
    """Drop lone readings far off the bucket's median (Hampel 1974); return how many are left.

    A spike is more than `sigmas` robust sigmas off while its neighbours are not: a machine that
    changes does so for more than one reading.
    """
    ordered = np.sort(x[:m])
    median = ordered[m // 2]
    off = np.abs(x[:m] - median)
    ranked = np.sort(off)
    scale = 1.4826 * ranked[m // 2]
    if (
        scale == 0.0
    ):  # more than half are one value: use the mean deviation of all but the top tenth
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
        t[left] = t[i]
        left += 1
    return left


# One signature for values in any memory order: rows, columns, or a stretch of either, without a copy.
@njit(
    "f8[:,:,::1](i8[::1], i8[::1], f8[:,:], i8[::1], f8[:,::1], i8, i8, i8)",
    cache=True,
    nogil=True,
)
def rollup(  # noqa: PLR0912, PLR0915 - one compiled pass: calls between kernels would copy state
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
    t = np.empty(longest)
    shared = np.empty(K)
    for b in range(buckets):
        i, j = begin[b], begin[b + 1]
        start = ts[i] // bucket_ms * bucket_ms
        newest = 0
        for k in range(i, j):
            newest = max(newest, received[k])
        have_shared = False
        for s in range(signals):
            node = out[b, s]
            low, high = limits[s, 0], limits[s, 1]
            m = 0
            outside = 0
            for k in range(i, j):
                v = values[k, s]
                if v >= low and v <= high:
                    x[m] = v
                    t[m] = ts[k] - start
                    m += 1
                elif v == v:  # noqa: PLR0124 - NaN is not equal to itself
                    outside += 1
            node[COUNT] = 0.0
            node[OUT_OF_RANGE] = outside
            node[SPIKES] = 0.0
            node[SETTLED] = newest
            node[RISES] = 0.0
            if m == 0:
                continue
            if m == j - i:
                if not have_shared:
                    _times(t, m, bucket_ms, hold_ms, shared)
                    have_shared = True
                for k in range(T_MEAN, GAP + 1):
                    node[k] = shared[k]
            else:
                _times(t, m, bucket_ms, hold_ms, node)
            _moments(x, t, m, node)
            if m >= 5 and limits[s, 2] < np.inf:
                reach = max(node[MAX] - node[MEAN], node[MEAN] - node[MIN])
                few = 1 if m < 8 else 2 + m // 40  # so many spikes are still seen
                gate = min(6.0, 0.95 * np.sqrt((m - few) / few))
                if reach * reach * m > gate * gate * node[M2]:
                    left = _without_spikes(x, t, m, limits[s, 2])
                    if left < m:
                        node[SPIKES] = m - left
                        _times(t, left, bucket_ms, hold_ms, node)
                        _moments(x, t, left, node)
            if s == running_column:
                rises = 0
                for k in range(1, m):
                    rises += x[k] > x[k - 1]
                node[RISES] = rises
    return out

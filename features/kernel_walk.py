"""From bucket to bucket through a machine's lives, and the rows on the way.

What a row needs of the past that windows do not hold is in the state: exponentially weighted means,
the own baseline, the slope since renewal, cusums, running hours, integrals, counters. Renewals reset
exactly the series they renew.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.kernel_digest import COUNTER, OPERATING, RUN_ROLE
from features.kernel_window import (
    L_COUNT,
    L_MEAN,
    L_T_M2,
    L_TX,
    LIGHT,
    fold,
    fold_light,
    merge_light,
    window_stat,
)
from features.stats import (
    COUNT,
    COVERED,
    FIRST,
    LAST,
    MEAN,
    MEAN_LO,
    NODE,
    RISES,
    T_LAST,
)

#: Per series: the light node of all buckets since renewal, these, then (sum, weight) per span.
LIFE_FROM, DEV_SUM, DEV_WEIGHT, UP, DOWN, BASE_N, BASE, SIGMA = range(LIGHT, LIGHT + 8)
SERIES_STATE = LIGHT + 8
#: Per asset; LAST_H is the newest reading in hours from the walk's first bucket.
HOURS_RUN, STARTS, WAS_RUNNING, DEVIATED, SEEN, LAST_BUCKET, LAST_H, WHOLE_FROM = range(8)
ASSET_STATE = 8
#: Columns of a row that are not windows or series; -1 where the catalogue has none.
C_DEVIATION, C_REGIME, C_HOURS, C_STARTS, C_SILENT = range(5)
ASSET_COLUMNS = 5
#: Per series in a row: trend since renewal, deviation, rate, cusum, then one per span.
S_TREND, S_DEVIATION, S_RATE, S_CUSUM, S_EWM = range(5)
CHANGE = 10
SLOPE = 9


@njit(cache=True, nogil=True)
def fresh_series(state: NDArray[np.float64], bucket: int) -> None:
    """Reset one series: a new life begins with `bucket`."""
    for k in range(state.shape[0]):
        state[k] = 0.0
    state[LIFE_FROM] = bucket
    state[BASE] = np.nan
    state[SIGMA] = np.nan


@njit(cache=True, nogil=True)
def _learn_baseline(state: NDArray[np.float64], ordered: NDArray[np.float64], value: float) -> None:
    """Insert `value` into the sorted baseline buffer; renew the trimmed mean and the spread."""
    n = int(state[BASE_N])
    i = n
    while i > 0 and ordered[i - 1] > value:
        ordered[i] = ordered[i - 1]
        i -= 1
    ordered[i] = value
    n += 1
    state[BASE_N] = n
    cut = n // 10
    total = 0.0
    for k in range(cut, n - cut):
        total += ordered[k] - ordered[cut]
    state[BASE] = ordered[cut] + total / (n - 2 * cut)
    if n >= 5:
        state[SIGMA] = 0.5 * (ordered[n - 1 - int(0.16 * n)] - ordered[int(0.16 * n)])


@njit(cache=True, nogil=True)
def _step_series(
    state: NDArray[np.float64],
    ordered: NDArray[np.float64],
    leaf: NDArray[np.float64],
    bucket: int,
    bucket_h: float,
    reference: float,
    dev_keep: float,
    keeps: NDArray[np.float64],
) -> bool:
    """Take one bucket of one series in; return whether it is off its own baseline."""
    state[DEV_SUM] *= dev_keep
    state[DEV_WEIGHT] *= dev_keep
    for e in range(keeps.shape[0]):
        state[SERIES_STATE + 2 * e] *= keeps[e]
        state[SERIES_STATE + 2 * e + 1] *= keeps[e]
    if leaf[L_COUNT] == 0.0:
        return False
    value = leaf[L_MEAN]
    state[DEV_SUM] += value
    state[DEV_WEIGHT] += 1.0
    for e in range(keeps.shape[0]):
        state[SERIES_STATE + 2 * e] += value
        state[SERIES_STATE + 2 * e + 1] += 1.0
    since = bucket - int(state[LIFE_FROM])
    merge_light(state[:LIGHT], leaf, bucket_h * since)
    room = ordered.shape[0]
    n = int(state[BASE_N])
    if n < room and (since < room or n < max(5, room // 4)):
        _learn_baseline(state, ordered, value)
    sigma = reference if reference > 0 else state[SIGMA]
    if not (sigma > 0 and state[BASE_N] >= 5):
        return False
    z = (value - state[BASE]) / sigma
    state[UP] = max(0.0, state[UP] + z - 0.5)
    state[DOWN] = max(0.0, state[DOWN] - z - 0.5)
    return bool(abs(state[DEV_SUM] / state[DEV_WEIGHT] - state[BASE]) > 3.0 * sigma)


@njit(cache=True, nogil=True)
def _write_series(
    state: NDArray[np.float64],
    columns: NDArray[np.int64],
    age_h: float,
    offset_h: float,
    spans: int,
    row: NDArray[np.float64],
) -> None:
    """Write what a series says about itself into a row."""
    if columns[S_TREND] >= 0 and state[L_COUNT] >= 9 and state[L_T_M2] > 0:
        row[columns[S_TREND]] = state[L_TX] / state[L_T_M2]
    if state[DEV_WEIGHT] > 0 and state[BASE_N] > 0:
        deviation = state[DEV_SUM] / state[DEV_WEIGHT] - state[BASE]
        if columns[S_DEVIATION] >= 0:
            row[columns[S_DEVIATION]] = deviation
            row[columns[S_RATE]] = deviation / (age_h + offset_h)
            row[columns[S_CUSUM]] = state[UP] - state[DOWN]
    for e in range(spans):
        if state[SERIES_STATE + 2 * e + 1] > 0:
            row[columns[S_EWM + e]] = state[SERIES_STATE + 2 * e] / state[SERIES_STATE + 2 * e + 1]


@njit(cache=True, nogil=True)
def _fold(
    tree: NDArray[np.float64],
    excess: NDArray[np.float64],
    leaves: int,
    column: int,
    low: int,
    high: int,
    bucket_h: float,
    full: bool,
    light: NDArray[np.float64],
    node: NDArray[np.float64],
) -> None:
    """Put leaves [low, high) of a column together; those after `tree`'s are `excess`'s."""
    if column < tree.shape[1]:
        fold(tree, leaves, column, low, high, bucket_h, full, node)
    else:
        fold_light(excess, leaves, column - tree.shape[1], low, high, bucket_h, light, node)


@njit(cache=True, nogil=True)
def _write_windows(
    tree: NDArray[np.float64],
    excess: NDArray[np.float64],
    leaves: int,
    upto: int,
    first: int,
    series: NDArray[np.float64],
    base: int,
    windows: NDArray[np.int64],
    begin: NDArray[np.int64],
    stats: NDArray[np.int64],
    bucket_h: float,
    light: NDArray[np.float64],
    node: NDArray[np.float64],
    row: NDArray[np.float64],
) -> None:
    """Write every window that ends before leaf `upto` into a row.

    windows: int64[W, 4] of column, buckets, series whose life bounds it (-1: none), whether more
    than the core of a node is needed; columns after those of `tree` are those of `excess`.
    stats[begin[w]:begin[w + 1]]: (statistic, column, least count).
    """
    for w in range(windows.shape[0]):
        column, length, owner = windows[w, 0], windows[w, 1], windows[w, 2]
        bound = first
        if owner >= 0:
            bound = max(bound, int(series[owner, LIFE_FROM]) - base)
        low = max(upto - length, bound)
        if low >= upto:
            continue
        full = windows[w, 3] > 0
        _fold(tree, excess, leaves, column, low, upto, bucket_h, full, light, node)
        for k in range(begin[w], begin[w + 1]):
            stat = stats[k, 0]
            if stat != CHANGE and node[COUNT] >= stats[k, 2]:
                row[stats[k, 1]] = window_stat(node, stat, bucket_h * (upto - low))
        for k in range(begin[w], begin[w + 1]):
            if stats[k, 0] == CHANGE and node[COUNT] > 0:
                now, now_lo = node[MEAN], node[MEAN_LO]
                before = max(low - length, bound)
                if before < low:
                    _fold(tree, excess, leaves, column, before, low, bucket_h, False, light, node)
                    if node[COUNT] > 0:
                        row[stats[k, 1]] = (now - node[MEAN]) + (now_lo - node[MEAN_LO])


@njit(cache=True, nogil=True)
def walk(  # noqa: PLR0912, PLR0915 - one compiled pass: calls between kernels would copy state
    R: NDArray[np.float64],
    tree: NDArray[np.float64],
    excess: NDArray[np.float64],
    regimes: NDArray[np.float64],
    low: int,
    high: int,
    base: int,
    leaves: int,
    bucket_h: float,
    roles: NDArray[np.int64],
    asset: NDArray[np.float64],
    sums: NDArray[np.float64],
    series: NDArray[np.float64],
    ordered: NDArray[np.float64],
    renew_at: NDArray[np.int64],
    renew_whole: NDArray[np.bool_],
    renew_series: NDArray[np.bool_],
    reference: NDArray[np.float64],
    dev_keep: float,
    keeps: NDArray[np.float64],
    offset_h: float,
    min_duty: float,
    grid: int,
    rows_from: int,
    fresh_only: int,
    asset_columns: NDArray[np.int64],
    sum_columns: NDArray[np.int64],
    series_columns: NDArray[np.int64],
    windows: NDArray[np.int64],
    begin: NDArray[np.int64],
    stats: NDArray[np.int64],
    out: NDArray[np.float64],
    out_at: NDArray[np.int64],
) -> int:
    """Take buckets [low, high) in and write the rows that end one of them; return how many.

    Buckets are counted from `base`, an absolute bucket number. A row at the end of bucket b is
    written when b + 1 + base is on the grid (every `grid` buckets) and at least `rows_from`, and,
    with fresh_only > 0, only when a reading came in the last `fresh_only` buckets.
    out: float64[rows, F] of NaN; out_at: int64[rows] gets the absolute bucket number of the row.
    """
    S = R.shape[1]
    made = 0
    renewal = 0
    node = np.empty(NODE)
    light = np.empty(LIGHT)
    # Renewals due at `low` were applied when the bucket before it was finished.
    while renewal < renew_at.shape[0] and renew_at[renewal] <= low + base:
        renewal += 1
    for b in range(low, high):
        here = b + base
        spoke = False
        newest = -1.0
        for s in range(S):
            leaf = R[b, s]
            if not leaf[COUNT] > 0:
                continue
            if roles[s] == RUN_ROLE:
                continue
            spoke = True
            newest = max(newest, leaf[T_LAST])
        if spoke:
            if asset[SEEN] < 0:
                asset[SEEN] = here
                asset[WHOLE_FROM] = here
                for p in range(series.shape[0]):
                    if series[p, LIFE_FROM] < here:
                        fresh_series(series[p], here)
            asset[LAST_BUCKET] = here
            asset[LAST_H] = newest
        for s in range(S):
            leaf = R[b, s]
            if not leaf[COUNT] > 0:
                continue
            if roles[s] == OPERATING:
                sums[s, 0] += leaf[MEAN] * leaf[COVERED]
            elif roles[s] == COUNTER:
                before = sums[s, 1] if sums[s, 2] > 0 else leaf[FIRST]
                rise = leaf[LAST] - before
                sums[s, 0] += rise if rise >= 0 else leaf[LAST]  # it began again from zero
                sums[s, 1] = leaf[LAST]
                sums[s, 2] = 1.0
            elif roles[s] == RUN_ROLE:
                asset[HOURS_RUN] += leaf[MEAN] * leaf[COVERED]
                asset[STARTS] += leaf[RISES]
                if asset[WAS_RUNNING] == 0.0 and leaf[FIRST] > 0:
                    asset[STARTS] += 1.0
                asset[WAS_RUNNING] = leaf[LAST]
        for p in range(series.shape[0]):
            if asset[SEEN] >= 0 and _step_series(
                series[p],
                ordered[p],
                excess[b, p],
                here,
                bucket_h,
                reference[p],
                dev_keep,
                keeps,
            ):
                asset[DEVIATED] = here
        while renewal < renew_at.shape[0] and renew_at[renewal] <= here + 1:
            for p in range(series.shape[0]):
                if renew_series[renewal, p]:
                    fresh_series(series[p], here + 1)
            if renew_whole[renewal]:
                asset[HOURS_RUN] = 0.0
                asset[STARTS] = 0.0
                asset[DEVIATED] = -1.0
                asset[WHOLE_FROM] = here + 1
                for s in range(S):
                    sums[s, 0] = 0.0
            renewal += 1
        upto = here + 1
        if upto % grid or upto < rows_from or asset[SEEN] < 0:
            continue
        if fresh_only > 0 and upto - asset[LAST_BUCKET] > fresh_only:
            continue
        row = out[made]
        out_at[made] = upto
        made += 1
        for p in range(series.shape[0]):
            age_h = bucket_h * (upto - series[p, LIFE_FROM])
            _write_series(series[p], series_columns[p], age_h, offset_h, keeps.shape[0], row)
        first = int(asset[SEEN]) - base
        _write_windows(
            tree,
            excess,
            leaves,
            b + 1,
            max(first, 0),
            series,
            base,
            windows,
            begin,
            stats,
            bucket_h,
            light,
            node,
            row,
        )
        if asset_columns[C_DEVIATION] >= 0 and asset[DEVIATED] >= 0:
            row[asset_columns[C_DEVIATION]] = bucket_h * (here - asset[DEVIATED])
        if asset_columns[C_REGIME] >= 0:
            row[asset_columns[C_REGIME]] = regimes[b]
        if asset_columns[C_HOURS] >= 0:
            row[asset_columns[C_HOURS]] = asset[HOURS_RUN]
            row[asset_columns[C_STARTS]] = asset[STARTS]
        if asset_columns[C_SILENT] >= 0:
            row[asset_columns[C_SILENT]] = bucket_h * (upto - asset[LAST_BUCKET]) - asset[LAST_H]
        for s in range(S):
            if sum_columns[s] >= 0:
                row[sum_columns[s]] = sums[s, 0]
    return made

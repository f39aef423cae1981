"""Bucket by bucket: is the sensor sound, how far is the machine from what its kind does here.

The state is small and carried from bucket to bucket, so live and backfill walk the same road; a
snapshot of it lets late readings be worked in without starting over.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.kernel_window import L_COUNT, L_MEAN, L_T_MEAN, LIGHT
from features.stats import (
    COUNT,
    LAST,
    MAX,
    MEAN,
    MIN,
    NODE,
    OUT_OF_RANGE,
    SPIKES,
)

#: Per-signal state: the last value (NaN: never seen), the unchanged run (buckets, readings), the
#: longest such run that ended, buckets in which the signal moved, buckets it has been silent while
#: others spoke, how long it usually is, whether it is stuck.
PREVIOUS, RUN, RUN_READINGS, LONGEST, MOVED, SILENT, USUAL, STUCK = range(8)
DIGEST_STATE = 8
#: `roles` of the columns of a rollup matrix.
CONDITION, OPERATING, COUNTER, STATE, RUN_ROLE = range(5)
OK, MISSING_FAULT, RANGE_FAULT, SPIKE_FAULT, STUCK_FAULT = range(5)
#: A signal must have moved in so many buckets before standing still means anything.
MOVES_FIRST = 12
NO_MODEL, REGIMES, REGRESSION = range(3)


@njit(cache=True, nogil=True)
def expected_excess(  # noqa: PLR0912 - one compiled pass over both kinds of model
    means: NDArray[np.float64],
    ops: NDArray[np.float64],
    model: int,
    op_centre: NDArray[np.float64],
    op_scale: NDArray[np.float64],
    places: NDArray[np.float64],
    expected: NDArray[np.float64],
    scales: NDArray[np.float64],
    reference: NDArray[np.float64],
    mix_centre: NDArray[np.float64],
    mix: NDArray[np.float64],
    out: NDArray[np.float64],
) -> float:
    """Put the excess of C condition signals and P health indices into `out`; return the regime's number.

    REGIMES: nearest of `places` (standardised operating point); excess is brought to the scale the
    signal has over all regimes (`reference`), so that it keeps its unit. REGRESSION: a quadratic in
    the standardised operating point, `expected` float64[Q, C]. Each regime mixes the signals in its own way.
    """
    signals = means.shape[0]
    count = ops.shape[0]
    if model == NO_MODEL:
        for c in range(signals):
            out[c] = means[c]
        return np.nan
    point = np.empty(count)
    for o in range(count):
        point[o] = (ops[o] - op_centre[o]) / op_scale[o]
        if np.isnan(point[o]):
            for c in range(out.shape[0]):
                out[c] = np.nan
            return np.nan
    place = 0
    nearest = np.inf
    for r in range(places.shape[0]):
        distance = 0.0
        for o in range(count):
            distance += (point[o] - places[r, o]) ** 2
        if distance < nearest:
            nearest, place = distance, r
    if model == REGIMES:
        for c in range(signals):
            z = (means[c] - expected[place, c]) / scales[place, c]
            out[c] = min(max(z, -25.0), 25.0) * reference[c]
    else:
        for c in range(signals):
            guess = expected[0, c]
            q = 1
            for o in range(count):
                a = min(max(point[o], -4.0), 4.0)
                guess += expected[q, c] * a
                q += 1
            for o in range(count):
                a = min(max(point[o], -4.0), 4.0)
                for p in range(o + 1):
                    guess += expected[q, c] * a * min(max(point[p], -4.0), 4.0)
                    q += 1
            z = (means[c] - guess) / scales[0, c]
            out[c] = min(max(z, -25.0), 25.0) * reference[c]
    for k in range(mix.shape[1]):
        total = 0.0
        seen = 0
        for c in range(signals):
            z = out[c] / reference[c]
            if not np.isnan(z):
                total += mix[place, k, c] * (z - mix_centre[place, c])
                seen += 1
        out[signals + k] = total if seen else np.nan
    return float(place)


@njit(cache=True, nogil=True)
def excess_rows(
    means: NDArray[np.float64],
    ops: NDArray[np.float64],
    model: int,
    op_centre: NDArray[np.float64],
    op_scale: NDArray[np.float64],
    places: NDArray[np.float64],
    expected: NDArray[np.float64],
    scales: NDArray[np.float64],
    reference: NDArray[np.float64],
    mix_centre: NDArray[np.float64],
    mix: NDArray[np.float64],
    out: NDArray[np.float64],
    regime: NDArray[np.float64],
) -> None:
    """Apply `expected_excess` to every row."""
    for i in range(means.shape[0]):
        regime[i] = expected_excess(
            means[i],
            ops[i],
            model,
            op_centre,
            op_scale,
            places,
            expected,
            scales,
            reference,
            mix_centre,
            mix,
            out[i],
        )


@njit(cache=True, nogil=True)
def digest(  # noqa: PLR0912, PLR0915 - one compiled pass: calls between kernels would copy state
    R: NDArray[np.float64],
    low: int,
    high: int,
    roles: NDArray[np.int64],
    state: NDArray[np.float64],
    held: NDArray[np.float64],
    rules: NDArray[np.float64],
    model: int,
    op_centre: NDArray[np.float64],
    op_scale: NDArray[np.float64],
    places: NDArray[np.float64],
    expected: NDArray[np.float64],
    scales: NDArray[np.float64],
    reference: NDArray[np.float64],
    mix_centre: NDArray[np.float64],
    mix: NDArray[np.float64],
    bucket_h: float,
    tree: NDArray[np.float64],
    excess: NDArray[np.float64],
    faults: NDArray[np.uint8],
    regimes: NDArray[np.float64],
) -> None:
    """Work through buckets [low, high): faults, the tree's leaves, regimes.

    R: float64[B, S, K]; the last column may be `running`. rules: spike share, range share, buckets
    and readings for stuck, buckets for missing, buckets in an hour, least duty.
    Written: the leaves of `tree` float64[b, S, NODE] and of `excess` float64[b, C + P, LIGHT],
    faults uint8[B, S], regimes float64[B].
    """
    S = R.shape[1]
    conditions = 0
    operating = 0
    for s in range(S):
        conditions += roles[s] == CONDITION
        operating += roles[s] == OPERATING
    P = mix.shape[1] if model != NO_MODEL else 0
    means = np.empty(conditions)
    out = np.empty(conditions + P)
    for b in range(low, high):
        alive = False
        still = 0
        spoke = 0
        duty = 1.0
        for s in range(S):
            node = R[b, s]
            if roles[s] == RUN_ROLE:
                if node[COUNT] > 0:
                    duty = node[MEAN]
                continue
            if node[COUNT] + node[OUT_OF_RANGE] + node[SPIKES] > 0:
                alive = True
            if node[COUNT] > 0 and (roles[s] == CONDITION or roles[s] == OPERATING):
                spoke += 1
                still += node[MIN] == node[MAX] and node[MIN] == state[s, PREVIOUS]
        running = duty >= rules[6]
        for s in range(S):
            faults[b, s] = OK
            node = R[b, s]
            leaf = tree[b, s]
            for k in range(NODE):
                leaf[k] = node[k]
            if not node[COUNT] > 0:
                leaf[COUNT] = 0.0
            if not alive or roles[s] == RUN_ROLE:
                continue
            if node[COUNT] + node[OUT_OF_RANGE] + node[SPIKES] > 0:
                state[s, USUAL] += 0.1 * (state[s, SILENT] - state[s, USUAL])
                state[s, SILENT] = 0.0
            elif not np.isnan(state[s, PREVIOUS]):
                state[s, SILENT] += 1.0
                if state[s, SILENT] >= max(rules[4], 4.0 * state[s, USUAL]):
                    faults[b, s] = MISSING_FAULT
            total = outside = spikes = 0.0
            for back in range(max(0, b + 1 - int(rules[5])), b + 1):
                node = R[back, s]
                if node[COUNT] >= 0:
                    total += node[COUNT] + node[OUT_OF_RANGE] + node[SPIKES]
                    outside += node[OUT_OF_RANGE]
                    spikes += node[SPIKES]
            if spikes >= 3 and spikes > rules[0] * total:
                faults[b, s] = SPIKE_FAULT
            if outside > rules[1] * total:
                faults[b, s] = RANGE_FAULT
            node = R[b, s]
            if node[COUNT] > 0 and roles[s] == CONDITION:
                same = node[MIN] == node[MAX] and node[MIN] == state[s, PREVIOUS]
                if not same:
                    if state[s, STUCK] == 0.0:
                        state[s, LONGEST] = max(state[s, LONGEST], state[s, RUN])
                    state[s, STUCK] = 0.0
                    state[s, RUN] = 0.0
                    state[s, RUN_READINGS] = 0.0
                    state[s, MOVED] += 1.0
                elif running and still < spoke:  # it stands still while something else moves
                    state[s, RUN] += 1.0
                    state[s, RUN_READINGS] += node[COUNT]
                state[s, PREVIOUS] = node[LAST]
                if (
                    same
                    and state[s, RUN] >= rules[2]
                    and state[s, RUN_READINGS] >= rules[3]
                    and state[s, MOVED] >= MOVES_FIRST
                    and state[s, RUN] > 4.0 * state[s, LONGEST]
                ):
                    faults[b, s] = STUCK_FAULT
                    state[s, STUCK] = 1.0
            elif node[COUNT] > 0:
                state[s, PREVIOUS] = node[LAST]
            if faults[b, s] == STUCK_FAULT:
                leaf[COUNT] = 0.0
        c = o = 0
        for s in range(S):
            if roles[s] == CONDITION:
                leaf = tree[b, s]
                means[c] = leaf[MEAN] if leaf[COUNT] > 0 and running else np.nan
                c += 1
            elif roles[s] == OPERATING:
                if tree[b, s, COUNT] > 0:
                    held[o] = tree[b, s, MEAN]
                o += 1
        regimes[b] = expected_excess(
            means,
            held,
            model,
            op_centre,
            op_scale,
            places,
            expected,
            scales,
            reference,
            mix_centre,
            mix,
            out,
        )
        for p in range(conditions + P):
            leaf = excess[b, p]
            for k in range(LIGHT):
                leaf[k] = 0.0
            if not np.isnan(out[p]):
                leaf[L_COUNT] = 1.0
                leaf[L_MEAN] = out[p]
                leaf[L_T_MEAN] = 0.5 * bucket_h

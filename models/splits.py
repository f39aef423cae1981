"""Honest splits: by machine, by time with an embargo. Rows of one machine never face each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plant.times import HOUR_MS


def folds_by_group(
    groups: NDArray[np.int64], events: NDArray[np.float64], folds: int, seed: int
) -> NDArray[np.int64]:
    """Deal groups (machines) into folds so that each has about as many failures, int64[n].

    groups: int64[n] machine of each row; events: float64[G] failures of each group 0..G-1. Groups are
    shuffled by `seed`, ordered by failures and dealt out back and forth.
    """
    count = len(events)
    folds = max(2, min(folds, count))
    shuffled = np.random.default_rng(seed).permutation(count)
    order = shuffled[np.argsort(-events[shuffled], kind="stable")]
    lap = np.arange(count) // folds
    seat = np.arange(count) % folds
    fold_of = np.empty(count, dtype=np.int64)
    fold_of[order] = np.where(lap % 2 == 0, seat, folds - 1 - seat)
    return fold_of[groups]


def thin(
    life: NDArray[np.int64], ts_ms: NDArray[np.int64], every: int, limit: int, seed: int
) -> NDArray[np.bool_]:
    """Choose landmarks evenly in time: every n-th row of each life, n raised to stay below `limit`.

    Each life starts at its own offset (from `seed`), so that thinning does not line up with shifts
    or days. bool[n], False where life is -1.
    """
    usable = np.flatnonzero(life >= 0)
    every = max(every, -(-len(usable) // limit)) if limit else every
    order = usable[np.lexsort((ts_ms[usable], life[usable]))]
    ordered = life[order]
    first = np.r_[True, ordered[1:] != ordered[:-1]] if len(ordered) else np.zeros(0, bool)
    start = np.maximum.accumulate(np.where(first, np.arange(len(ordered)), 0))
    offset = np.random.default_rng(seed).integers(0, every, size=int(life.max(initial=-1)) + 1)
    chosen = (np.arange(len(ordered)) - start) % every == offset[ordered]
    mask = np.zeros(len(life), dtype=bool)
    mask[order[chosen]] = True
    return mask


def before(
    ts_ms: NDArray[np.int64], cut_ms: int, embargo_h: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Split by time: rows before `cut_ms`, and rows later than the embargo after it.

    Labels of the first part must be made with `as_of_ms=cut_ms`, so that no later event is in them.
    """
    return ts_ms < cut_ms, ts_ms >= cut_ms + embargo_h * HOUR_MS

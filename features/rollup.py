"""Rollups as blocks: from readings, to the store's layout and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.kernel_rollup import edges, rollup
from features.plan import KindPlan
from features.stats import STATS, K
from plant.asset import AssetPath
from store.port import ReadingBlock, RollupBlock

#: Absolute bucket numbers int64[n] and their rollups float64[n, columns, K].
Rolled = tuple[NDArray[np.int64], NDArray[np.float64]]


def seen_by(block: ReadingBlock, cutoff_ms: int) -> ReadingBlock:
    """Return the readings that had arrived by `cutoff_ms`; an unknown arrival counts as on time."""
    keep = block.received_ms <= cutoff_ms
    if keep.all():
        return block
    return ReadingBlock(
        block.asset, block.ts_ms[keep], block.received_ms[keep], block.signals, block.values[keep]
    )


def roll(plan: KindPlan, block: ReadingBlock) -> Rolled:
    """Roll readings up; only buckets that hold a reading are returned."""
    bucket_ms = plan.settings.bucket_ms
    if not len(block.ts_ms):
        return np.empty(0, np.int64), np.empty((0, len(plan.columns), K))
    ts_ms = _own(block.ts_ms)
    begin = edges(ts_ms, bucket_ms)
    rolled = rollup(
        ts_ms,
        _own(block.received_ms),
        _columns(plan, block),
        begin,
        plan.limits,
        bucket_ms,
        plan.settings.hold_ms or bucket_ms,
        plan.running_column,
    )
    return ts_ms[begin[:-1]] // bucket_ms, rolled


def _own(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return times as the kernels take them: contiguous and not marked read-only."""
    return np.require(times, dtype=np.int64, requirements=["C", "W"])


def _columns(plan: KindPlan, block: ReadingBlock) -> NDArray[np.float64]:
    """Return the values in the plan's columns, `running` made from its signal."""
    if block.signals == plan.columns:
        return np.require(block.values, dtype=np.float64, requirements=["W"])
    at = {name: index for index, name in enumerate(block.signals)}
    values = np.full((len(block.ts_ms), len(plan.columns)), np.nan)
    for column, name in enumerate(plan.columns):
        if name in at and column != plan.running_column:
            values[:, column] = block.values[:, at[name]]
    if plan.running_column >= 0 and plan.kind.running_signal in at:
        signal = block.values[:, at[plan.kind.running_signal]]
        running = np.where(signal > plan.kind.running_above, 1.0, 0.0)
        values[:, plan.running_column] = np.where(np.isnan(signal), np.nan, running)
    return values


def to_block(plan: KindPlan, asset: AssetPath, rolled: Rolled) -> RollupBlock:
    """Return rollups in the store's layout: sorted signals."""
    buckets, values = rolled
    order = sorted(range(len(plan.columns)), key=lambda column: plan.columns[column])
    bucket_ms = plan.settings.bucket_ms
    return RollupBlock(
        asset,
        bucket_ms,
        buckets * bucket_ms,
        tuple(plan.columns[column] for column in order),
        STATS,
        np.ascontiguousarray(values[:, order]),
    )


def from_block(plan: KindPlan, block: RollupBlock) -> Rolled:
    """Return rollups in the plan's layout; what the store does not hold is NaN."""
    buckets = block.start_ms // plan.settings.bucket_ms
    values = np.full((len(buckets), len(plan.columns), K), np.nan)
    signals = {name: index for index, name in enumerate(block.signals)}
    stats = {name: index for index, name in enumerate(block.stats)}
    depth = [stats.get(name, -1) for name in STATS]
    for column, name in enumerate(plan.columns):
        if name not in signals:
            continue
        numbers = block.values[:, signals[name]]
        if depth == list(range(numbers.shape[1])):
            values[:, column] = numbers
            continue
        for stat, index in enumerate(depth):
            if index >= 0:
                values[:, column, stat] = numbers[:, index]
    return buckets, values

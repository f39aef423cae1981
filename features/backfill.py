"""All rows of one asset from its rollups, each row seeing only what had arrived by its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from features.engine import ALIGN, AssetEngine, Rows
from features.plan import KindPlan
from features.renewal import Renewals
from features.rollup import Rolled, roll, seen_by
from features.stats import SETTLED
from plant.asset import AssetPath
from plant.times import DAY_MS, HOUR_MS
from store.port import ReadingBlock

#: Gives the readings of `[start_ms, stop_ms)`.
Read = Callable[[int, int], ReadingBlock]


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """From the row at `row` on, `bucket` looks like `values` float64[columns, K]."""

    row: int
    bucket: int
    values: NDArray[np.float64]


def settled_ms(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return when the newest arrival of each bucket came in, float64[n]; 0 where unknown."""
    newest = np.nan_to_num(values[:, :, SETTLED], nan=0.0)
    return np.asarray(newest.max(axis=1, initial=0.0))


def as_known_at(plan: KindPlan, rolled: Rolled, row: int, read: Read) -> tuple[Rolled, set[int]]:
    """Return the rollups as known at the row numbered `row`, and the buckets that will change yet."""
    cutoff = row * plan.settings.bucket_ms + plan.settings.lateness_ms
    buckets, values = rolled
    late = np.flatnonzero(settled_ms(values) > cutoff)
    if not len(late):
        return rolled, set()
    values = values.copy()
    changing: set[int] = set()
    for index, block in _late_readings(plan, buckets, late, read):
        _, seen = roll(plan, seen_by(block, cutoff))
        values[index] = seen[0] if len(seen) else np.nan
        changing.add(int(buckets[index]))
    return (buckets, values), changing


def _late_readings(
    plan: KindPlan, buckets: NDArray[np.int64], late: NDArray[np.int64], read: Read
) -> Iterator[tuple[int, ReadingBlock]]:
    """Yield (index, readings) of each late bucket, read a day at a time.

    A bucket whose readings have expired is left out: its rollup is all there is.
    """
    bucket_ms = plan.settings.bucket_ms
    for day in np.unique(buckets[late] * bucket_ms // DAY_MS).tolist():
        mine = late[buckets[late] * bucket_ms // DAY_MS == day]
        first, last = int(buckets[mine[0]]), int(buckets[mine[-1]])
        block = read(first * bucket_ms, (last + 1) * bucket_ms)
        for index in mine.tolist():
            start = int(buckets[index]) * bucket_ms
            low, high = np.searchsorted(block.ts_ms, [start, start + bucket_ms])
            if high > low:
                yield index, _slice(block, int(low), int(high))


def _slice(block: ReadingBlock, low: int, high: int) -> ReadingBlock:
    return ReadingBlock(
        block.asset,
        block.ts_ms[low:high],
        block.received_ms[low:high],
        block.signals,
        block.values[low:high],
    )


def find_patches(plan: KindPlan, rolled: Rolled, read: Read) -> tuple[Rolled, list[Patch]]:
    """Return the rollups as first seen, and what late arrivals made of them row by row."""
    bucket_ms, lateness = plan.settings.bucket_ms, plan.settings.lateness_ms
    buckets, values = rolled
    late = np.flatnonzero(settled_ms(values) > (buckets + 1) * bucket_ms + lateness)
    if not len(late):
        return rolled, []
    values = values.copy()
    patches: list[Patch] = []
    for index, block in _late_readings(plan, buckets, late, read):
        bucket = int(buckets[index])
        rows = np.maximum(-(-(block.received_ms - lateness) // bucket_ms), bucket + 1)
        for row in np.unique(rows).tolist():
            cutoff = row * bucket_ms + lateness
            patches.append(Patch(row, bucket, roll(plan, seen_by(block, cutoff))[1][0]))
        values[index] = np.nan  # until the first of them has arrived
    patches.sort(key=lambda patch: (patch.row, patch.bucket))
    return (buckets, values), patches


def rows_of_asset(
    plan: KindPlan,
    rolled: Rolled,
    renewals: Renewals,
    read: Read,
    start_ms: int,
    stop_ms: int,
) -> Rows:
    """Return the rows at grid times in `[start_ms, stop_ms)` when the asset was heard in the last hour.

    rolled: all rollups of the asset from its first reading on; read: its raw readings.
    """
    parts = [
        part
        for segment in segments(plan, rolled)
        for part in _rows_of_segment(plan, segment, renewals, read, start_ms, stop_ms)
    ]
    return _join(plan, parts)


def segments(plan: KindPlan, rolled: Rolled) -> list[Rolled]:
    """Split where the asset was silent so long that it counts as connected anew."""
    buckets, values = rolled
    cuts = np.flatnonzero(np.diff(buckets) > plan.settings.forget_buckets) + 1
    starts = [0, *cuts.tolist(), len(buckets)]
    return [(buckets[low:high], values[low:high]) for low, high in pairwise(starts) if high > low]


def _rows_of_segment(
    plan: KindPlan, rolled: Rolled, renewals: Renewals, read: Read, start_ms: int, stop_ms: int
) -> list[Rows]:
    settings = plan.settings
    bucket_ms = settings.bucket_ms
    buckets = rolled[0]
    rows_from = max(-(-start_ms // bucket_ms), int(buckets[0]) + 1)
    fresh = max(settings.grid // bucket_ms, HOUR_MS // bucket_ms, 1)
    last = min(-(-stop_ms // bucket_ms) - 1, int(buckets[-1]) + fresh)
    rolled, patches = find_patches(plan, rolled, read)
    span = int(buckets[-1] - buckets[0])
    engine = AssetEngine(plan, int(buckets[0]), span + 2 * ALIGN)
    engine.load(rolled)
    parts: list[Rows] = []

    def advance(stop: int) -> None:
        nonlocal rows_from
        if stop >= rows_from:
            parts.append(
                engine.advance(
                    stop, rows_from, renewals, grid=settings.grid // bucket_ms, fresh_only=fresh
                )
            )
            rows_from = stop + 1

    by_row: dict[int, list[Patch]] = {}
    for patch in patches:
        by_row.setdefault(patch.row, []).append(patch)
    for row, group in sorted(by_row.items()):
        advance(min(row - 1, last))
        engine.load((np.array([p.bucket for p in group]), np.array([p.values for p in group])))
    advance(last)
    return parts


def _join(plan: KindPlan, parts: Sequence[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    empty = Rows(
        np.empty(0, np.int64),
        np.empty((0, len(plan.catalogue))),
        np.empty((0, len(plan.catalogue.measured)), np.uint8),
    )
    parts = parts or [empty]
    return Rows(
        np.concatenate([part.ts_ms for part in parts]),
        np.concatenate([part.X for part in parts]),
        np.concatenate([part.faults for part in parts]),
    )


def reader(source: object, asset: AssetPath) -> Read:
    """Bind a source's `read_readings` to one asset."""
    read: Callable[[AssetPath, int, int], ReadingBlock] = source.read_readings  # type: ignore[attr-defined] # store or frame source
    return lambda start, stop: read(asset, start, stop)

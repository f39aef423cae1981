"""Putting blocks of numbers together: the part both adapters share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plant.asset import AssetPath
from plant.errors import DataError
from store.port import ReadingBlock, RollupBlock

#: Rows of the result, signals, statistics, float64[rows, S, K].
RollupPart = tuple[NDArray[np.int64], tuple[str, ...], tuple[str, ...], NDArray[np.float64]]


def check_rollups(block: RollupBlock) -> NDArray[np.float64]:
    """Return the block's numbers as they are kept: little-endian float64, non-finite ones NaN.

    Raises DataError when shapes or buckets do not fit each other.
    """
    shape = (len(block.start_ms), len(block.signals), len(block.stats))
    if block.values.shape != shape:
        raise DataError(f"the rollups have shape {block.values.shape}, not {shape}.")
    if block.bucket_ms <= 0 or np.any(block.start_ms % block.bucket_ms):
        raise DataError(f"a rollup does not start on a multiple of {block.bucket_ms} ms.")
    numbers = np.ascontiguousarray(block.values, dtype="<f8")
    finite = np.isfinite(numbers)
    return numbers if finite.all() else np.where(finite, numbers, np.nan)


def merge_rollups(
    asset: AssetPath, bucket_ms: int, start_ms: NDArray[np.int64], parts: Sequence[RollupPart]
) -> RollupBlock:
    """Lay parts with different signals or statistics into one block; signals sorted, stats in order."""
    if len(parts) == 1 and list(parts[0][1]) == sorted(parts[0][1]):
        _, signals, stats, values = parts[0]
        return RollupBlock(asset, bucket_ms, start_ms, signals, stats, values)
    signals = tuple(sorted({name for part in parts for name in part[1]}))
    stats = tuple(dict.fromkeys(name for part in parts for name in part[2]))
    values = np.full((len(start_ms), len(signals), len(stats)), np.nan)
    signal_at = {name: at for at, name in enumerate(signals)}
    stat_at = {name: at for at, name in enumerate(stats)}
    for rows, part_signals, part_stats, numbers in parts:
        columns = np.array([signal_at[name] for name in part_signals], dtype=np.int64)
        depth = np.array([stat_at[name] for name in part_stats], dtype=np.int64)
        values[np.ix_(rows, columns, depth)] = numbers
    return RollupBlock(asset, bucket_ms, start_ms, signals, stats, values)


@dataclass(frozen=True, slots=True, eq=False)
class ReadingPart:
    """Readings that carry one set of signals: ts_ms, received_ms, ids int64[n]; values [n, S]."""

    ts_ms: NDArray[np.int64]
    received_ms: NDArray[np.int64]
    ids: NDArray[np.int64]
    signals: tuple[str, ...]
    values: NDArray[np.float64]


def merge_readings(asset: AssetPath, parts: Sequence[ReadingPart]) -> ReadingBlock:
    """Lay parts into one block: one row per time, the last arrival of each value wins.

    A row's received_ms is that of its last arrival: only then was it whole.
    """
    parts = [part for part in parts if len(part.ts_ms)]
    if not parts:
        nothing = np.empty(0, dtype=np.int64)
        return ReadingBlock(asset, nothing, nothing, (), np.empty((0, 0)))
    if len(parts) == 1:
        # Sorted by time with the last arrival last: what the journal's index nearly gives.
        part = parts[0]
        order = np.lexsort((part.ids, part.received_ms, part.ts_ms))
        ts = part.ts_ms[order]
        if np.all(ts[1:] != ts[:-1]):
            return ReadingBlock(
                asset, ts, part.received_ms[order], part.signals, part.values[order]
            )
    every_ts = np.concatenate([part.ts_ms for part in parts])
    received = np.concatenate([part.received_ms for part in parts])
    ts, row_of = np.unique(every_ts, return_inverse=True)
    signals = tuple(sorted({name for part in parts for name in part.signals}))
    column = {name: at for at, name in enumerate(signals)}
    values = np.full((len(ts), len(signals)), np.nan)
    last = np.full(len(ts), np.iinfo(np.int64).min)
    np.maximum.at(last, row_of, received)
    # All single values in order of arrival; assigning in that order lets the last one win.
    edges = np.cumsum([0, *(len(part.ts_ms) for part in parts)])
    rows, columns, numbers, arrival, ids = [], [], [], [], []
    for at, part in enumerate(parts):
        width = len(part.signals)
        rows.append(np.repeat(row_of[edges[at] : edges[at + 1]], width))
        columns.append(
            np.tile([column[name] for name in part.signals], len(part.ts_ms)).astype(np.int64)
        )
        numbers.append(part.values.ravel())
        arrival.append(np.repeat(part.received_ms, width))
        ids.append(np.repeat(part.ids, width))
    order = np.lexsort((np.concatenate(ids), np.concatenate(arrival)))
    cells = (np.concatenate(rows)[order], np.concatenate(columns)[order])
    values[cells] = np.concatenate(numbers)[order]
    return ReadingBlock(asset, ts, last, signals, values)

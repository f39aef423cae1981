"""The part of the store port that features use, in memory and as plain as can be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from plant.asset import AssetPath
from plant.event import Event
from plant.reading import Reading
from store.port import Change, Changes, ReadingBlock, RollupBlock, SeenAsset, WriteCount


class MemoryStore:
    def __init__(self) -> None:
        self._readings: dict[tuple[object, ...], Reading] = {}
        self._changes: list[Change] = []
        self._rollups: dict[tuple[AssetPath, int, int], tuple[RollupBlock, int]] = {}
        self._events: dict[tuple[object, ...], Event] = {}

    def write_readings(self, readings: Sequence[Reading]) -> WriteCount:
        new = repeated = 0
        for r in readings:
            key = (r.asset, r.ts_ms, tuple(sorted(r.values)), r.seq)
            old = self._readings.get(key)
            if old is not None and dict(old.values) == dict(r.values):
                repeated += 1
                continue
            new += 1
            self._readings[key] = r
            self._changes.append(Change(r.asset, r.ts_ms, r.received_ms or 0))
        return WriteCount(new, repeated, 0)

    def read_readings(self, asset: AssetPath, start_ms: int, stop_ms: int) -> ReadingBlock:
        mine = sorted(
            (
                r
                for r in self._readings.values()
                if r.asset == asset and start_ms <= r.ts_ms < stop_ms
            ),
            key=lambda r: (r.ts_ms, r.received_ms or 0),
        )
        signals = tuple(sorted({name for r in mine for name in r.values}))
        times = sorted({r.ts_ms for r in mine})
        values = np.full((len(times), len(signals)), np.nan)
        received = np.zeros(len(times), dtype=np.int64)
        at = {ts: row for row, ts in enumerate(times)}
        for r in mine:
            for name, value in r.values.items():
                values[at[r.ts_ms], signals.index(name)] = value
            received[at[r.ts_ms]] = max(received[at[r.ts_ms]], r.received_ms or 0)
        return ReadingBlock(asset, np.array(times, dtype=np.int64), received, signals, values)

    def changes(self, cursor: str, limit: int = 100_000) -> Changes:
        start = int(cursor or 0)
        items = tuple(self._changes[start : start + limit])
        return Changes(str(start + len(items)), items)

    def write_rollups(self, block: RollupBlock) -> None:
        for row, start in enumerate(block.start_ms.tolist()):
            self._rollups[block.asset, block.bucket_ms, start] = (block, row)

    def read_rollups(
        self, asset: AssetPath, bucket_ms: int, start_ms: int, stop_ms: int
    ) -> RollupBlock:
        keys = sorted(
            k for k in self._rollups if k[:2] == (asset, bucket_ms) and start_ms <= k[2] < stop_ms
        )
        if not keys:
            return RollupBlock(asset, bucket_ms, np.empty(0, np.int64), (), (), np.empty((0, 0, 0)))
        found = [self._rollups[k] for k in keys]
        first = found[0][0]
        return RollupBlock(
            asset,
            bucket_ms,
            np.array([k[2] for k in keys], dtype=np.int64),
            first.signals,
            first.stats,
            np.array([block.values[row] for block, row in found]),
        )

    def write_events(self, events: Sequence[Event]) -> WriteCount:
        for e in events:
            self._events[e.asset, e.ts_ms, e.kind, e.mode, e.key] = e
        return WriteCount(len(events), 0, 0)

    def read_events(
        self,
        start_ms: int,
        stop_ms: int,
        *,
        asset: AssetPath | None = None,
        kinds: Iterable[str] | None = None,
    ) -> list[Event]:
        wanted = None if kinds is None else set(kinds)
        return sorted(
            (
                e
                for e in self._events.values()
                if start_ms <= e.ts_ms < stop_ms
                and (asset is None or e.asset == asset)
                and (wanted is None or e.kind in wanted)
            ),
            key=lambda e: (e.ts_ms, str(e.asset), e.kind),
        )

    def assets(self) -> list[SeenAsset]:
        found = []
        for asset in sorted({r.asset for r in self._readings.values()}):
            mine = [r for r in self._readings.values() if r.asset == asset]
            times = [r.ts_ms for r in mine]
            signals = tuple(sorted({n for r in mine for n in r.values}))
            found.append(SeenAsset(asset, min(times), max(times), len(mine), signals, False, ""))
        return found

"""The units of work of a backfill: the readings of one asset and day, the rows of one asset.

Plain functions of plain arguments, so that they run the same here and on a Dask worker, which opens
the store by itself from its settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from features.backfill import reader, rows_of_asset
from features.engine import Rows
from features.plan import KindPlan
from features.renewal import Renewals
from features.rollup import Rolled, from_block, roll
from features.sources import Source
from plant.asset import AssetPath
from plant.clock import SystemClock
from plant.times import DAY_MS
from store.factory import open_store
from store.port import Store
from store.settings import StoreSettings


@dataclass(frozen=True)
class StoreAddress:
    """How a worker finds the store."""

    settings: StoreSettings
    data_dir: Path

    @cached_property
    def _key(self) -> str:
        return f"{self.data_dir}|{self.settings.model_dump_json()}"

    def open(self) -> Store:
        """Return the store, opened once per process."""
        return _open(self._key, self)


@lru_cache(maxsize=4)
def _open(_key: str, address: StoreAddress) -> Store:
    return open_store(address.settings, address.data_dir, SystemClock())


@dataclass(frozen=True, eq=False)
class RollTask:
    """Roll up these buckets (absolute numbers, ascending, within a day) of one asset."""

    asset: AssetPath
    plan: KindPlan
    buckets: tuple[int, ...]
    source: Source | StoreAddress


@dataclass(frozen=True, eq=False)
class RowTask:
    """Make the rows of one asset at grid times in `[start_ms, stop_ms)` from its rollups."""

    asset: AssetPath
    plan: KindPlan
    renewals: Renewals
    start_ms: int
    stop_ms: int
    store: Store | StoreAddress


def run_roll(task: RollTask) -> Rolled:
    """Do a RollTask."""
    source = task.source.open() if isinstance(task.source, StoreAddress) else task.source
    return roll_buckets(task.plan, source, task.asset, task.buckets)


def run_rows(task: RowTask) -> Rows:
    """Do a RowTask."""
    store = task.store.open() if isinstance(task.store, StoreAddress) else task.store
    bucket_ms = task.plan.settings.bucket_ms
    stop = -(-task.stop_ms // bucket_ms) * bucket_ms
    rolled = from_block(task.plan, store.read_rollups(task.asset, bucket_ms, 0, stop))
    read = reader(store, task.asset)
    return rows_of_asset(task.plan, rolled, task.renewals, read, task.start_ms, task.stop_ms)


def roll_buckets(
    plan: KindPlan, source: Source, asset: AssetPath, buckets: Sequence[int]
) -> Rolled:
    """Roll up the given buckets, reading neighbours together, a day at most at a time."""
    bucket_ms = plan.settings.bucket_ms
    most = max(1, DAY_MS // bucket_ms)
    parts: list[Rolled] = []
    first = 0
    for index in range(1, len(buckets) + 1):
        ends = index == len(buckets) or buckets[index] != buckets[index - 1] + 1
        if ends or buckets[index] - buckets[first] >= most:
            low, high = buckets[first] * bucket_ms, (buckets[index - 1] + 1) * bucket_ms
            parts.append(roll(plan, source.read_readings(asset, low, high)))
            first = index
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def by_days(buckets: Sequence[int], bucket_ms: int, days: int = 1) -> list[tuple[int, ...]]:
    """Split ascending buckets into runs of so many days (UTC)."""
    parts: dict[int, list[int]] = {}
    for bucket in buckets:
        parts.setdefault(bucket * bucket_ms // (days * DAY_MS), []).append(bucket)
    return [tuple(part) for part in parts.values()]

"""What has arrived but is not rolled up yet, remembered across restarts.

Readings are announced by the store's change list; the buckets they touch wait here until they are
closed, are rolled up from all their readings and written. The state is saved after the rollups, so
a kill at any moment repeats a little work and skips none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from features.plan import KindPlan
from features.rollup import Rolled, from_block, to_block
from features.stats import COUNT, OUT_OF_RANGE, SPIKES
from plant.asset import AssetPath
from plant.errors import DataError
from store.port import Store

_log = structlog.get_logger(__name__)
#: A long backfill saves its state so often.
SAVE_EVERY_S = 2.0


class Roller:
    """The buckets of every asset that wait to be rolled up."""

    def __init__(self, store: Store, bucket_ms: int, state_file: Path | None = None) -> None:
        self.pending: dict[AssetPath, set[int]] = {}
        self._store = store
        self._bucket_ms = bucket_ms
        self._state_file = state_file
        self._cursor = ""
        self._saved_at = 0.0
        self._load()

    def take_changes(self) -> None:
        """Note which buckets the readings touch that arrived since the last call."""
        while True:
            changes = self._store.changes(self._cursor)
            for change in changes.items:
                self.pending.setdefault(change.asset, set()).add(change.ts_ms // self._bucket_ms)
            moved = changes.cursor != self._cursor
            self._cursor = changes.cursor
            if not changes.items or not moved:
                return

    def due(self, asset: AssetPath, row: int) -> list[int]:
        """Return the waiting buckets of an asset that end by the row numbered `row`."""
        return sorted(bucket for bucket in self.pending.get(asset, ()) if bucket < row)

    def write(
        self, plan: KindPlan, asset: AssetPath, rolled: Rolled, *, expired: bool = True
    ) -> Rolled:
        """Store rollups and return what is now stored.

        A bucket whose readings have expired keeps the rollup made when they were whole: readings
        never become fewer otherwise. With expired=False that cannot be, and is not looked for.
        """
        buckets, values = rolled
        if expired and len(buckets):
            start, stop = (
                int(buckets[0]) * self._bucket_ms,
                (int(buckets[-1]) + 1) * self._bucket_ms,
            )
            there = self._store.read_rollups(asset, self._bucket_ms, start, stop)
            old_buckets, old = from_block(plan, there)
            at = np.searchsorted(buckets, old_buckets)
            known = (at < len(buckets)) & (buckets[np.minimum(at, len(buckets) - 1)] == old_buckets)
            more = _readings(old[known]) > _readings(values[at[known]])
            values[at[known][more]] = old[known][more]
        self._store.write_rollups(to_block(plan, asset, rolled))
        return rolled

    def done(self, asset: AssetPath, buckets: tuple[int, ...] | list[int]) -> None:
        """Take buckets off the list."""
        self.pending.setdefault(asset, set()).difference_update(buckets)

    def wait(self, asset: AssetPath, buckets: set[int] | list[int]) -> None:
        """Put buckets on the list: they will change yet."""
        self.pending.setdefault(asset, set()).update(buckets)

    def save(self, *, now: bool = True, timer: Callable[[], float] = time.monotonic) -> None:
        """Keep the state; with now=False only when the last time was a while ago."""
        if self._state_file is None or (not now and timer() - self._saved_at < SAVE_EVERY_S):
            return
        body = {
            "bucket_ms": self._bucket_ms,
            "store": type(self._store).__name__,
            "cursor": self._cursor,
            "pending": {str(asset): _runs(b) for asset, b in self.pending.items() if b},
        }
        self._state_file.parent.mkdir(parents=True, exist_ok=True)
        part = self._state_file.with_name(self._state_file.name + ".part")
        part.write_text(json.dumps(body), encoding="utf-8")
        part.replace(self._state_file)
        self._saved_at = timer()

    def _load(self) -> None:
        if self._state_file is None or not self._state_file.exists():
            return
        try:
            body = json.loads(self._state_file.read_text(encoding="utf-8"))
            made_for = (body["bucket_ms"], body["store"])
            if made_for != (self._bucket_ms, type(self._store).__name__):
                return  # other buckets or another store: everything is to be rolled up anew
            pending = {
                AssetPath.parse(name): {b for low, high in runs for b in range(low, high)}
                for name, runs in body["pending"].items()
            }
            self._cursor, self.pending = str(body["cursor"]), pending
        except (OSError, ValueError, KeyError, TypeError, DataError) as error:
            # Reading the changes from the beginning gives the same rollups, only later.
            _log.warning("features.state_damaged", file=str(self._state_file), error=str(error))


def _readings(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many values of all signals each rollup has seen, float64[n]."""
    seen = np.nan_to_num(values[:, :, [COUNT, OUT_OF_RANGE, SPIKES]])
    return np.asarray(seen.sum(axis=(1, 2)))


def _runs(buckets: set[int]) -> list[tuple[int, int]]:
    """Return buckets as half-open ranges."""
    runs: list[tuple[int, int]] = []
    for bucket in sorted(buckets):
        if runs and runs[-1][1] == bucket:
            runs[-1] = (runs[-1][0], bucket + 1)
        else:
            runs.append((bucket, bucket + 1))
    return runs

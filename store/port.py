"""The store port: what every adapter must do, and the blocks of numbers that pass through it.

Times are UTC epoch milliseconds, ranges half-open `[start_ms, stop_ms)`. Writes are idempotent:
writing the same thing twice leaves the store as it was. A raised StoreError names what to mend.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from plant.asset import AssetPath
from plant.event import Event
from plant.reading import Reading
from plant.risk import Risk


@dataclass(frozen=True, slots=True)
class WriteCount:
    """What became of a batch. A conflict is the same key with other values: the last one is kept."""

    new: int = 0
    repeated: int = 0
    conflicting: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ReadingBlock:
    """Readings of one asset, ascending in time.

    ts_ms, received_ms: int64[n] (received 0 where unknown); signals: S sorted names;
    values: float64[n, S], NaN where a reading did not carry the signal.
    """

    asset: AssetPath
    ts_ms: NDArray[np.int64]
    received_ms: NDArray[np.int64]
    signals: tuple[str, ...]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class RollupBlock:
    """Rollups of one asset on one bucket length, ascending in time.

    start_ms: int64[n], each a multiple of bucket_ms; signals: S sorted names; stats: K names;
    values: float64[n, S, K], NaN where a bucket holds nothing of that signal.
    """

    asset: AssetPath
    bucket_ms: int
    start_ms: NDArray[np.int64]
    signals: tuple[str, ...]
    stats: tuple[str, ...]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SeenAsset:
    """A machine as its readings show it, configured or not."""

    asset: AssetPath
    first_ms: int
    last_ms: int
    readings: int
    signals: tuple[str, ...]
    simulated: bool
    run_id: str


@dataclass(frozen=True, slots=True)
class Change:
    """A reading of `asset` at `ts_ms` arrived (or was corrected) at `received_ms`."""

    asset: AssetPath
    ts_ms: int
    received_ms: int


@dataclass(frozen=True, slots=True)
class Changes:
    """Arrivals in arrival order after a cursor; hand `cursor` back to go on from there."""

    cursor: str
    items: tuple[Change, ...]


class Store(Protocol):
    """Readings, rollups, events and risks by asset and time."""

    def write_readings(self, readings: Sequence[Reading]) -> WriteCount:
        """Store readings durably; key: asset, time, set of signals, seq."""
        ...

    def read_readings(self, asset: AssetPath, start_ms: int, stop_ms: int) -> ReadingBlock:
        """Return the readings of one asset; readings at one time are merged into one row."""
        ...

    def changes(self, cursor: str, limit: int = 100_000) -> Changes:
        """Return what arrived after `cursor` (empty: from the beginning), readable in this store."""
        ...

    def write_rollups(self, block: RollupBlock) -> None:
        """Store rollups, replacing buckets that are there."""
        ...

    def read_rollups(
        self, asset: AssetPath, bucket_ms: int, start_ms: int, stop_ms: int
    ) -> RollupBlock:
        """Return the rollups whose bucket starts in the range."""
        ...

    def write_events(self, events: Sequence[Event]) -> WriteCount:
        """Append to the log; key: asset, time, kind, mode, key."""
        ...

    def read_events(
        self,
        start_ms: int,
        stop_ms: int,
        *,
        asset: AssetPath | None = None,
        kinds: Iterable[str] | None = None,
    ) -> list[Event]:
        """Return events ascending in time, of one asset or all, of some kinds or all."""
        ...

    def write_risks(self, risks: Sequence[Risk]) -> None:
        """Store assessments with their curves; key: asset, time."""
        ...

    def read_risks(
        self, start_ms: int, stop_ms: int, *, asset: AssetPath | None = None
    ) -> list[Risk]:
        """Return assessments ascending in time, of one asset or all."""
        ...

    def latest_risks(self) -> list[Risk]:
        """Return the newest assessment of every asset."""
        ...

    def assets(self) -> list[SeenAsset]:
        """Return every machine that ever sent a reading, in path order."""
        ...

    def check(self) -> None:
        """Raise StoreError when the store cannot be reached, read or written."""
        ...

    def close(self) -> None:
        """Release files and connections; the store is not used afterwards."""
        ...

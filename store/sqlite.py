"""The embedded store: journals hold readings and events, store.db holds rollups and risks."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from plant.asset import AssetPath
from plant.clock import Clock
from plant.event import Event
from plant.reading import Reading
from plant.risk import Risk
from store.history import History
from store.integrity import open_journal
from store.journal import Batch, Journal
from store.journals import Journals
from store.port import Changes, ReadingBlock, RollupBlock, SeenAsset, WriteCount
from store.schema import journal_path

STORE_FILE = "store.db"
#: The journal of whoever writes through the store itself, beside those of the ingest processes.
OWN_JOURNAL = "store"


class SqliteStore:
    """Implements `store.port.Store` in a folder; several processes may have it open."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self.directory = directory
        self._clock = clock
        self._history = History(directory / STORE_FILE)
        self._journals = Journals(directory)
        self._own = OwnJournal(directory, clock)

    def write_readings(self, readings: Sequence[Reading]) -> WriteCount:
        """Store readings durably in the store's own journal."""
        return self._own.write(readings=readings)

    def read_readings(self, asset: AssetPath, start_ms: int, stop_ms: int) -> ReadingBlock:
        """Return the readings of one asset; readings at one time are merged into one row."""
        return self._journals.read(asset, start_ms, stop_ms)

    def changes(self, cursor: str, limit: int = 100_000) -> Changes:
        """Return what arrived in any journal after `cursor`."""
        return self._journals.changes(cursor, limit)

    def write_rollups(self, block: RollupBlock) -> None:
        """Store rollups, replacing buckets that are there."""
        self._history.write_rollups(block)

    def read_rollups(
        self, asset: AssetPath, bucket_ms: int, start_ms: int, stop_ms: int
    ) -> RollupBlock:
        """Return the rollups whose bucket starts in the range."""
        return self._history.read_rollups(asset, bucket_ms, start_ms, stop_ms)

    def write_events(self, events: Sequence[Event]) -> WriteCount:
        """Append to the log durably, in the store's own journal."""
        return self._own.write(events=events)

    def read_events(
        self,
        start_ms: int,
        stop_ms: int,
        *,
        asset: AssetPath | None = None,
        kinds: Iterable[str] | None = None,
    ) -> list[Event]:
        """Return events ascending in time, of one asset or all, of some kinds or all."""
        return self._journals.events(start_ms, stop_ms, asset=asset, kinds=kinds)

    def write_risks(self, risks: Sequence[Risk]) -> None:
        """Store assessments with their curves."""
        self._history.write_risks(risks)

    def read_risks(
        self, start_ms: int, stop_ms: int, *, asset: AssetPath | None = None
    ) -> list[Risk]:
        """Return assessments ascending in time, of one asset or all."""
        return self._history.read_risks(start_ms, stop_ms, asset=asset)

    def latest_risks(self) -> list[Risk]:
        """Return the newest assessment of every asset."""
        return self._history.latest_risks()

    def assets(self) -> list[SeenAsset]:
        """Return every machine that ever sent a reading, in path order."""
        return self._journals.assets()

    def check(self) -> None:
        """Raise StoreError when a file of the store cannot be read or written."""
        self._history.check()
        self._own.check()
        self._journals.assets()

    def close(self) -> None:
        """Release the files."""
        self._own.close()
        self._journals.close()
        self._history.close()


class OwnJournal:
    """A journal that is opened when it is first written."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self.path = journal_path(directory, OWN_JOURNAL)
        self._clock = clock
        self._lock = threading.Lock()
        self._journal: Journal | None = None

    def write(
        self, *, readings: Sequence[Reading] = (), events: Sequence[Event] = ()
    ) -> WriteCount:
        """Commit durably. Raises StoreError: then nothing was stored."""
        if not readings and not events:
            return WriteCount()
        count = self._open().commit(
            Batch(list(readings), list(events), received_ms=self._clock.now_ms())
        )
        return WriteCount(
            count.new + count.events_new,
            count.repeated + count.events_repeated,
            count.conflicting + count.events_conflicting,
        )

    def check(self) -> None:
        """Raise StoreError when it cannot be written."""
        self._open().commit(Batch())

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    def _open(self) -> Journal:
        with self._lock:
            if self._journal is None:
                self._journal = open_journal(self.path, self._clock)
            return self._journal

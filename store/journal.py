"""The journal: what ingest has committed here may be acknowledged to the broker.

`commit` is one transaction, on the disk when it returns. Writing the same reading again changes
nothing: the key is (asset, time, set of signals, seq if any). An exact repeat is counted and
dropped; a conflict (same key, other values) is counted and the last one kept, under a new id so
that forwarder and feature job see the correction.

Fast path: all rows go in by one `insert or ignore`; only when fewer were inserted than given are the
ignored ones looked at one by one.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from plant.errors import StoreError
from plant.event import Event
from plant.reading import Reading
from store import schema
from store.columns import Columns, Sample
from store.hot_tail import HotTail, Segment
from store.journal_rows import (
    INSERT_READING,
    Row,
    RowMaker,
    ignored_rows,
    insert_readings,
)
from store.quarantine import BUDGET_BYTES, Quarantined, insert, trim

_log = structlog.get_logger(__name__)

_INSERT_EVENT = "insert or ignore into event values(?,?,?,?,?,?,?,?,?,?)"


@dataclass(slots=True)
class Batch:
    """What one commit stores. `retained` readings count only when nothing newer is stored."""

    readings: list[Reading | Sample | Columns] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    retained: list[Reading | Sample] = field(default_factory=list)
    received_ms: int = 0  # of events, and of readings that carry none

    def __bool__(self) -> bool:
        return bool(self.readings or self.events or self.quarantined or self.retained)


@dataclass(frozen=True, slots=True)
class CommitCount:
    """What became of a batch. `stale` are retained readings older than what was stored."""

    new: int = 0
    repeated: int = 0
    conflicting: int = 0
    stale: int = 0
    events_new: int = 0
    events_repeated: int = 0
    events_conflicting: int = 0
    quarantined: int = 0


class Journal:
    """One writer's journal file; readers open the same file beside it (see store/schema.py).

    `commit` may be called from any thread. Raises StoreError when the file cannot be opened. A failed
    commit (disk full, …) raises StoreError, stores nothing, and the next one starts afresh: when the
    disk has room again, the journal works again.
    """

    def __init__(self, path: Path, *, quarantine_budget_bytes: int = BUDGET_BYTES) -> None:
        self.path = path
        #: Where commits are also kept for a forwarder in this process, if there is one.
        self.tail: HotTail | None = None
        self._budget = quarantine_budget_bytes
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._tail_fd = -1
        self._quarantined_bytes = 0
        self._unsaid_repeats = self._unsaid_conflicts = 0
        self._said_at = 0.0
        self._rows = RowMaker()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
        except (sqlite3.Error, OSError) as error:
            self._abandon()
            raise self._error("cannot be opened", error) from error

    def commit(self, batch: Batch) -> CommitCount:
        """Store a batch durably in one transaction. Raises StoreError: then nothing was stored."""
        with self._lock:
            try:
                db = self._db or self._open()
                return self._commit(db, batch)
            except (sqlite3.Error, OSError) as error:
                self._abandon()
                raise self._error("cannot be written", error) from error
            except BaseException:
                self._abandon()
                raise

    def close(self) -> None:
        """Fold the log back and close. A later `commit` would open the file again."""
        with self._lock:
            if self._db is not None:
                # A reader may hold the log: folding back is a courtesy, not a need.
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("pragma wal_checkpoint(truncate)")
            self._abandon()

    # -- opening and giving up --------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        db = schema.connect(self.path)
        try:
            schema.create(db)
            self._check_version(db)
            self._check_sequence(db)
            (self._quarantined_bytes,) = db.execute(
                "select coalesce(sum(length(payload) + 200), 0) from quarantine"
            ).fetchone()
            self._tail_fd = os.open(
                schema.tail_path(self.path), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644
            )
        except BaseException:
            db.close()
            raise
        self._db = db
        return db

    def _check_version(self, db: sqlite3.Connection) -> None:
        (version,) = db.execute("select value from meta where key='schema_version'").fetchone()
        if version != schema.SCHEMA_VERSION:
            raise StoreError(
                f"the journal {self.path} has version {version}, this program writes"
                f" {schema.SCHEMA_VERSION}.",
                fix="Use the program that wrote it, or another data folder.",
            )

    def _check_sequence(self, db: sqlite3.Connection) -> None:
        """Make sure that no id is given twice, and that ids known to have existed are there."""
        # The sequence last: another writer of this file may commit, and move it on, at any moment.
        tail = schema.read_tail(self.path) or 0
        (highest,) = db.execute(
            "select max((select coalesce(max(id), 0) from reading),"
            " (select coalesce(max(id), 0) from event))"
        ).fetchone()
        (next_id,) = db.execute("select value from meta where key='next_id'").fetchone()
        if tail > next_id:
            _log.error("journal.rows_missing", path=str(self.path), expected=tail, found=next_id)
            raise StoreError(
                f"the journal {self.path} lacks its last {tail - next_id} entries: the file or its"
                " -wal file was cut or replaced.",
                fix=f"Restore it, or set {self.path.name}, its -wal and its .tail file aside.",
            )
        if highest >= next_id:
            raise StoreError(
                f"the journal {self.path} is damaged: its sequence is behind its rows.",
                fix="Restore it, or set it aside.",
            )

    def _abandon(self) -> None:
        """Close whatever is open (an open transaction is rolled back) and forget cached names."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None
        if self._tail_fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._tail_fd)
            self._tail_fd = -1
        self._rows.forget()

    def _error(self, what: str, error: Exception) -> StoreError:
        return StoreError(
            f"the journal {self.path} {what} ({error}).",
            fix="Check the disk's space and the file's permissions; it goes on by itself.",
        )

    # -- one transaction --------------------------------------------------------------------

    def _commit(self, db: sqlite3.Connection, batch: Batch) -> CommitCount:
        db.execute("begin immediate")
        (first_id,) = db.execute("select value from meta where key='next_id'").fetchone()
        readings, stale = batch.readings, 0
        if batch.retained:
            fresh = [r for r in batch.retained if not self._rows.is_stale(db, r)]
            stale = len(batch.retained) - len(fresh)
            readings = [*readings, *fresh]
        rows = self._rows.readings(db, readings, first_id, batch.received_ms)
        new = insert_readings(db, rows)
        repeated = conflicting = 0
        if new != len(rows):
            repeated, conflicting = self._settle_readings(db, rows)
        event_rows = self._rows.events(db, batch.events, first_id + len(rows), batch.received_ms)
        event_new = db.executemany(_INSERT_EVENT, event_rows).rowcount if event_rows else 0
        event_repeated = event_conflicting = 0
        if event_new != len(event_rows):
            event_repeated, event_conflicting = self._settle_events(db, event_rows)
        if batch.quarantined:
            self._quarantine(db, batch.quarantined)
        next_id = first_id + len(rows) + len(event_rows)
        db.execute("update meta set value=? where key='next_id'", (next_id,))
        db.execute("commit")
        # The mark may lag behind the database: losing this write costs nothing.
        with contextlib.suppress(OSError):
            schema.write_tail(self._tail_fd, next_id)
        whole = new == len(rows) and event_new == len(event_rows)
        if self.tail is not None and whole and next_id > first_id:
            self.tail.put(Segment(first_id, next_id, _parts(readings, rows), event_rows))
        count = CommitCount(
            new, repeated, conflicting, stale,
            event_new, event_repeated, event_conflicting, len(batch.quarantined),
        )  # fmt: skip
        self._say(repeated + event_repeated, conflicting + event_conflicting)
        return count

    def _say(self, repeated: int, conflicting: int) -> None:
        """Log repeats and conflicts, summed up to one line of each a second."""
        self._unsaid_repeats += repeated
        self._unsaid_conflicts += conflicting
        now = time.monotonic()
        if now - self._said_at < 1.0:
            return
        if self._unsaid_conflicts:
            _log.warning("journal.conflicts", count=self._unsaid_conflicts, kept="the last")
        if self._unsaid_repeats:
            _log.info("journal.repeats", count=self._unsaid_repeats, kept="the first")
        if self._unsaid_conflicts or self._unsaid_repeats:
            self._said_at = now
        self._unsaid_repeats = self._unsaid_conflicts = 0

    def _settle_readings(self, db: sqlite3.Connection, rows: Sequence[Row]) -> tuple[int, int]:
        """Tell repeats from conflicts among the ignored rows; the last of a conflict replaces."""
        repeated = conflicting = 0
        for row in ignored_rows(db, "reading", rows):
            found = db.execute(
                "select id, vals from reading where asset=? and ts=? and signals=? and seq=?",
                row[1:5],
            ).fetchone()
            if found is None:
                raise StoreError(f"the journal {self.path} is damaged: an id is taken.")
            if found[1] == row[7]:
                repeated += 1
                continue
            conflicting += 1
            db.execute("delete from reading where id=?", (found[0],))
            db.execute(INSERT_READING, row)
        return repeated, conflicting

    def _settle_events(self, db: sqlite3.Connection, rows: Sequence[Row]) -> tuple[int, int]:
        repeated = conflicting = 0
        for row in ignored_rows(db, "event", rows):
            found = db.execute(
                "select id, body from event where asset=? and ts=? and kind=? and mode=? and key=?",
                row[1:6],
            ).fetchone()
            if found is None:
                raise StoreError(f"the journal {self.path} is damaged: an id is taken.")
            if found[1] == row[8]:
                repeated += 1
                continue
            conflicting += 1
            db.execute("delete from event where id=?", (found[0],))
            db.execute(_INSERT_EVENT, row)
        return repeated, conflicting

    def _quarantine(self, db: sqlite3.Connection, items: Sequence[Quarantined]) -> None:
        insert(db, items)
        self._quarantined_bytes += sum(len(item.payload) + 200 for item in items)
        if self._quarantined_bytes > self._budget:
            # Down to nine tenths, so that trimming is rare.
            dropped = trim(db, self._budget * 9 // 10)
            self._quarantined_bytes = self._budget * 9 // 10
            _log.warning("quarantine.budget", dropped=dropped, budget_bytes=self._budget)


def _parts(
    readings: Sequence[Reading | Sample | Columns], rows: list[Row]
) -> list[Columns | list[Row]]:
    """Return the columns as they are, and the rows of all other readings, in their order."""
    parts: list[Columns | list[Row]] = []
    singles: list[Row] = []
    at = 0
    for item in readings:
        if isinstance(item, Columns):
            if singles:
                parts.append(singles)
                singles = []
            parts.append(item)
            at += len(item)
        else:
            singles.append(rows[at])
            at += 1
    return [*parts, singles] if singles else parts

"""One journal file read beside its writer.

Every row is checked against its CRC-32: a damaged one is left out and reported, never passed on.
"""

from __future__ import annotations

import sqlite3
import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import orjson
import structlog

from plant.asset import AssetPath
from plant.errors import DataError
from plant.event import Event
from store import schema
from store.blocks import ReadingPart
from store.database import plain_errors
from store.journal_rows import event_from_row
from store.port import Change
from store.seen import SeenCounter

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")
_NOT_A_ROW = (TypeError, OverflowError, ValueError, struct.error)

_READING = "select id, asset, ts, signals, seq, received, run, vals, crc from reading "
_EVENT = "select id, asset, ts, kind, mode, key, received, run, body, crc from event "


class JournalReader:
    """Reads one journal file beside its writer; any thread may use it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.stem
        self.seen = SeenCounter()
        #: Rises when the file was replaced: what was remembered of its names holds no more.
        self.generation = 0
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._inode = -1
        self._names: dict[str, dict[int, Any]] = {}

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Lend a read-only connection. Raises StoreError."""
        with plain_errors(self.path):
            db = self._take()
            try:
                yield db
            except BaseException:
                db.close()
                raise
            with self._lock:
                self._idle.append(db)

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            try:
                inode = self.path.stat().st_ino
            except OSError:
                inode = -1
            if inode != self._inode:  # the file was set aside and begun anew
                self._forget()
                self._inode = inode
            if self._idle:
                return self._idle.pop()
        mark = schema.read_tail(self.path) or 0  # before the sequence, which moves on meanwhile
        db = schema.connect(self.path, read_only=True)
        last = self.last_id(db)
        if mark > last + 1:
            _log.error("journal.rows_missing", path=str(self.path), rows=mark - last - 1)
        return db

    def _forget(self) -> None:
        for db in self._idle:
            db.close()
        self._idle.clear()
        self._names = {"asset": {}, "signal_set": {}, "run": {}}
        self.seen = SeenCounter()
        self.generation += 1

    def close(self) -> None:
        """Close what is open."""
        with self._lock:
            self._forget()

    # -- names ------------------------------------------------------------------------------

    def asset_path(self, db: sqlite3.Connection, row_id: int) -> AssetPath | None:
        """Return an interned asset; None when it is missing or damaged."""
        return self._name(db, "asset", "path", row_id, AssetPath.parse)

    def signals(self, db: sqlite3.Connection, row_id: int) -> tuple[str, ...] | None:
        """Return an interned signal set; None when it is missing or damaged."""
        return self._name(db, "signal_set", "names", row_id, schema.signal_set_names)

    def _name(
        self,
        db: sqlite3.Connection,
        table: str,
        column: str,
        row_id: int,
        parse: Callable[[str], _T],
    ) -> _T | None:
        known: dict[int, _T] = self._names[table]
        if row_id not in known:
            row = db.execute(
                f"select {column}, crc from {table} where id = ?",  # noqa: S608 - our own names
                (row_id,),
            ).fetchone()
            if (
                row is None
                or not isinstance(row[0], str)
                or schema.name_crc(row_id, row[0]) != row[1]
            ):
                return None
            try:
                known[row_id] = parse(row[0])
            except (DataError, orjson.JSONDecodeError):
                return None
        return known[row_id]

    def run(self, db: sqlite3.Connection, row_id: int) -> tuple[bool, str] | None:
        """Return (simulated, run id); run 0 is the real plant; None when damaged."""
        if row_id == 0:
            return (False, "")
        known: dict[int, tuple[bool, str]] = self._names["run"]
        if row_id not in known:
            row = db.execute(
                "select simulated, run_id, crc from run where id = ?", (row_id,)
            ).fetchone()
            if row is None or schema.run_crc(row_id, row[0], row[1]) != row[2]:
                return None
            known[row_id] = (bool(row[0]), row[1])
        return known[row_id]

    # -- readings ---------------------------------------------------------------------------

    def parts(self, asset: AssetPath, start_ms: int, stop_ms: int) -> list[ReadingPart]:
        """Return the readings of one asset, one part per signal set, in order of arrival."""
        with self.connection() as db:
            found = db.execute("select id from asset where path = ?", (str(asset),)).fetchone()
            if found is None:
                return []
            rows = db.execute(
                _READING + "where asset = ? and ts >= ? and ts < ?", (found[0], start_ms, stop_ms)
            ).fetchall()
            sound = self._sound(rows)
            by_set: dict[int, list[Any]] = {}
            for row in sound:
                by_set.setdefault(row[3], []).append(row)
            parts = []
            for set_id, members in by_set.items():
                names = self.signals(db, set_id)
                if names is None:
                    self._report(len(members))
                    continue
                ids, ts, received = np.array(
                    [(row[0], row[2], row[5]) for row in members], dtype=np.int64
                ).T
                values = np.frombuffer(b"".join([row[7] for row in members]), dtype="<f8")
                shape = (len(members), len(names))
                parts.append(ReadingPart(ts, received, ids, names, values.reshape(shape)))
        return parts

    def _sound(self, rows: list[Any]) -> list[Any]:
        """Return the rows whose checksum holds; report the others."""
        sound = sound_readings(rows)
        if len(sound) != len(rows):
            self._report(len(rows) - len(sound))
        return sound

    def _report(self, count: int) -> None:
        _log.error(
            "journal.damaged_rows",
            path=str(self.path),
            rows=count,
            fix="restart Vigie: it sets the damaged journal aside and keeps what is sound",
        )

    def rows_after(
        self, db: sqlite3.Connection, cursor: int, limit: int, before: int | None = None
    ) -> tuple[list[Any], list[Any], int]:
        """Return (sound reading rows, event rows, next cursor) that arrived after `cursor`.

        Of ids below `before`, if given.
        """
        last = self.last_id(db)  # first: what is committed meanwhile waits for the next call
        if before is not None:
            last = min(last, before - 1)
        rows = db.execute(
            _READING + "where id > ? and id <= ? order by id limit ?", (cursor, last, limit)
        ).fetchall()
        if len(rows) == limit:
            last = rows[-1][0]
        events = db.execute(
            _EVENT + "where id > ? and id <= ? order by id limit ?", (cursor, last, limit)
        ).fetchall()
        if len(events) == limit:
            last = events[-1][0]
            rows = [row for row in rows if row[0] <= last]
        return self._sound(rows), events, max(cursor, last)

    def last_id(self, db: sqlite3.Connection) -> int:
        """Return the highest id given to a committed row (0: none)."""
        row = db.execute("select value from meta where key = 'next_id'").fetchone()
        return 0 if row is None else int(row[0]) - 1

    def changes_after(self, cursor: int, limit: int, up_to: int | None) -> tuple[list[Change], int]:
        """Return arrivals with an id above `cursor`, at most `limit`, and the next cursor."""
        with self.connection() as db:
            last = self.last_id(db)
            if cursor > last:  # another file than the one the cursor was made for
                cursor = 0
            if up_to is not None:
                last = min(last, up_to)
            rows = db.execute(
                "select id, asset, ts, received from reading where id > ? and id <= ? "
                "order by id limit ?",
                (cursor, last, limit),
            ).fetchall()
            items = []
            for _, asset_id, ts_ms, received_ms in rows:
                asset = self.asset_path(db, asset_id)
                if asset is not None:
                    items.append(Change(asset, ts_ms, received_ms))
        return items, rows[-1][0] if len(rows) == limit else max(cursor, last)

    # -- events -----------------------------------------------------------------------------

    def events(
        self, start_ms: int, stop_ms: int, asset: AssetPath | None, kinds: Iterable[str] | None
    ) -> list[tuple[int, Event]]:
        """Return (received, event) of a time range."""
        where, values = "where ts >= ? and ts < ?", [start_ms, stop_ms]
        arguments: list[int | str] = list(values)
        if asset is not None:
            where += " and asset = (select id from asset where path = ?)"
            arguments.append(str(asset))
        if kinds is not None:
            wanted = list(kinds)
            where += f" and kind in ({','.join('?' * len(wanted))})"
            arguments += wanted
        with self.connection() as db:
            rows = db.execute(_EVENT + where, arguments).fetchall()
            return [found for row in rows if (found := self.event(db, row)) is not None]

    def event(self, db: sqlite3.Connection, row: Any) -> tuple[int, Event] | None:
        """Return (received, event) of a row; None, and a report, when it is damaged."""
        try:
            if schema.event_crc(*row[:9]) == row[9]:
                asset, run = self.asset_path(db, row[1]), self.run(db, row[7])
                if asset is not None and run is not None:
                    ts_ms, kind, mode, key = row[2:6]
                    event = event_from_row(asset, ts_ms, kind, mode, key, row[8], run[0], run[1])
                    return row[6], event
        except (*_NOT_A_ROW, AttributeError):
            pass  # a flipped bit may change a column's type
        self._report(1)
        return None


def sound_readings(rows: list[Any]) -> list[Any]:
    """Return the rows of the table `reading` whose checksum holds."""
    crc32, head = zlib.crc32, schema.READING_HEAD
    try:
        # schema.reading_crc, written out: a call for each row would take half as long again.
        return [row for row in rows if crc32(row[7], crc32(head(*row[:7]))) == row[8]]
    except _NOT_A_ROW:  # a flipped bit may change a column's type
        return [row for row in rows if _holds(row)]


def _holds(row: Any) -> bool:
    try:
        return bool(schema.reading_crc(*row[:8]) == row[8])
    except _NOT_A_ROW:
        return False

"""From readings and events to the journal's rows: names become numbers, values bytes, all of it a checksum.

Names are interned inside the caller's transaction; after one that failed, `forget` what was learnt in it.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from struct import Struct
from typing import Any, NamedTuple

import orjson

from plant.asset import AssetPath
from plant.event import Event
from plant.reading import Reading
from store import schema
from store.columns import Columns, Sample

Row = tuple[Any, ...]
INSERT_READING = "insert or ignore into reading values(?,?,?,?,?,?,?,?,?)"
#: Rows of one statement: a statement per row costs half as much again.
_ROWS_AT_ONCE = 100
_INSERT_READINGS = INSERT_READING + ",(?,?,?,?,?,?,?,?,?)" * (_ROWS_AT_ONCE - 1)
#: Names kept in memory: a hostile publisher could invent them for ever.
_MOST_NAMES = 100_000


class _SignalSet(NamedTuple):
    """How readings that carry their signals in one given order are packed."""

    id: int
    pack: Callable[..., bytes]
    pick: Callable[[Any], tuple[float, ...]] | None  # None: the names are sorted already


class RowMaker:
    """Makes rows for one connection; its caches hold what that connection's journal has interned."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Drop what is cached: the transaction that interned it may have been rolled back."""
        self._assets: dict[AssetPath, int] = {}
        # The paths above by identity, which is quicker; they are kept, so that no other gets their id.
        self._same: dict[int, tuple[int, AssetPath]] = {}
        self._sets: dict[tuple[str, ...], _SignalSet] = {}
        self._runs: dict[tuple[bool, str], int] = {}

    def readings(
        self,
        db: sqlite3.Connection,
        readings: Sequence[Reading | Sample | Columns],
        first_id: int,
        received_ms: int,
    ) -> list[Row]:
        """Return rows of the table `reading` with ids from `first_id` on."""
        rows: list[Row] = []
        singles: list[Reading | Sample] = []
        for item in readings:
            if isinstance(item, Columns):
                rows += self._single(db, singles, first_id + len(rows), received_ms)
                singles = []
                rows += self._columns(db, item, first_id + len(rows))
            else:
                singles.append(item)
        return rows + self._single(db, singles, first_id + len(rows), received_ms)

    def _columns(self, db: sqlite3.Connection, columns: Columns, first_id: int) -> list[Row]:
        from store.encode_columns import rows_of  # noqa: PLC0415 - numba: who has columns has loaded it

        return rows_of(
            columns,
            first_id,
            lambda path: self._asset_id(db, path),
            lambda names: (self._sets.get(names) or self._signal_set(db, names)).id,
        )

    def _single(
        self,
        db: sqlite3.Connection,
        readings: Sequence[Reading | Sample],
        first_id: int,
        received_ms: int,
    ) -> list[Row]:
        rows = []
        same, sets = self._same, self._sets
        crc32, head = zlib.crc32, schema.READING_HEAD
        for row_id, reading in enumerate(readings, first_id):
            path, values = reading.asset, reading.values
            known = same.get(id(path))
            asset = known[0] if known is not None else self._asset_id(db, path)
            names = tuple(values)
            signals = sets.get(names) or self._signal_set(db, names)
            numbers = signals.pick(values) if signals.pick else values.values()
            vals = bytearray(signals.pack(*numbers))  # not bytes: see encode_columns.rows_of
            seq = schema.NO_SEQ if reading.seq is None else reading.seq
            received = received_ms if reading.received_ms is None else reading.received_ms
            run = 0
            if reading.simulated or reading.run_id:
                run = self._run_id(db, reading.simulated, reading.run_id)
            ts = reading.ts_ms
            set_id = signals.id
            # schema.reading_crc, written out: a call for each row would take as long.
            crc = crc32(vals, crc32(head(row_id, asset, ts, set_id, seq, received, run)))
            rows.append((row_id, asset, ts, set_id, seq, received, run, vals, crc))
        return rows

    def events(
        self, db: sqlite3.Connection, events: Sequence[Event], first_id: int, received_ms: int
    ) -> list[Row]:
        """Return rows of the table `event` with ids from `first_id` on."""
        rows = []
        for row_id, event in enumerate(events, first_id):
            asset = self._asset_id(db, event.asset)
            run = 0
            if event.simulated or event.run_id:
                run = self._run_id(db, event.simulated, event.run_id)
            head = (asset, event.ts_ms, event.kind, event.mode, event.key, received_ms, run)
            body = event_body(event)
            rows.append((row_id, *head, body, schema.event_crc(row_id, *head, body)))
        return rows

    def is_stale(self, db: sqlite3.Connection, reading: Reading | Sample) -> bool:
        """Tell whether all signals of a retained reading are stored with a newer time already."""
        wanted = set(reading.values)
        covering = [
            set_id
            for set_id, names in db.execute("select id, names from signal_set")
            if wanted.issubset(schema.signal_set_names(names))
        ]
        asset = self._asset_id(db, reading.asset)
        marks = ",".join("?" * len(covering))
        sql = f"select 1 from reading where asset=? and ts>? and signals in ({marks}) limit 1"  # noqa: S608 - marks only
        return db.execute(sql, (asset, reading.ts_ms, *covering)).fetchone() is not None

    # -- interned names ---------------------------------------------------------------------

    def _asset_id(self, db: sqlite3.Connection, path: AssetPath) -> int:
        row_id = self._assets.get(path)
        if row_id is None:
            row_id = _intern(db, "asset", "path", str(path))
            if len(self._assets) >= _MOST_NAMES:
                self._assets.clear()
                self._same.clear()
            self._assets[path] = row_id
            self._same[id(path)] = (row_id, path)
        return row_id

    def _signal_set(self, db: sqlite3.Connection, names: tuple[str, ...]) -> _SignalSet:
        ordered = tuple(sorted(names))
        row_id = _intern(db, "signal_set", "names", schema.signal_set_text(ordered))
        pick = None if names == ordered else itemgetter(*ordered)
        found = _SignalSet(row_id, Struct(f"<{len(names)}d").pack, pick)
        if len(self._sets) >= _MOST_NAMES:
            self._sets.clear()
        self._sets[names] = found
        return found

    def _run_id(self, db: sqlite3.Connection, simulated: bool, run_id: str) -> int:
        key = (simulated, run_id)
        known = self._runs.get(key)
        if known is not None:
            return known
        found = db.execute(
            "select id from run where simulated=? and run_id=?", (int(simulated), run_id)
        ).fetchone()
        if found is None:
            (row_id,) = db.execute("select coalesce(max(id), 0) + 1 from run").fetchone()
            crc = schema.run_crc(row_id, simulated, run_id)
            db.execute("insert into run values(?,?,?,?)", (row_id, int(simulated), run_id, crc))
        else:
            (row_id,) = found
        if len(self._runs) >= _MOST_NAMES:
            self._runs.clear()
        self._runs[key] = row_id
        return int(row_id)


def event_body(event: Event) -> str:
    """Write what the event table does not hold in columns of its own, as JSON."""
    return orjson.dumps(
        {
            "scope": list(event.scope),
            "planned": event.planned,
            "found": event.found,
            "duration_h": event.duration_h,
            "note": event.note,
            "who": event.who,
            "detail": dict(event.detail),
        },
        option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS,
    ).decode()


def event_from_row(
    asset: AssetPath,
    ts_ms: int,
    kind: str,
    mode: str,
    key: str,
    body: str,
    simulated: bool,
    run_id: str,
) -> Event:
    """Rebuild an event from its row."""
    rest = orjson.loads(body)
    return Event(
        asset=asset,
        ts_ms=ts_ms,
        kind=kind,
        mode=mode,
        scope=tuple(rest["scope"]),
        planned=rest["planned"],
        found=rest["found"],
        duration_h=rest["duration_h"],
        note=rest["note"],
        who=rest["who"],
        key=key,
        detail=rest["detail"],
        simulated=simulated,
        run_id=run_id,
    )


def _intern(db: sqlite3.Connection, table: str, column: str, text: str) -> int:
    found = db.execute(f"select id from {table} where {column}=?", (text,)).fetchone()  # noqa: S608 - our own names
    if found is not None:
        return int(found[0])
    (row_id,) = db.execute(f"select coalesce(max(id), 0) + 1 from {table}").fetchone()  # noqa: S608 - our own names
    db.execute(f"insert into {table} values(?,?,?)", (row_id, text, schema.name_crc(row_id, text)))
    return int(row_id)


def insert_readings(db: sqlite3.Connection, rows: Sequence[Row]) -> int:
    """Insert the rows whose key is not there yet; return how many."""
    new, whole = 0, len(rows) - len(rows) % _ROWS_AT_ONCE
    for at in range(0, whole, _ROWS_AT_ONCE):
        values = list(chain.from_iterable(rows[at : at + _ROWS_AT_ONCE]))
        new += db.execute(_INSERT_READINGS, values).rowcount
    rest = rows[
        whole:
    ]  # after the others: the first of two with one key must be the first inserted
    return new + (db.executemany(INSERT_READING, rest).rowcount if rest else 0)


def ignored_rows(db: sqlite3.Connection, table: str, rows: Sequence[Row]) -> list[Row]:
    """Return the rows that an insert has left out."""
    there = {
        row_id
        for (row_id,) in db.execute(
            f"select id from {table} where id between ? and ?",  # noqa: S608 - our own table names
            (rows[0][0], rows[-1][0]),
        )
    }
    return [row for row in rows if row[0] not in there]

"""Taking every sound row out of a damaged journal."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from plant.asset import AssetPath
from plant.errors import VigieError
from plant.event import Event
from plant.reading import Reading
from store import schema
from store.columns import Columns, Sample
from store.journal import Batch, Journal
from store.journal_rows import event_from_row
from store.quarantine import Quarantined

_BATCH = 5_000
#: Ids are left out between the old journal's last and the new one's first, for what the mark missed.
_GAP = 1_000_000
_LAST_ID = 2**62
#: Unreadable places that are stepped over before a table is given up.
_MOST_HOLES = 10_000
_BAD = (TypeError, ValueError, OverflowError, AttributeError, struct.error, VigieError)


@dataclass(slots=True)
class Salvaged:
    """What was taken over."""

    readings: int = 0
    events: int = 0


def salvage(damaged: Path, journal: Journal, mark: int) -> Salvaged:
    """Copy sound readings, events and quarantined messages into `journal`, numbered after the old."""
    found = Salvaged()
    try:
        db = schema.connect(damaged, read_only=True)
    except sqlite3.Error:
        _begin_at(journal, mark + _GAP)
        return found
    try:
        names = _Names(db)
        _begin_at(journal, max(mark, _highest(db)) + _GAP)
        by_received: dict[int, list[Event]] = {}
        batch: list[Reading | Sample | Columns] = []
        for row in _rows(db, "reading"):
            reading = names.reading(row)
            if reading is not None:
                batch.append(reading)
                found.readings += 1
            if len(batch) >= _BATCH:
                journal.commit(Batch(batch))
                batch = []
        for row in _rows(db, "event"):
            event = names.event(row)
            if event is not None:
                by_received.setdefault(row[6], []).append(event)
                found.events += 1
        journal.commit(Batch(batch))
        for received_ms, events in by_received.items():
            journal.commit(Batch(events=events, received_ms=received_ms))
        _copy_quarantine(db, journal)
    finally:
        db.close()
    return found


def _begin_at(journal: Journal, next_id: int) -> None:
    """Let a new journal's numbers begin later."""
    db = schema.connect(journal.path)
    try:
        db.execute("update meta set value = max(value, ?) where key = 'next_id'", (next_id,))
    finally:
        db.close()


def _highest(db: sqlite3.Connection) -> int:
    highest = 0
    for query in (
        "select value from meta where key = 'next_id'",
        "select max(id) from reading not indexed",
        "select max(id) from event not indexed",
    ):
        try:
            row = db.execute(query).fetchone()
        except sqlite3.Error:
            continue
        if row and isinstance(row[0], int) and 0 < row[0] < _LAST_ID:
            highest = max(highest, row[0])
    return highest


def _rows(db: sqlite3.Connection, table: str) -> Iterator[Any]:
    """Yield the rows of a table in order of id, stepping over pages that cannot be read.

    A damaged tree may show rows twice, out of order or for ever: only rising ids are believed.
    """
    after = -1
    for _ in range(_MOST_HOLES):
        try:
            for row in db.execute(
                f"select * from {table} not indexed where id > ? order by id",  # noqa: S608 - our own names
                (after,),
            ):
                if not isinstance(row[0], int) or row[0] <= after:
                    break
                after = row[0]
                yield row
            else:
                return
        except sqlite3.Error:
            pass
        nearer = _next_readable(db, table, after)
        if nearer is None:
            return
        after = max(after + 1, nearer - 1)


def _next_readable(db: sqlite3.Connection, table: str, after: int) -> int | None:
    """Find an id above `after` where reading works again, by ever longer steps; None: nowhere."""
    step = 1
    while step < _LAST_ID and after + step < _LAST_ID:
        try:
            row = db.execute(
                f"select id from {table} not indexed where id > ? order by id limit 1",  # noqa: S608 - our own names
                (after + step,),
            ).fetchone()
        except sqlite3.Error:
            step *= 2
        else:
            return None if row is None else int(row[0])
    return None


class _Names:
    """The interned names whose checksums hold."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._assets: dict[int, AssetPath] = _read(
            db, "asset", lambda row: AssetPath.parse(row[1]), _name_holds
        )
        self._sets: dict[int, tuple[str, ...]] = _read(
            db,
            "signal_set",
            lambda row: schema.signal_set_names(row[1]),
            _name_holds,
        )
        self._runs: dict[int, tuple[bool, str]] = _read(
            db,
            "run",
            lambda row: (bool(row[1]), row[2]),
            lambda row: schema.run_crc(row[0], bool(row[1]), row[2]) == row[3],
        )
        self._runs[0] = (False, "")

    def reading(self, row: Any) -> Reading | None:
        """Return the reading of a row; None when anything about it is damaged."""
        try:
            if schema.reading_crc(*row[:8]) != row[8]:
                return None
            _, asset, ts_ms, signals, seq, received_ms, run, packed = row[:8]
            names = self._sets[signals]
            values = np.frombuffer(packed, dtype="<f8").tolist()
            simulated, run_id = self._runs[run]
            return Reading(
                self._assets[asset],
                ts_ms,
                dict(zip(names, values, strict=True)),
                seq=None if seq == schema.NO_SEQ else seq,
                received_ms=received_ms,
                simulated=simulated,
                run_id=run_id,
            )
        except (KeyError, *_BAD):
            return None

    def event(self, row: Any) -> Event | None:
        """Return the event of a row; None when anything about it is damaged."""
        try:
            if schema.event_crc(*row[:9]) != row[9]:
                return None
            _, asset, ts_ms, kind, mode, key, _, run, body = row[:9]
            simulated, run_id = self._runs[run]
            return event_from_row(
                self._assets[asset], ts_ms, kind, mode, key, body, simulated, run_id
            )
        except (KeyError, orjson.JSONDecodeError, *_BAD):
            return None


def _name_holds(row: Any) -> bool:
    return bool(schema.name_crc(row[0], row[1]) == row[2])


def _read(
    db: sqlite3.Connection,
    table: str,
    parse: Callable[[Any], Any],
    holds: Callable[[Any], bool],
) -> dict[int, Any]:
    found = {}
    for row in _rows(db, table):
        try:
            if holds(row):
                found[row[0]] = parse(row)
        except (orjson.JSONDecodeError, *_BAD):
            continue
    return found


def _copy_quarantine(db: sqlite3.Connection, journal: Journal) -> None:
    items = []
    for row in _rows(db, "quarantine"):
        try:
            _, received_ms, origin, topic, payload, size, reason, message = row
            items.append(
                Quarantined(
                    int(received_ms), bytes(topic), bytes(payload), str(reason), str(message),
                    str(origin), int(size),
                )
            )  # fmt: skip
        except _BAD:
            continue
    for at in range(0, len(items), _BATCH):
        journal.commit(Batch(quarantined=items[at : at + _BATCH]))

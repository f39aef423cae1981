"""Is a journal whole? If not: say so, set it aside, and keep every row whose checksum holds.

SQLite checks its structure and that indexes agree with tables (`integrity_check`); each row's CRC-32
finds flipped bits inside values; the mark beside the file (`.tail`) finds commits that are missing.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from plant.clock import Clock
from plant.errors import StoreError
from store import schema
from store.in_use import InUse
from store.journal import Journal
from store.journal_reader import sound_readings
from store.quarantine import BUDGET_BYTES
from store.salvage import salvage

#: A journal that another process is just making looks damaged for a moment.
_MAKING_S = 5.0
_MAKING_PAUSE_S = 0.05
_log = structlog.get_logger(__name__)
#: Journals up to this size are examined whole whenever they are opened: a third of a second on an idle
#: machine. Of larger ones the newest rows: a start must not take long, and these are what a crash can tear.
FULL_CHECK_BYTES = 16 << 20
_NEWEST_IDS = 20_000
_MOST_PROBLEMS = 20
_ROWS_AT_ONCE = 1_000
_DAMAGED_FOLDER = "damaged"
_NOT_A_ROW = (TypeError, ValueError, OverflowError, struct.error)


@dataclass(frozen=True, slots=True)
class Report:
    """What an examination found. Sound: no problem at all."""

    path: Path
    problems: tuple[str, ...]
    rows: int = 0

    @property
    def sound(self) -> bool:
        """Tell whether the journal can be trusted."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class Mended:
    """What became of a damaged journal: where it lies now, and what was taken over from it."""

    report: Report
    aside: Path
    readings: int
    events: int


def examine(path: Path) -> Report:
    """Read a whole journal and check it, beside its writer; never changes anything."""
    problems: list[str] = []
    rows = 0
    try:
        db = schema.connect(path, read_only=True)
    except sqlite3.Error as error:
        return Report(path, (f"it cannot be opened: {error}",))
    try:
        for (line,) in db.execute(f"pragma integrity_check({_MOST_PROBLEMS})"):
            if line != "ok":
                problems += str(line).splitlines()
        if not problems:  # a damaged tree need not be walked: it may not even end
            for problem, count in _row_problems(db):
                rows += count
                if problem:
                    problems.append(problem)
            problems += _sequence_problems(db, path)
    except sqlite3.Error as error:
        problems.append(str(error))
    finally:
        db.close()
    return Report(path, tuple(problems[:_MOST_PROBLEMS]), rows)


def _row_problems(db: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    """Yield (problem or empty, rows looked at)."""
    checks: dict[str, Any] = {
        "asset": lambda row: schema.name_crc(row[0], row[1]) == row[2],
        "signal_set": lambda row: schema.name_crc(row[0], row[1]) == row[2],
        "run": lambda row: schema.run_crc(row[0], bool(row[1]), row[2]) == row[3],
        "event": lambda row: schema.event_crc(*row[:9]) == row[9],
    }
    for table, holds in checks.items():
        count = damaged = 0
        # Not by an index: the table itself is what is checked.
        for row in db.execute(f"select * from {table} not indexed"):  # noqa: S608 - our own names
            count += 1
            try:
                damaged += not holds(row)
            except _NOT_A_ROW:  # a flipped bit may change a column's type
                damaged += 1
        yield (f"{damaged} rows of {table} are damaged" if damaged else ""), count
    count = damaged = 0
    readings = db.execute("select * from reading not indexed")
    while rows := readings.fetchmany(_ROWS_AT_ONCE):
        count += len(rows)
        damaged += len(rows) - len(sound_readings(rows))
    yield (f"{damaged} rows of reading are damaged" if damaged else ""), count
    for table, column, target in (
        ("reading", "asset", "asset"),
        ("reading", "signals", "signal_set"),
        ("event", "asset", "asset"),
    ):
        (orphans,) = db.execute(
            f"select count(*) from (select distinct {column} as id from {table}) "  # noqa: S608 - our own names
            f"where id not in (select id from {target})"
        ).fetchone()
        yield (f"{table} refers to {orphans} missing rows of {target}" if orphans else ""), 0


def _sequence_problems(db: sqlite3.Connection, path: Path) -> Iterator[str]:
    # The sequence is read last: a writer beside us may move it on at any moment.
    mark = schema.read_tail(path)
    (highest,) = db.execute(
        "select max((select coalesce(max(id), 0) from reading not indexed),"
        " (select coalesce(max(id), 0) from event not indexed))"
    ).fetchone()
    meta = dict(db.execute("select key, value from meta"))
    if meta.get("schema_version") != schema.SCHEMA_VERSION:
        yield f"its version is {meta.get('schema_version')!r}, not {schema.SCHEMA_VERSION}"
    next_id = meta.get("next_id")
    if not isinstance(next_id, int):
        yield "its sequence is missing"
        return
    if highest >= next_id:
        yield f"its sequence ({next_id}) is behind its rows ({highest})"
    if mark is not None and mark > next_id:
        yield f"its last {mark - next_id} entries are missing"
    if mark is None and next_id > 1:
        with contextlib.suppress(OSError):
            if schema.tail_path(path).stat().st_size > 0:
                yield "the mark of its last commit is damaged, so commits may be missing"


def set_aside(path: Path, now_ms: int) -> Path:
    """Move a journal and all that belongs to it to `damaged/`; return its new place. Raises StoreError."""
    folder = path.parent / _DAMAGED_FOLDER
    try:
        folder.mkdir(exist_ok=True)
        target, number = folder / f"{path.stem}-{now_ms}.db", 0
        while target.exists():
            number += 1
            target = folder / f"{path.stem}-{now_ms}-{number}.db"
        for suffix in ("", "-wal", "-shm", ".tail"):
            source = path.with_name(path.name + suffix)
            if source.exists():
                os.replace(source, target.with_name(target.name + suffix))
    except OSError as error:
        raise StoreError(
            f"the damaged journal {path} cannot be set aside ({error.strerror}).",
            fix=f"Move it away from {path.parent} by hand.",
        ) from error
    return target


def mend(path: Path, clock: Clock, report: Report | None = None) -> Mended:
    """Set a damaged journal aside and begin a new one with every row that is sound.

    Numbering goes on behind the old one, so that forwarder and feature job read the rows again
    (which changes nothing that they have) and miss none. Nobody else may be writing it.
    """
    report = report or examine(path)
    mark = schema.read_tail(path) or 1
    aside = set_aside(path, clock.now_ms())
    _log.error("journal.damaged", path=str(path), aside=str(aside), problems=report.problems)
    journal = Journal(path)
    try:
        found = salvage(aside, journal, mark)
    finally:
        journal.close()
    _log.warning("journal.mended", path=str(path), readings=found.readings, events=found.events)
    return Mended(report, aside, found.readings, found.events)


def open_journal(
    path: Path,
    clock: Clock,
    *,
    quarantine_budget_bytes: int = BUDGET_BYTES,
    full_check_bytes: int = FULL_CHECK_BYTES,
) -> Journal:
    """Open a journal for writing; one that is damaged is mended first, and that is logged.

    Of a journal beyond `full_check_bytes` only the newest rows are examined, and the whole when they are not
    sound or it does not open; `vigie doctor` examines any. Raises StoreError when it cannot be opened, or
    is damaged and in use by another.
    """
    lock = InUse(path)
    deadline = time.monotonic() + _MAKING_S
    try:
        while True:
            try:
                return _open_sound(path, clock, quarantine_budget_bytes, full_check_bytes, lock)
            except _BusyError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_MAKING_PAUSE_S)  # somebody else may just be making it
    except BaseException:
        lock.release()
        raise


def _open_sound(
    path: Path, clock: Clock, budget_bytes: int, full_check_bytes: int, lock: InUse
) -> Journal:
    size = _size(path)
    if _left_behind(path) or 0 < size <= full_check_bytes or (size and _newest_damaged(path)):
        report = examine(path)
        if not report.sound:
            _mend_alone(path, clock, report, lock)
    try:
        return _HeldJournal(path, budget_bytes, lock)
    except StoreError as error:
        report = examine(path)
        if report.sound:  # not damage: permissions, a full disk, or somebody is just making it
            if "locked" in str(error.__cause__):
                raise _BusyError(error.message, fix=error.fix) from error
            raise
        _mend_alone(path, clock, report, lock)
        return _HeldJournal(path, budget_bytes, lock)


class _BusyError(StoreError):
    """Another process has the journal open, and it is not ready or looks damaged."""


class _HeldJournal(Journal):
    """A journal that says it is in use until it is closed."""

    def __init__(self, path: Path, quarantine_budget_bytes: int, lock: InUse) -> None:
        super().__init__(path, quarantine_budget_bytes=quarantine_budget_bytes)
        self._in_use = lock

    def close(self) -> None:
        """Fold the log back, close, and let others mend it."""
        super().close()
        self._in_use.release()


def _mend_alone(path: Path, clock: Clock, report: Report, lock: InUse) -> None:
    with lock.alone() as alone:
        if not alone:
            raise _BusyError(
                f"the journal {path} is damaged ({report.problems[0]}) and in use by another process.",
                fix="Stop every Vigie on this data folder, and start one again: it mends it.",
            )
        mend(path, clock, report)


def examine_all(data_dir: Path) -> list[Report]:
    """Examine every journal below a data folder, beside whoever writes it."""
    return [examine(path) for path in schema.journal_files(data_dir)]


def _newest_damaged(path: Path) -> bool:
    """Tell whether the newest readings cannot be read, or not all of them are sound."""
    try:
        db = schema.connect(path, read_only=True)
        try:
            (next_id,) = db.execute("select value from meta where key='next_id'").fetchone()
            query = "select * from reading not indexed where id >= ?"
            rows = db.execute(query, (next_id - _NEWEST_IDS,)).fetchall()
        finally:
            db.close()
    except (sqlite3.Error, TypeError):  # TypeError: there is no next_id
        return True
    return len(sound_readings(rows)) != len(rows)


def _left_behind(path: Path) -> bool:
    """Tell whether the file is gone or empty though its mark says that it held something."""
    mark = schema.read_tail(path)
    return mark is not None and mark > 1 and _size(path) == 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0

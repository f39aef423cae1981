"""The journal's file: tables, row layout and checksums, for whoever writes or reads it.

One SQLite file per ingest process, `<data_dir>/journal/<name>.db`, in WAL mode. Every reading and
event gets an id from one rising sequence (`meta.next_id`), so the id is a cursor for forwarding and
for the feature job. A corrected (conflicting) row is written again under a new id; ids may have gaps.

A reading's `vals` is the packed little-endian float64 values in the order of its signal set's
names (sorted), so `numpy.frombuffer(vals, "<f8")` reads it; rows of one signal set stack by joining.

Each row carries a CRC-32 over its own content, so a flipped bit that SQLite itself would not notice
is found by whoever reads the row. The file beside it, `<name>.db.tail`, holds the last `next_id`
written (without fsync): when it is ahead of the database, committed rows are missing from the file.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterable
from pathlib import Path
from struct import Struct
from struct import error as struct_error

import orjson

SCHEMA_VERSION = 1
JOURNAL_FOLDER = "journal"
NO_SEQ = -1

TABLES = (
    "create table if not exists meta(key text primary key, value) without rowid",
    # Interned names: a reading refers to them by number.
    "create table if not exists asset(id integer primary key, path text not null unique, crc int)",
    "create table if not exists signal_set("
    "id integer primary key, names text not null unique, crc int)",  # JSON array, sorted
    "create table if not exists run("
    "id integer primary key, simulated int, run_id text, crc int, unique(simulated, run_id))",
    "create table if not exists reading(id integer primary key, asset int, ts int, signals int,"
    " seq int, received int, run int, vals blob, crc int)",
    "create unique index if not exists reading_key on reading(asset, ts, signals, seq)",
    "create table if not exists event(id integer primary key, asset int, ts int, kind text,"
    " mode text, key text, received int, run int, body text, crc int)",
    "create unique index if not exists event_key on event(asset, ts, kind, mode, key)",
    "create index if not exists event_time on event(ts)",
    # How many rows were replaced or pruned: tells a reader when its counts must be taken anew.
    "insert or ignore into meta values('removed', 0)",
    "create trigger if not exists reading_removed after delete on reading"
    " begin update meta set value = value + 1 where key = 'removed'; end",
    # What could not be read, byte for byte; `origin` tells MQTT from a store that refused a point.
    "create table if not exists quarantine(id integer primary key autoincrement, received int,"
    " origin text, topic blob, payload blob, size int, reason text, message text)",
    "create index if not exists quarantine_reason on quarantine(reason)",
    # Counts survive a purge: they say what has happened since the journal began.
    "create table if not exists quarantine_count(reason text primary key, n int) without rowid",
)

#: Packs what a reading's checksum covers before its values.
READING_HEAD = Struct("<7q").pack
_EVENT_HEAD = Struct("<5q")
_TAIL = Struct("<8sqI")
_TAIL_MAGIC = b"vigietl1"


def journal_path(data_dir: Path, name: str = "ingest-0") -> Path:
    """Where the journal called `name` lives below the data folder."""
    return data_dir / JOURNAL_FOLDER / f"{name}.db"


def journal_files(data_dir: Path) -> list[Path]:
    """Return the journals of every ingest process that ever ran on this data folder."""
    return sorted((data_dir / JOURNAL_FOLDER).glob("*.db"))


def reading_crc(
    row_id: int, asset: int, ts: int, signals: int, seq: int, received: int, run: int, vals: bytes
) -> int:
    """Return the checksum stored in `reading.crc`."""
    return zlib.crc32(
        vals, zlib.crc32(READING_HEAD(row_id, asset, ts, signals, seq, received, run))
    )


def event_crc(
    row_id: int,
    asset: int,
    ts: int,
    kind: str,
    mode: str,
    key: str,
    received: int,
    run: int,
    body: str,
) -> int:
    """Return the checksum stored in `event.crc`."""
    head = _EVENT_HEAD.pack(row_id, asset, ts, received, run)
    return zlib.crc32("\0".join((kind, mode, key, body)).encode(), zlib.crc32(head))


def name_crc(row_id: int, text: str) -> int:
    """Return the checksum of an interned name (`asset`, `signal_set`)."""
    return zlib.crc32(f"{row_id}:{text}".encode())


def run_crc(row_id: int, simulated: bool, run_id: str) -> int:
    """Return the checksum stored in `run.crc`."""
    return zlib.crc32(f"{row_id}:{int(simulated)}:{run_id}".encode())


def signal_set_text(names: Iterable[str]) -> str:
    """Write a signal set as it is interned: a JSON array of the sorted names."""
    return orjson.dumps(sorted(names)).decode()


def signal_set_names(text: str) -> tuple[str, ...]:
    """Read an interned signal set."""
    return tuple(orjson.loads(text))


def tail_path(journal: Path) -> Path:
    """Where the mark of the last committed id lies."""
    return journal.with_name(journal.name + ".tail")


def pack_tail(next_id: int) -> bytes:
    """Write the mark: a magic, the next free id, a checksum."""
    return _TAIL.pack(_TAIL_MAGIC, next_id, zlib.crc32(next_id.to_bytes(8, "little")))


def read_tail(journal: Path) -> int | None:
    """Return the next free id at the last commit; None when there is no readable mark."""
    try:
        magic, next_id, crc = _TAIL.unpack(tail_path(journal).read_bytes())
    except (OSError, struct_error):
        return None
    sound = (
        magic == _TAIL_MAGIC and next_id > 0 and crc == zlib.crc32(next_id.to_bytes(8, "little"))
    )
    return int(next_id) if sound else None


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open a journal file as it must be opened; raises sqlite3.Error.

    A commit of the returned writer is on the disk when it returns. A reader sees one moment per
    statement and must not keep a transaction open: the log file could not be folded back.
    """
    if read_only:
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            timeout=10.0,
            check_same_thread=False,
        )
        db.execute("pragma query_only=on")
        return db
    db = sqlite3.connect(path, isolation_level=None, timeout=10.0, check_same_thread=False)
    try:
        db.execute("pragma journal_mode=wal")
        db.execute("pragma synchronous=full")
        db.execute("pragma wal_autocheckpoint=2000")  # 8 MB: fewer rewrites of hot index pages
        db.execute("pragma journal_size_limit=33554432")
        db.execute("pragma cache_size=-32768")
        db.execute("pragma temp_store=memory")
    except BaseException:
        db.close()
        raise
    return db


def create(db: sqlite3.Connection) -> None:
    """Create what is missing and check the version. Raises sqlite3.Error."""
    db.execute("begin immediate")
    try:
        for statement in TABLES:
            db.execute(statement)
        db.execute("insert or ignore into meta values('schema_version', ?)", (SCHEMA_VERSION,))
        db.execute("insert or ignore into meta values('next_id', 1)")
        db.execute("commit")
    except BaseException:
        if db.in_transaction:
            db.execute("rollback")
        raise


def write_tail(fd: int, next_id: int) -> None:
    """Overwrite the mark in place; not synced, for it may lag but must never lead."""
    os.pwrite(fd, pack_tail(next_id), 0)

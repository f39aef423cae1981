"""What could not be read: kept byte for byte with its reason, counted, listed, replayed, purged.

Messages refused by ingest are written by the journal in the transaction that stores the good ones,
so they are as durable; points refused by InfluxDB are added by the forwarder through `Quarantine`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plant.errors import StoreError
from store.schema import connect, create

#: Most bytes of one payload that are kept; `size` tells the true length.
KEEP_BYTES = 1 << 20
#: Most bytes of payloads kept in one journal: poison must not fill the disk. The oldest go first.
BUDGET_BYTES = 1 << 30

INSERT = (
    "insert into quarantine(received, origin, topic, payload, size, reason, message)"
    " values(?,?,?,?,?,?,?)"
)
COUNT = (
    "insert into quarantine_count values(?,?) on conflict(reason) do update set n = n + excluded.n"
)
_COLUMNS = "id, received, origin, topic, payload, size, reason, message"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One refused message. `topic` is bytes because a hostile one need not be UTF-8.

    `reason` is a short stable code, `message` a sentence. `origin` is `mqtt` or `influx`.
    """

    received_ms: int
    topic: bytes
    payload: bytes
    reason: str
    message: str
    origin: str = "mqtt"
    size: int = -1
    id: int = 0

    @property
    def complete(self) -> bool:
        """Tell whether the payload was kept whole (it can be replayed)."""
        return self.size in {-1, len(self.payload)}

    @property
    def topic_text(self) -> str:
        """The topic for people; undecodable bytes are shown escaped."""
        return self.topic.decode("utf-8", "backslashreplace")


def insert(db: sqlite3.Connection, items: Sequence[Quarantined]) -> None:
    """Write inside the caller's transaction: rows and counts."""
    db.executemany(
        INSERT,
        [
            (
                item.received_ms,
                item.origin,
                item.topic,
                item.payload[:KEEP_BYTES],
                len(item.payload) if item.size < 0 else item.size,
                item.reason,
                item.message[:500].encode("utf-8", "backslashreplace").decode(),
            )
            for item in items
        ],
    )
    counts: dict[str, int] = {}
    for item in items:
        counts[item.reason] = counts.get(item.reason, 0) + 1
    db.executemany(COUNT, counts.items())


def trim(db: sqlite3.Connection, budget_bytes: int = BUDGET_BYTES) -> int:
    """Drop the oldest rows beyond the budget, inside the caller's transaction; return how many."""
    kept = 0
    for row_id, size in db.execute(
        "select id, length(payload) + 200 from quarantine order by id desc"
    ):
        kept += size
        if kept > budget_bytes:
            return db.execute("delete from quarantine where id <= ?", (row_id,)).rowcount
    return 0


class Quarantine:
    """The quarantine of one journal file, for the forwarder and the command line.

    Opens its own connection per call, so it may be used from any thread beside a running ingest.
    Raises StoreError when the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, items: Sequence[Quarantined]) -> None:
        """Store durably and count; returns after the commit."""
        if not items:
            return
        with _Transaction(self.path) as db:
            insert(db, items)
            trim(db)

    def items(
        self, *, reason: str | None = None, after: int = 0, limit: int = 1_000
    ) -> list[Quarantined]:
        """Return refused messages in order of arrival, those with an id above `after`."""
        where = "id > ?" + ("" if reason is None else " and reason = ?")
        arguments = [after, *([] if reason is None else [reason]), limit]
        rows = self._read(
            f"select {_COLUMNS} from quarantine where {where} order by id limit ?",  # noqa: S608 - constants
            arguments,
        )
        return [_item(row) for row in rows]

    def get(self, item_id: int) -> Quarantined | None:
        """Return one refused message, None when there is no such number."""
        rows = self._read(f"select {_COLUMNS} from quarantine where id = ?", [item_id])  # noqa: S608 - constants
        return _item(rows[0]) if rows else None

    def waiting(self) -> dict[str, int]:
        """Return how many messages lie in quarantine now, by reason."""
        return dict(self._read("select reason, count(*) from quarantine group by reason", []))

    def counts(self) -> dict[str, int]:
        """Return how many messages were ever refused, by reason; purging does not lower it."""
        return dict(self._read("select reason, n from quarantine_count order by reason", []))

    def remove(self, ids: Iterable[int]) -> int:
        """Remove messages by number (they were replayed, or are not wanted); return how many."""
        with _Transaction(self.path) as db:
            return db.executemany(
                "delete from quarantine where id = ?", [(item_id,) for item_id in ids]
            ).rowcount

    def purge(self, *, reason: str | None = None, before_ms: int | None = None) -> int:
        """Remove messages of one reason or all, received before a moment or ever; return how many."""
        with _Transaction(self.path) as db:
            return db.execute(
                "delete from quarantine where (?1 is null or reason = ?1)"
                " and (?2 is null or received < ?2)",
                (reason, before_ms),
            ).rowcount

    def _read(self, sql: str, arguments: Sequence[object]) -> list[tuple[Any, ...]]:
        if not self.path.exists():
            return []
        try:
            db = connect(self.path, read_only=True)
            try:
                return db.execute(sql, arguments).fetchall()
            finally:
                db.close()
        except sqlite3.Error as error:
            raise _store_error(self.path, error) from error


class _Transaction:
    """One durable transaction on a connection of its own; sqlite3 errors become StoreError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._db = connect(self._path)
            create(self._db)
            self._db.execute("begin immediate")
        except sqlite3.Error as error:
            self._close()
            raise _store_error(self._path, error) from error
        return self._db

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        try:
            if kind is None and self._db is not None:
                self._db.execute("commit")
        except sqlite3.Error as problem:
            raise _store_error(self._path, problem) from problem
        finally:
            self._close()
        if isinstance(error, sqlite3.Error):
            raise _store_error(self._path, error) from error

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()  # an open transaction is rolled back
            self._db = None


def _store_error(path: Path, error: sqlite3.Error) -> StoreError:
    return StoreError(
        f"the quarantine in {path} cannot be used ({error}).",
        fix="Check the disk's space and the file's permissions.",
    )


def _item(row: tuple[Any, ...]) -> Quarantined:
    item_id, received, origin, topic, payload, size, reason, message = row
    return Quarantined(received, topic, payload, reason, message, origin, size, item_id)

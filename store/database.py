"""How Vigie opens its own SQLite files: durable, shared between processes, errors in plain words."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from plant.errors import StoreError

Synchronous = Literal["FULL", "NORMAL"]
BUSY_MS = 15_000
_CACHE_KIB = 16_384


def connect(
    file: Path, *, read_only: bool = False, synchronous: Synchronous = "FULL"
) -> sqlite3.Connection:
    """Open a database in WAL mode. Raises StoreError when it cannot be.

    FULL: a commit survives a power cut. NORMAL: it may be undone by one, but never torn.
    """
    with plain_errors(file):
        try:
            if not read_only:
                file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the folder {file.parent} cannot be made ({error.strerror}).",
                fix="Mend data_dir in vigie.toml, or the folder's permissions.",
            ) from error
        connection = sqlite3.connect(
            f"{file.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}",
            uri=True,
            timeout=BUSY_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            if not read_only:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(f"PRAGMA synchronous={synchronous}")
            connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection


@contextmanager
def plain_errors(file: Path) -> Iterator[None]:
    """Turn SQLite's complaints about `file` into a StoreError that says what to mend."""
    try:
        yield
    except sqlite3.Error as error:
        raise store_error(file, error) from error


def store_error(file: Path, error: sqlite3.Error) -> StoreError:
    """Return the StoreError for SQLite's complaint."""
    text = str(error)
    if "full" in text:
        return StoreError(
            f"the disk of {file} is full.",
            fix="Free space there; Vigie goes on by itself.",
        )
    if "readonly" in text or "unable to open" in text:
        return StoreError(
            f"{file} cannot be opened or written ({text}).",
            fix="Check data_dir in vigie.toml and the permissions of its files.",
        )
    if "malformed" in text or "not a database" in text:
        return StoreError(
            f"{file} is damaged ({text}).",
            fix="Restart Vigie: it sets a damaged journal aside and keeps what can be read; a damaged "
            "store.db must be moved away (`vigie features backfill` computes rollups again).",
        )
    if "locked" in text:
        return StoreError(
            f"{file} was locked by another process for {BUSY_MS // 1000} s.",
            fix="See which one holds it; a backup should use `VACUUM INTO`.",
        )
    return StoreError(f"{file} failed ({text}).", fix="Run `vigie doctor`.")


class Database:
    """One file: a writer shared by the threads of this process, and a reader for each of them."""

    def __init__(self, file: Path, schema: str, *, synchronous: Synchronous = "FULL") -> None:
        self.file = file
        self._lock = threading.RLock()
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._writer = connect(file, synchronous=synchronous)
        try:
            with self.write() as connection:
                for statement in schema.split(";"):
                    if statement.strip():
                        connection.execute(statement)
        except StoreError:
            self._writer.close()
            raise

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Hold one transaction: committed at the end, rolled back on any error."""
        with self._lock, plain_errors(self.file):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Lend this thread's own connection for reading."""
        with plain_errors(self.file):
            connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = connect(self.file, read_only=True)
                self._local.connection = connection
                with self._lock:
                    self._readers.append(connection)
            yield connection

    def close(self) -> None:
        """Close every connection, and empty the write-ahead log into the file."""
        with self._lock:
            for connection in (*self._readers, self._writer):
                connection.close()
            self._readers.clear()

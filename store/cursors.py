"""forward.db: how far each journal has gone to InfluxDB, durably."""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

import structlog

from plant.errors import StoreError
from store.database import Database

_log = structlog.get_logger(__name__)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS cursor (
    journal TEXT PRIMARY KEY, id INTEGER NOT NULL, forwarded INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0, expired INTEGER NOT NULL DEFAULT 0, crc INTEGER NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Position:
    """Of one journal: the last id that InfluxDB has, and what became of the messages so far."""

    id: int = 0
    forwarded: int = 0
    refused: int = 0
    expired: int = 0


class Cursors:
    """The positions of all journals; shared between processes."""

    def __init__(self, data_dir: Path) -> None:
        # A position undone by a power cut means sending points again, which changes nothing:
        # cheaper than waiting for the disk after each batch.
        self._database = Database(data_dir / "forward.db", _SCHEMA, synchronous="NORMAL")
        self._lock_file = data_dir / "forward.lock"

    def get(self, journal: str) -> Position:
        """Return the position of a journal (0 when it was never forwarded)."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT id, forwarded, refused, expired, crc FROM cursor WHERE journal = ?",
                (journal,),
            ).fetchone()
        if row is None:
            return Position()
        position = Position(*row[:4])
        if _crc(journal, position) != row[4]:
            # Too far a position would leave readings behind; sending them twice changes nothing.
            _log.error(
                "forward.cursor_damaged", journal=journal, fix="it starts from the beginning"
            )
            return Position()
        return position

    def set(self, journal: str, position: Position) -> None:
        """Store a position; a power cut may undo it, a crash of Vigie may not."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO cursor VALUES (?, ?, ?, ?, ?, ?)",
                (journal, *astuple(position), _crc(journal, position)),
            )

    @contextmanager
    def only_one(self) -> Iterator[bool]:
        """Try to be the one forwarder of this folder, among all processes and threads.

        Two at a time could let an old value overtake its correction.
        """
        try:
            handle = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StoreError(
                f"{self._lock_file} cannot be opened ({error.strerror}).",
                fix="Check the folder's permissions.",
            ) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(handle)

    def close(self) -> None:
        """Release the file."""
        self._database.close()


def _crc(journal: str, position: Position) -> int:
    return zlib.crc32(repr((journal, *astuple(position))).encode())

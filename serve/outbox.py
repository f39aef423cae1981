"""What the broker should hold: the latest payload of every retained topic, on disk.

MQTT libraries keep what is not yet acknowledged in memory, and a broker without persistence forgets
its retained messages when it restarts. Both are harmless here: the outbox survives a killed process,
and on every connection everything in it is sent again.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

from plant.errors import StoreError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
  topic   TEXT PRIMARY KEY,
  payload BLOB NOT NULL,      -- empty: the topic is being cleared at the broker
  version INTEGER NOT NULL    -- rises with every change; tells a late acknowledgement from the latest
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS outbox_version ON outbox (version);
"""


class Outbox:
    """A durable map from topic to payload. Safe to call from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            # A killed process loses nothing; after a power cut the newest risks are scored again.
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA busy_timeout=5000")
            self._db.executescript(_SCHEMA)
            row = self._db.execute("SELECT coalesce(max(version), 0) FROM outbox").fetchone()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"the outbox {path} cannot be opened ({error}).",
                fix="Check the folder's permissions; the file may be deleted, it fills up again.",
            ) from error
        self._version = int(row[0])

    def put_many(self, items: Iterable[tuple[str, bytes]]) -> list[str]:
        """Make these the latest payloads, in one transaction; return the topics that changed."""
        changed: list[str] = []
        with self._lock:
            self._begin()
            try:
                for topic, payload in items:
                    row = self._db.execute(
                        "SELECT payload FROM outbox WHERE topic = ?", (topic,)
                    ).fetchone()
                    if row is not None and row[0] == payload:
                        continue
                    self._version += 1
                    self._db.execute(
                        "INSERT INTO outbox VALUES (?, ?, ?) ON CONFLICT (topic)"
                        " DO UPDATE SET payload = excluded.payload, version = excluded.version",
                        (topic, payload, self._version),
                    )
                    changed.append(topic)
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        return changed

    def get(self, topic: str) -> tuple[bytes, int] | None:
        """Return the latest payload of a topic and its version; None when there is none."""
        with self._lock:
            row = self._db.execute(
                "SELECT payload, version FROM outbox WHERE topic = ?", (topic,)
            ).fetchone()
        return None if row is None else (bytes(row[0]), int(row[1]))

    def topics(self) -> list[str]:
        """Return every topic, the longest unchanged first."""
        with self._lock:
            rows = self._db.execute("SELECT topic FROM outbox ORDER BY version").fetchall()
        return [row[0] for row in rows]

    def forget(self, topic: str, version: int) -> None:
        """Drop a cleared topic once the broker has acknowledged that very version."""
        with self._lock:
            self._db.execute(
                "DELETE FROM outbox WHERE topic = ? AND version = ? AND length(payload) = 0",
                (topic, version),
            )

    def close(self) -> None:
        """Close the file; the outbox is not used afterwards."""
        with self._lock:
            self._db.close()

    def _begin(self) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise StoreError(
                f"the outbox {self._path} cannot be written ({error}).",
                fix="Check free space and permissions of the data folder.",
            ) from error

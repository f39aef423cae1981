"""Removing what expired, a little at a time, so that ingest is never kept waiting."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import structlog

from plant.clock import Clock
from plant.errors import StoreError
from plant.times import to_iso
from store import schema
from store.cursors import Cursors
from store.database import plain_errors
from store.history import History
from store.settings import StoreSettings
from store.sqlite import STORE_FILE

_log = structlog.get_logger(__name__)
#: Rows removed in one transaction, and the pause after it: ingest waits a few milliseconds.
_ROWS = 1_000
_PAUSE_S = 0.02


def prune(settings: StoreSettings, data_dir: Path, now_ms: int) -> dict[str, int]:
    """Remove what is older than the settings allow; return rows removed by kind. Raises StoreError.

    SQLite: readings, events, rollups and risks by their own time. InfluxDB: it expires readings,
    rollups and events by its buckets' rules; here the journal loses what was forwarded long ago,
    never anything InfluxDB has not got, and risks are deleted where they are kept shorter than events.
    """
    keep = settings.retention
    removed: dict[str, int] = {}
    if settings.kind == "influx":
        removed |= _prune_forwarded(data_dir, _limit(now_ms, keep.journal_ms))
        if keep.risks_ms is not None:
            _delete_risks(settings, now_ms - keep.risks_ms)
    else:
        removed |= _prune_journals(
            data_dir, _limit(now_ms, keep.readings_ms), _limit(now_ms, keep.events_ms)
        )
        if (data_dir / STORE_FILE).exists():
            history = History(data_dir / STORE_FILE)
            try:
                removed |= history.prune(
                    rollups_before_ms=_limit(now_ms, keep.rollups_ms),
                    risks_before_ms=_limit(now_ms, keep.risks_ms),
                )
            finally:
                history.close()
    if any(removed.values()):
        _log.info("retention.pruned", **removed)
    return removed


class Pruner:
    """Prunes in a thread of its own, every `retention.every`."""

    def __init__(self, settings: StoreSettings, data_dir: Path, clock: Clock) -> None:
        self._settings = settings
        self._data_dir = data_dir
        self._clock = clock
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; nothing happens where the settings say never."""
        every_ms = self._settings.retention.every_ms
        if self._thread is None and every_ms is not None:
            self._stopping.clear()
            self._thread = threading.Thread(
                target=self._run, args=(every_ms / 1000,), name="vigie-retention", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End after the round in progress."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self, every_s: float) -> None:
        while not self._stopping.wait(every_s):
            try:
                prune(self._settings, self._data_dir, self._clock.now_ms())
            except StoreError as error:  # a full disk, InfluxDB away: the next round tries again
                _log.error("retention.failed", error=str(error))


def _limit(now_ms: int, keep_ms: int | None) -> int | None:
    return None if keep_ms is None else now_ms - keep_ms


def _prune_journals(
    data_dir: Path, readings_before_ms: int | None, events_before_ms: int | None
) -> dict[str, int]:
    removed = {"readings": 0, "events": 0}
    for file in schema.journal_files(data_dir):
        with plain_errors(file):
            db = schema.connect(file)
            try:
                assets = [row[0] for row in db.execute("select id from asset")]
                for table, before_ms in (
                    ("reading", readings_before_ms),
                    ("event", events_before_ms),
                ):
                    for asset in assets if before_ms is not None else ():
                        removed[f"{table}s"] += _in_pieces(
                            db,
                            f"delete from {table} where id in (select id from {table} "  # noqa: S608 - our own names
                            "where asset = ? and ts < ? limit ?)",
                            (asset, before_ms),
                        )
            finally:
                db.close()
    return removed


def _prune_forwarded(data_dir: Path, before_ms: int | None) -> dict[str, int]:
    """Remove from the front of each journal what InfluxDB has and arrived before `before_ms`."""
    removed = {"readings": 0, "events": 0}
    if before_ms is None:
        return removed
    cursors = Cursors(data_dir)
    try:
        for file in schema.journal_files(data_dir):
            cursor = cursors.get(file.stem).id
            with plain_errors(file):
                db = schema.connect(file)
                try:
                    for table in ("reading", "event"):
                        # Arrival times rise with the id but for a clock set back: look at the
                        # front only, and stop at the first row that must stay.
                        removed[f"{table}s"] += _in_pieces(
                            db,
                            f"delete from {table} where id <= ?1 and id in (select id from "  # noqa: S608 - our own names
                            f"(select id, received from {table} order by id limit ?3) "
                            "where received < ?2)",
                            (cursor, before_ms),
                        )
                finally:
                    db.close()
    finally:
        cursors.close()
    return removed


def _in_pieces(db: sqlite3.Connection, statement: str, arguments: tuple[object, ...]) -> int:
    total = 0
    while True:
        count = db.execute(statement, (*arguments, _ROWS)).rowcount
        total += count
        if count < _ROWS:
            return total
        time.sleep(_PAUSE_S)


def _delete_risks(settings: StoreSettings, before_ms: int) -> None:
    from store.influx_client import InfluxConnection  # noqa: PLC0415 - the client takes a while to import

    connection = InfluxConnection(settings.influx)
    try:
        connection.api(
            "POST",
            "/api/v2/delete",
            {
                "start": "1678-01-01T00:00:00Z",
                "stop": to_iso(before_ms),
                "predicate": '_measurement="risk"',
            },
            query={"org": settings.influx.org, "bucket": settings.influx.bucket},
        )
    finally:
        connection.close()

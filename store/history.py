"""store.db: rollups and risks of the embedded store.

A rollup bucket is one row with its numbers as one blob (float64, signals by statistics); the names
stand once in `layout`. Measured against a row per value, that is what makes years readable.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from plant.asset import AssetPath
from plant.errors import StoreError
from plant.risk import Risk
from store.blocks import RollupPart, check_rollups, merge_rollups
from store.codec import decode_risk, encode_risk
from store.database import Database
from store.port import RollupBlock

_SCHEMA = """
CREATE TABLE IF NOT EXISTS asset (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS layout (
    id INTEGER PRIMARY KEY, signals TEXT NOT NULL, stats TEXT NOT NULL, UNIQUE (signals, stats)
);
CREATE TABLE IF NOT EXISTS rollup (
    asset INTEGER NOT NULL, bucket_ms INTEGER NOT NULL, start_ms INTEGER NOT NULL,
    layout INTEGER NOT NULL, numbers BLOB NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (asset, bucket_ms, start_ms)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS risk (
    asset INTEGER NOT NULL, ts_ms INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (asset, ts_ms)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS risk_by_time ON risk (ts_ms);
"""
_log = structlog.get_logger(__name__)
_PRUNE_ROWS = 2_000
_PRUNE_PAUSE_S = 0.02


class History:
    """Rollups and risks in one SQLite file, shared by all processes of this machine."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._database = Database(file, _SCHEMA)
        self._names_lock = threading.Lock()
        self._asset_ids: dict[str, int] = {}
        self._layouts: dict[int, tuple[tuple[str, ...], tuple[str, ...]]] = {}

    def write_rollups(self, block: RollupBlock) -> None:
        """Store rollups, replacing buckets that are there."""
        numbers = check_rollups(block)
        if not len(block.start_ms):
            return
        signals, stats = json.dumps(block.signals), json.dumps(block.stats)
        width = numbers[0].nbytes
        flat = numbers.tobytes()
        blobs = [flat[at : at + width] for at in range(0, len(flat), width)]
        with self._database.write() as connection:
            asset = _asset_id(connection, str(block.asset))
            connection.execute(
                "INSERT OR IGNORE INTO layout (signals, stats) VALUES (?, ?)", (signals, stats)
            )
            (layout,) = connection.execute(
                "SELECT id FROM layout WHERE signals = ? AND stats = ?", (signals, stats)
            ).fetchone()
            connection.executemany(
                "INSERT OR REPLACE INTO rollup VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (asset, block.bucket_ms, start, layout, blob, _crc(start, layout, blob))
                    for start, blob in zip(block.start_ms.tolist(), blobs, strict=True)
                ),
            )

    def read_rollups(
        self, asset: AssetPath, bucket_ms: int, start_ms: int, stop_ms: int
    ) -> RollupBlock:
        """Return the rollups whose bucket starts in the range."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT start_ms, layout, numbers, crc FROM rollup WHERE asset = "
                "(SELECT id FROM asset WHERE path = ?) AND bucket_ms = ? "
                "AND start_ms >= ? AND start_ms < ? ORDER BY start_ms",
                (str(asset), bucket_ms, start_ms, stop_ms),
            ).fetchall()
            rows = self._sound(rows)
            starts = np.array([row[0] for row in rows], dtype=np.int64)
            layout_ids = np.array([row[1] for row in rows], dtype=np.int64)
            parts: list[RollupPart] = []
            for layout in np.unique(layout_ids).tolist():
                chosen = np.flatnonzero(layout_ids == layout)
                signals, stats = self._layout(connection, layout)
                flat = np.frombuffer(b"".join(rows[at][2] for at in chosen), dtype="<f8")
                parts.append(
                    (chosen, signals, stats, flat.reshape(len(chosen), len(signals), len(stats)))
                )
        return merge_rollups(asset, bucket_ms, starts, parts)

    def write_risks(self, risks: Sequence[Risk]) -> None:
        """Store assessments with their curves, replacing those of the same asset and time."""
        rows = [
            (str(risk.asset), risk.ts_ms, zlib.compress(encode_risk(risk), 1)) for risk in risks
        ]
        with self._database.write() as connection:
            ids = {path: _asset_id(connection, path) for path in {row[0] for row in rows}}
            connection.executemany(
                "INSERT OR REPLACE INTO risk VALUES (?, ?, ?)",
                ((ids[path], ts_ms, body) for path, ts_ms, body in rows),
            )

    def read_risks(
        self, start_ms: int, stop_ms: int, *, asset: AssetPath | None = None
    ) -> list[Risk]:
        """Return assessments ascending in time, then asset."""
        query = (
            "SELECT body FROM risk JOIN asset ON asset.id = risk.asset "
            "WHERE ts_ms >= ? AND ts_ms < ?"
        )
        values: list[int | str] = [start_ms, stop_ms]
        if asset is not None:
            query += " AND risk.asset = (SELECT id FROM asset WHERE path = ?)"
            values.append(str(asset))
        with self._database.read() as connection:
            rows = connection.execute(query + " ORDER BY ts_ms, path", values).fetchall()
        return [_unpacked(body) for (body,) in rows]

    def latest_risks(self) -> list[Risk]:
        """Return the newest assessment of every asset, in path order."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT (SELECT body FROM risk WHERE risk.asset = asset.id "
                "ORDER BY ts_ms DESC LIMIT 1) AS body FROM asset WHERE body IS NOT NULL "
                "ORDER BY path"
            ).fetchall()
        return [_unpacked(body) for (body,) in rows]

    def prune(
        self,
        *,
        rollups_before_ms: int | None = None,
        risks_before_ms: int | None = None,
    ) -> dict[str, int]:
        """Remove what is older, a few thousand rows at a time with a pause, so that writers get in."""
        limits = {
            "rollup": ("start_ms", "asset, bucket_ms, start_ms", rollups_before_ms),
            "risk": ("ts_ms", "asset, ts_ms", risks_before_ms),
        }
        removed = {}
        for table, (column, key, before_ms) in limits.items():
            removed[f"{table}s"] = 0
            while before_ms is not None:
                with self._database.write() as connection:
                    count = connection.execute(
                        f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} "  # noqa: S608 - names from the table above
                        f"WHERE {column} < ? LIMIT {_PRUNE_ROWS})",
                        (before_ms,),
                    ).rowcount
                removed[f"{table}s"] += count
                if count < _PRUNE_ROWS:
                    break
                time.sleep(_PRUNE_PAUSE_S)
        return removed

    def check(self) -> None:
        """Raise StoreError when the file cannot be written."""
        with self._database.write() as connection:
            connection.execute("SELECT count(*) FROM layout").fetchone()

    def close(self) -> None:
        """Release the file."""
        self._database.close()

    def _sound(self, rows: list[Any]) -> list[Any]:
        """Return the rows whose checksum holds; a damaged bucket is left out, to be rolled up anew."""
        sound = [row for row in rows if _crc(*row[:3]) == row[3]]
        if len(sound) != len(rows):
            _log.error("store.damaged_rollups", path=str(self.file), rows=len(rows) - len(sound))
        return sound

    def _layout(
        self, connection: sqlite3.Connection, identity: int
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        with self._names_lock:
            if identity not in self._layouts:
                signals, stats = connection.execute(
                    "SELECT signals, stats FROM layout WHERE id = ?", (identity,)
                ).fetchone()
                self._layouts[identity] = (tuple(json.loads(signals)), tuple(json.loads(stats)))
            return self._layouts[identity]


def _asset_id(connection: sqlite3.Connection, path: str) -> int:
    connection.execute("INSERT OR IGNORE INTO asset (path) VALUES (?)", (path,))
    (identity,) = connection.execute("SELECT id FROM asset WHERE path = ?", (path,)).fetchone()
    return int(identity)


def _crc(start_ms: int, layout: int, numbers: bytes) -> int:
    return zlib.crc32(numbers, zlib.crc32(b"%d:%d" % (start_ms, layout)))


def _unpacked(body: bytes) -> Risk:
    try:
        return decode_risk(zlib.decompress(body))
    except zlib.error as error:
        raise StoreError(
            f"a stored risk is damaged ({error}).", fix="Restore store.db from its backup."
        ) from error

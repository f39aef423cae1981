"""Figures of a running ingest as its journals show them: no connection to the process is needed."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from plant.errors import StoreError
from store.schema import connect, journal_files


@dataclass(frozen=True, slots=True)
class Glance:
    """What the journals hold at a moment. `entries` ever written; the newest reading's two times."""

    at_ms: int
    journals: int = 0
    entries: int = 0
    assets: int = 0
    newest_ts_ms: int | None = None
    newest_received_ms: int | None = None
    rejected: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rates:
    """Two glances compared: per second, and how late."""

    entries_per_s: float
    rejected_per_s: float
    lag_ms: int | None
    silent_ms: int | None


def glance(data_dir: Path, now_ms: int) -> Glance:
    """Look at all journals of a data folder. Raises StoreError when one cannot be read."""
    entries, assets, rejected = 0, 0, Counter[str]()
    newest: tuple[int, int] | None = None
    files = journal_files(data_dir)
    for file in files:
        try:
            db = connect(file, read_only=True)
            try:
                (next_id,) = db.execute("select value from meta where key='next_id'").fetchone()
                entries += next_id - 1
                assets += db.execute("select count(*) from asset").fetchone()[0]
                row = db.execute(
                    "select received, ts from reading order by id desc limit 1"
                ).fetchone()
                newest = max(filter(None, (newest, row)), default=None)
                rejected.update(dict(db.execute("select reason, n from quarantine_count")))
            finally:
                db.close()
        except sqlite3.Error as error:
            raise StoreError(
                f"the journal {file} cannot be read ({error}).", fix="Run `vigie doctor`."
            ) from error
    return Glance(
        now_ms,
        len(files),
        entries,
        assets,
        newest[1] if newest else None,
        newest[0] if newest else None,
        dict(rejected),
    )


def rates(before: Glance, after: Glance) -> Rates:
    """Compare two glances."""
    seconds = max((after.at_ms - before.at_ms) / 1000, 1e-3)
    received, ts = after.newest_received_ms, after.newest_ts_ms
    return Rates(
        entries_per_s=(after.entries - before.entries) / seconds,
        rejected_per_s=(sum(after.rejected.values()) - sum(before.rejected.values())) / seconds,
        lag_ms=None if received is None or ts is None else received - ts,
        silent_ms=None if received is None else after.at_ms - received,
    )

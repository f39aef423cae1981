"""Which machines have sent readings: counted once, then kept up to date by what arrives."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from plant.asset import AssetPath
from store.port import SeenAsset


@dataclass(slots=True)
class Seen:
    """What one journal knows about one machine."""

    first_ms: int
    last_ms: int
    readings: int
    signals: set[str] = field(default_factory=set)
    last_run: tuple[int, bool, str] = (-1, False, "")


class Names(Protocol):
    """Resolves what a journal interned; None where the name is damaged."""

    def asset_path(self, db: sqlite3.Connection, row_id: int) -> AssetPath | None:
        """Return the machine."""
        ...

    def signals(self, db: sqlite3.Connection, row_id: int) -> tuple[str, ...] | None:
        """Return the names of a signal set."""
        ...

    def run(self, db: sqlite3.Connection, row_id: int) -> tuple[bool, str] | None:
        """Return (simulated, run id)."""
        ...


class SeenCounter:
    """Counts of one journal: the whole file once, later only new rows.

    When rows were replaced or pruned meanwhile (the journal counts that), it counts afresh.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_id = 0
        self._removed = -1
        self._table: dict[AssetPath, Seen] = {}

    def look(self, db: sqlite3.Connection, names: Names) -> dict[AssetPath, Seen]:
        """Return the counts as of now."""
        with self._lock:
            db.execute("begin")  # one moment for all statements
            try:
                self._update(db, names)
            finally:
                db.execute("commit")
            return dict(self._table)

    def _update(self, db: sqlite3.Connection, names: Names) -> None:
        meta = dict(db.execute("select key, value from meta where key in ('next_id', 'removed')"))
        last_id, removed = int(meta.get("next_id", 1)) - 1, int(meta.get("removed", 0))
        if removed != self._removed or last_id < self._last_id:
            self._table, self._last_id, self._removed = {}, 0, removed
        if last_id == self._last_id:
            return
        if self._last_id == 0:
            # The whole file: the index over asset, ts, signals answers without touching the rows.
            groups = db.execute(
                "select asset, signals, min(ts), max(ts), count(*), 0, 0 from reading "
                "indexed by reading_key group by asset, signals"
            ).fetchall()
        else:
            groups = db.execute(
                "select asset, signals, min(ts), max(ts), count(*), max(id), run from reading "
                "where id > ? and id <= ? group by asset, signals, run",
                (self._last_id, last_id),
            ).fetchall()
        whole = self._last_id == 0
        for asset_id, set_id, first_ms, last_ms, count, row_id, run_id in groups:
            asset = names.asset_path(db, asset_id)
            if asset is None:
                continue
            seen = self._table.setdefault(asset, Seen(first_ms, last_ms, 0))
            seen.first_ms = min(seen.first_ms, first_ms)
            seen.last_ms = max(seen.last_ms, last_ms)
            seen.readings += count
            seen.signals.update(names.signals(db, set_id) or ())
            if not whole and row_id > seen.last_run[0]:
                seen.last_run = (row_id, *(names.run(db, run_id) or (False, "")))
        if whole:
            self._last_runs(db, names)
        self._last_id = last_id

    def _last_runs(self, db: sqlite3.Connection, names: Names) -> None:
        """Take each machine's run from its newest reading."""
        for asset, seen in self._table.items():
            row = db.execute(
                "select id, run from reading where asset = (select id from asset where path = ?) "
                "and ts = ? order by id desc limit 1",
                (str(asset), seen.last_ms),
            ).fetchone()
            if row is not None:
                seen.last_run = (row[0], *(names.run(db, row[1]) or (False, "")))


def merge_seen(tables: Iterable[Mapping[AssetPath, Seen]]) -> list[SeenAsset]:
    """Put the counts of several journals together, in path order."""
    merged: dict[AssetPath, list[Seen]] = {}
    for table in tables:
        for asset, seen in table.items():
            merged.setdefault(asset, []).append(seen)
    result = []
    for asset, seens in sorted(merged.items()):
        newest = max(seens, key=lambda seen: seen.last_ms)
        result.append(
            SeenAsset(
                asset=asset,
                first_ms=min(seen.first_ms for seen in seens),
                last_ms=newest.last_ms,
                readings=sum(seen.readings for seen in seens),
                signals=tuple(sorted(set().union(*(seen.signals for seen in seens)))),
                simulated=newest.last_run[1],
                run_id=newest.last_run[2],
            )
        )
    return result

"""The alarms on disk: state and transitions in one transaction, delivered to the store's log after it.

Several processes may use the book at once (the service and a `vigie alarms ack` beside it). A
process that is killed anywhere loses nothing and repeats nothing: an observation is either in the
state with its transitions or not at all, and a transition that was not yet delivered is delivered later,
under the same key.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import orjson
import structlog

from plant.asset import AssetPath
from plant.errors import DataError, StoreError
from plant.event import Event
from plant.times import DAY_MS
from serve.alarms.state import Alarm, AssetAlarms, Transition, state_from_dict, state_to_dict
from store.port import Store

log = structlog.get_logger()

WEEK_MS = 7 * DAY_MS
_KEEP_MS = 60 * DAY_MS
_SCHEMA = """
CREATE TABLE IF NOT EXISTS asset_alarms (
  asset   TEXT PRIMARY KEY,
  last_ms INTEGER NOT NULL,
  body    BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS transition (
  seq       INTEGER PRIMARY KEY AUTOINCREMENT,
  ts_ms     INTEGER NOT NULL,
  alarm_id  TEXT NOT NULL,
  action    TEXT NOT NULL,
  crew      TEXT NOT NULL,
  event     BLOB NOT NULL,
  delivered INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS wish (
  crew  TEXT NOT NULL,
  asset TEXT NOT NULL,
  ts_ms INTEGER NOT NULL,
  PRIMARY KEY (crew, asset)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS transition_open ON transition (seq) WHERE delivered = 0;
CREATE INDEX IF NOT EXISTS transition_raised ON transition (ts_ms) WHERE action IN ('raise', 'reraise');
"""


class AlarmBook:
    """Every asset's alarms, durable. Use `change()` to read and write in one transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._cache: dict[AssetPath, AssetAlarms] = {}
        self._seen_version = -1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA busy_timeout=10000")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"the alarms in {path} cannot be opened ({error}).",
                fix="Check the folder's permissions and free space.",
            ) from error

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Read and write in one transaction; an exception leaves the book as it was."""
        with self._lock:
            self._execute("BEGIN IMMEDIATE")
            try:
                self._refresh()
                change = Change(self._db, self._cache)
                yield change
                change.write()
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._execute("COMMIT")
            self._cache.update(change.changed)

    def states(self) -> dict[AssetPath, AssetAlarms]:
        """Return what is remembered of every asset."""
        with self._lock:
            self._execute("BEGIN")
            try:
                self._refresh()
            finally:
                self._db.execute("COMMIT")
            return dict(self._cache)

    def open_alarms(self) -> list[Alarm]:
        """Return the open alarms, the newest first."""
        alarms = [alarm for state in self.states().values() for alarm in state.alarms]
        return sorted(alarms, key=lambda alarm: (-alarm.raised_ms, alarm.id))

    def find(self, alarm_id: str) -> Alarm:
        """Return an open alarm by its id or a beginning of it. Raises DataError."""
        alarms = [alarm for alarm in self.open_alarms() if alarm.id.startswith(alarm_id)]
        exact = [alarm for alarm in alarms if alarm.id == alarm_id]
        found = exact or alarms
        if len(found) != 1 or not alarm_id:
            problem = "is not open" if not found else f"fits {len(found)} alarms"
            raise DataError(
                f"the alarm {alarm_id[:40]!r} {problem}.", fix="See `vigie alarms list`."
            )
        return found[0]

    def deliver(self, store: Store) -> int:
        """Write what the store's log does not have yet; return how many. Raises StoreError."""
        with self._lock:
            rows = self._db.execute(
                "SELECT seq, event FROM transition WHERE delivered = 0 ORDER BY seq"
            ).fetchall()
            if not rows:
                return 0
            store.write_events([_event(orjson.loads(body)) for _, body in rows])
            self._execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "UPDATE transition SET delivered = 1 WHERE seq = ?", [(seq,) for seq, _ in rows]
            )
            newest = self._db.execute("SELECT max(ts_ms) FROM transition").fetchone()[0]
            self._db.execute(
                "DELETE FROM transition WHERE delivered = 1 AND ts_ms < ?", (newest - _KEEP_MS,)
            )
            self._execute("COMMIT")
        return len(rows)

    def undelivered(self) -> int:
        """Return how many transitions the store's log does not have yet."""
        with self._lock:
            row = self._db.execute("SELECT count(*) FROM transition WHERE delivered = 0").fetchone()
        return int(row[0])

    def close(self) -> None:
        """Close the file; the book is not used afterwards."""
        with self._lock:
            self._db.close()

    def _refresh(self) -> None:
        """Forget the cache when another process has written."""
        version = int(self._db.execute("PRAGMA data_version").fetchone()[0])
        if version == self._seen_version:
            return
        self._cache.clear()
        for name, last_ms, body in self._db.execute(
            "SELECT asset, last_ms, body FROM asset_alarms"
        ):
            asset = AssetPath.parse(name)
            self._cache[asset] = state_from_dict(asset, last_ms, orjson.loads(body))
        self._seen_version = version

    def _execute(self, statement: str) -> None:
        try:
            self._db.execute(statement)
        except sqlite3.Error as error:
            raise StoreError(
                f"the alarms in {self._path} cannot be used ({error}).",
                fix="Check free space, and that no other program holds the file.",
            ) from error


class Change:
    """One transaction: `state`, `put`, `raised_since`."""

    def __init__(self, db: sqlite3.Connection, cache: dict[AssetPath, AssetAlarms]) -> None:
        self._db = db
        self._cache = cache
        self.changed: dict[AssetPath, AssetAlarms] = {}
        self.transitions: list[Transition] = []

    def state(self, asset: AssetPath) -> AssetAlarms:
        """Return what is remembered of an asset, this transaction's changes included."""
        return self.changed.get(asset) or self._cache.get(asset) or AssetAlarms(asset)

    def states(self) -> Iterator[AssetAlarms]:
        """Return every asset that has open alarms."""
        for asset, state in self._cache.items():
            if state.alarms:
                yield self.changed.get(asset, state)

    def put(self, state: AssetAlarms, transitions: Iterable[Transition] = ()) -> None:
        """Take a new state and what led to it."""
        self.changed[state.asset] = state
        self.transitions.extend(transitions)

    def raised_in(self, start_ms: int, stop_ms: int) -> dict[str, tuple[int, int]]:
        """Return how many alarms each crew got in [start, stop) and when the last, as written."""
        rows = self._db.execute(
            "SELECT crew, count(*), max(ts_ms) FROM transition"
            " WHERE action IN ('raise', 'reraise') AND ts_ms >= ? AND ts_ms < ? GROUP BY crew",
            (start_ms, stop_ms),
        )
        return {crew: (int(count), int(last)) for crew, count, last in rows}

    def note_wishes(
        self, wishes: Iterable[tuple[str, AssetPath]], now_ms: int, within_ms: int
    ) -> dict[str, int]:
        """Note who wishes for an alarm; return how many of each crew's machines did lately."""
        self._db.execute("DELETE FROM wish WHERE ts_ms <= ?", (now_ms - within_ms,))
        self._db.executemany(
            "INSERT OR REPLACE INTO wish VALUES (?, ?, ?)",
            [(crew, str(asset), now_ms) for crew, asset in wishes],
        )
        rows = self._db.execute("SELECT crew, count(*) FROM wish GROUP BY crew")
        return {crew: int(count) for crew, count in rows}

    def write(self) -> None:
        """Write the changes; the caller commits."""
        quiet: list[tuple[int, str]] = []
        full: list[tuple[str, int, bytes]] = []
        for asset, state in self.changed.items():
            before = self._cache.get(asset)
            if before is not None and _same_body(before, state):
                quiet.append((state.last_ms, str(asset)))
            else:
                full.append((str(asset), state.last_ms, orjson.dumps(state_to_dict(state))))
        self._db.executemany("UPDATE asset_alarms SET last_ms = ? WHERE asset = ?", quiet)
        self._db.executemany("INSERT OR REPLACE INTO asset_alarms VALUES (?, ?, ?)", full)
        self._db.executemany(
            "INSERT INTO transition (ts_ms, alarm_id, action, crew, event) VALUES (?, ?, ?, ?, ?)",
            [
                (step.ts_ms, step.alarm.id, step.action, step.alarm.crew, _body(step.event()))
                for step in self.transitions
            ],
        )


def _same_body(a: AssetAlarms, b: AssetAlarms) -> bool:
    """Tell whether two states differ only in the time of the last observation."""
    return a == replace(b, last_ms=a.last_ms)


def _body(event: Event) -> bytes:
    return orjson.dumps(
        {
            "asset": str(event.asset),
            "ts_ms": event.ts_ms,
            "kind": event.kind,
            "mode": event.mode,
            "note": event.note,
            "who": event.who,
            "key": event.key,
            "detail": event.detail,
            "simulated": event.simulated,
            "run_id": event.run_id,
        }
    )


def _event(found: dict[str, object]) -> Event:
    asset = AssetPath.parse(str(found.pop("asset")))
    return Event(asset=asset, **found)  # type: ignore[arg-type] # our own file, written by _body

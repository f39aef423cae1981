"""All journals of a data folder read as one: the reading side of the embedded store.

Several ingest processes write a journal each; a reader merges them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import orjson

from plant.asset import AssetPath
from plant.errors import DataError
from plant.event import Event
from store import schema
from store.blocks import merge_readings
from store.journal_reader import JournalReader
from store.port import Change, Changes, ReadingBlock, SeenAsset
from store.seen import merge_seen


class Journals:
    """Every journal below a data folder, read as one."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._lock = threading.Lock()
        self._readers: dict[Path, JournalReader] = {}

    def readers(self) -> list[JournalReader]:
        """Return a reader per journal; a new worker's journal appears by itself."""
        files = schema.journal_files(self._data_dir)
        with self._lock:
            return [self._readers.setdefault(file, JournalReader(file)) for file in files]

    def read(self, asset: AssetPath, start_ms: int, stop_ms: int) -> ReadingBlock:
        """Return the readings of one asset; the last arrival of a value wins."""
        parts = [
            part for reader in self.readers() for part in reader.parts(asset, start_ms, stop_ms)
        ]
        return merge_readings(asset, parts)

    def changes(
        self, cursor: str, limit: int = 100_000, up_to: Callable[[str], int] | None = None
    ) -> Changes:
        """Return arrivals after `cursor`; `up_to` bounds the ids of a journal. Raises DataError."""
        at = parse_cursor(cursor)
        items: list[Change] = []
        for reader in self.readers():
            if len(items) >= limit:
                break
            bound = None if up_to is None else up_to(reader.name)
            found, at[reader.name] = reader.changes_after(
                at.get(reader.name, 0), limit - len(items), bound
            )
            items += found
        items.sort(key=lambda change: change.received_ms)
        return Changes(orjson.dumps(at, option=orjson.OPT_SORT_KEYS).decode(), tuple(items))

    def events(
        self,
        start_ms: int,
        stop_ms: int,
        *,
        asset: AssetPath | None = None,
        kinds: Iterable[str] | None = None,
    ) -> list[Event]:
        """Return events ascending in time, then asset, kind, mode, key; the last arrival wins."""
        wanted = None if kinds is None else tuple(kinds)
        found = [
            item
            for reader in self.readers()
            for item in reader.events(start_ms, stop_ms, asset, wanted)
        ]
        found.sort(key=lambda item: item[0])
        by_key = {
            (event.ts_ms, str(event.asset), event.kind, event.mode, event.key): event
            for _, event in found
        }
        return [by_key[key] for key in sorted(by_key)]

    def assets(self) -> list[SeenAsset]:
        """Return every machine with readings in a journal, in path order."""
        tables = []
        for reader in self.readers():
            with reader.connection() as db:
                tables.append(reader.seen.look(db, reader))
        return merge_seen(tables)

    def close(self) -> None:
        """Close every reader."""
        with self._lock:
            for reader in self._readers.values():
                reader.close()


def parse_cursor(cursor: str) -> dict[str, int]:
    """Read a cursor of `Changes`: journal name to id. Raises DataError."""
    if not cursor:
        return {}
    try:
        return {str(name): int(last) for name, last in orjson.loads(cursor).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"the cursor {cursor[:60]!r} is not one of this store.") from error

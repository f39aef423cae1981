"""From journal rows to line protocol, a batch at a time: no object per reading or value."""

from __future__ import annotations

from typing import Any

import numpy as np
import structlog

from store.journal_reader import JournalReader
from store.lines import event_line, numbers, reading_format, run_field, series

_log = structlog.get_logger(__name__)


class Encoder:
    """Encodes one journal's arrivals. One thread at a time."""

    def __init__(self, reader: JournalReader) -> None:
        self._reader = reader
        self._heads: dict[tuple[int, int], tuple[str, str] | None] = {}
        self._formats: dict[int, str | None] = {}
        self._generation = -1

    def after(self, cursor: int, limit: int) -> tuple[list[str], list[str], int]:
        """Return (reading lines, event lines, next cursor) in order of arrival after `cursor`."""
        reader = self._reader
        with reader.connection() as db:
            if reader.generation != self._generation:
                self._heads.clear()
                self._formats.clear()
                self._generation = reader.generation
            rows, event_rows, last = reader.rows_after(db, cursor, limit)
            lines: list[str] = [""] * len(rows)
            by_set: dict[int, list[int]] = {}
            for at, row in enumerate(rows):
                by_set.setdefault(row[3], []).append(at)
            for set_id, places in by_set.items():
                self._encode_set(db, set_id, [rows[at] for at in places], places, lines)
            events = [
                event_line(found[1])
                for row in event_rows
                if (found := reader.event(db, row)) is not None
            ]
        return [line for line in lines if line], events, last

    def _encode_set(
        self, db: Any, set_id: int, rows: list[Any], places: list[int], lines: list[str]
    ) -> None:
        """Encode the rows of one signal set into their places."""
        if set_id not in self._formats:
            names = self._reader.signals(db, set_id)
            self._formats[set_id] = None if names is None else reading_format(names)
        pattern = self._formats[set_id]
        if pattern is None:
            _log.error("journal.damaged_names", path=str(self._reader.path), rows=len(rows))
            return
        values = np.frombuffer(b"".join([row[7] for row in rows]), dtype="<f8")
        texts = numbers(values.reshape(len(rows), -1))
        heads = self._heads
        for at, row, fields in zip(places, rows, texts, strict=True):
            key = (row[1], row[6])
            head = heads[key] if key in heads else self._head(db, key)
            if head is not None:
                lines[at] = pattern % (head[0], *fields, row[5], head[1], row[2])

    def _head(self, db: Any, key: tuple[int, int]) -> tuple[str, str] | None:
        """Return (measurement and tags, run field) of an asset in a run; None when damaged."""
        asset = self._reader.asset_path(db, key[0])
        run = self._reader.run(db, key[1])
        head = None
        if asset is not None and run is not None:
            head = (series("reading", str(asset), simulated=run[0]), run_field(run[1]))
        self._heads[key] = head
        return head

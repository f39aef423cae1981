"""From journal rows to line protocol, a batch at a time: no object per reading or value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import structlog

from plant.asset import AssetPath
from store.columns import Columns
from store.hot_tail import Segment
from store.journal_reader import JournalReader
from store.lines import event_line, numbers, reading_format, run_field, series

if TYPE_CHECKING:
    from store.encode_columns import LineWriter

_log = structlog.get_logger(__name__)


class Lines(NamedTuple):
    """Line protocol of what a journal holds up to the id `stop`: readings (ended lines) and events.

    times_ms: the first and last time of each machine; None when there are events, which may be about any.
    """

    readings: bytes
    events: list[str]
    points: int
    stop: int
    times_ms: Mapping[AssetPath | None, tuple[int, int]] | None = None

    def apart_from(self, other: Lines) -> bool:
        """Tell whether no point of one can be a point of the other: no machine's times meet."""
        if self.times_ms is None or other.times_ms is None:
            return False
        for asset, (first, last) in self.times_ms.items():
            begun, ended = other.times_ms.get(asset, (last + 1, last + 1))
            if begun <= last and first <= ended:
                return False
        return True


class _Times(dict[AssetPath | None, tuple[int, int]]):
    """The first and last time of each machine; None stands for all whose names are damaged."""

    def add(self, asset: AssetPath | None, first: int, last: int) -> None:
        begun, ended = self.get(asset, (first, last))
        self[asset] = (min(begun, first), max(ended, last))


class Encoder:
    """Encodes one journal's arrivals. One thread at a time."""

    def __init__(self, reader: JournalReader) -> None:
        self._reader = reader
        self._heads: dict[tuple[int, int], tuple[str, str] | None] = {}
        self._formats: dict[int, str | None] = {}
        self._generation = -1
        self._writer: LineWriter | None = None

    def after(self, cursor: int, limit: int, before: int | None = None) -> Lines:
        """Return what was committed after `cursor`, before the id `before`; of each kind `limit` at most."""
        times_ms = _Times()
        with self._connection() as db:
            rows, event_rows, last = self._reader.rows_after(db, cursor, limit, before)
            readings, count = self._readings(db, rows, times_ms)
            events = self._events(db, event_rows)
        return Lines(readings, events, count + len(events), last, None if events else times_ms)

    def segments(self, segments: Sequence[Segment]) -> Lines:
        """Return what segments of this journal hold, which follow one another."""
        from store.encode_columns import LineWriter  # noqa: PLC0415 - numba takes a while to load

        self._writer = self._writer or LineWriter()
        texts: list[bytes] = []
        events: list[str] = []
        count = 0
        times_ms = _Times()
        with self._connection() as db:
            for segment in segments:
                for part in segment.readings:
                    if isinstance(part, Columns):
                        texts.append(self._writer.lines(part))
                        count += len(part)
                        for asset, (first, last) in part.times_ms().items():
                            times_ms.add(asset, first, last)
                    else:
                        text, encoded = self._readings(db, part, times_ms)
                        texts.append(text)
                        count += encoded
                events += self._events(db, segment.events)
        return Lines(
            b"".join(texts),
            events,
            count + len(events),
            segments[-1].stop - 1,
            None if events else times_ms,
        )

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        with self._reader.connection() as db:
            if self._reader.generation != self._generation:
                self._heads.clear()
                self._formats.clear()
                self._generation = self._reader.generation
            yield db

    def _readings(self, db: Any, rows: list[Any], times_ms: _Times) -> tuple[bytes, int]:
        """Return the lines of rows and their number, a machine's together: InfluxDB takes them faster."""
        rows = sorted(rows, key=itemgetter(1))
        for asset, its_rows in groupby(rows, itemgetter(1)):
            moments = [row[2] for row in its_rows]
            times_ms.add(self._reader.asset_path(db, asset), min(moments), max(moments))
        lines: list[str] = [""] * len(rows)
        by_set: dict[int, list[int]] = {}
        for at, row in enumerate(rows):
            by_set.setdefault(row[3], []).append(at)
        for set_id, places in by_set.items():
            self._encode_set(db, set_id, [rows[at] for at in places], places, lines)
        there = [line for line in lines if line]
        return "".join(there).encode("utf-8", "surrogatepass"), len(there)

    def _events(self, db: Any, rows: list[Any]) -> list[str]:
        found = [self._reader.event(db, row) for row in rows]
        return [event_line(event[1]) for event in found if event is not None]

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

"""InfluxDB 2 as the store: fed from the local journals, read in bulk.

Readings and events are committed to a journal first, always: the forwarder brings them to InfluxDB,
so a store that is down changes nothing for the plant. Rollups and risks are written directly; they
can be computed again. Layout: see store/lines.py.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from plant.asset import AssetPath
from plant.clock import Clock
from plant.event import Event
from plant.reading import Reading
from plant.risk import Risk
from store.blocks import ReadingPart, check_rollups, merge_readings, merge_rollups
from store.codec import decode_event, decode_risk
from store.forwarder import Forwarder
from store.influx_client import TAG_COLUMNS, Column, InfluxConnection, InfluxError
from store.influx_seen import overlaid, seen_assets
from store.journals import Journals
from store.lines import (
    RECEIVED,
    risk_line,
    rollup_lines,
    rollup_parts,
    signal_name,
)
from store.port import Changes, ReadingBlock, RollupBlock, SeenAsset, WriteCount
from store.settings import InfluxSettings
from store.sqlite import OWN_JOURNAL, OwnJournal

_log = structlog.get_logger(__name__)
_NS_PER_MS = 1_000_000
#: What InfluxDB can tell apart: the years 1677 to 2262.
_FIRST_MS, _LAST_MS = -9_223_372_036_854, 9_223_372_036_854
_LINES_PER_WRITE = 2_000
_ATTEMPTS = 4
#: A writer waits so long for its own readings and events to be readable; they are durable before.
_DELIVERY_S = 2.0
#: Counting readings may take this share of the time at most; where it is quick, counts are never old.
_COUNTING_SHARE = 0.05
_QUICK_S = 0.25
_BODY = ("body", "mode")
_ROLLUP = ("layout", "numbers")


class InfluxStore:
    """Implements `store.port.Store` on InfluxDB 2 and the journals of a data folder."""

    def __init__(self, settings: InfluxSettings, data_dir: Path, clock: Clock) -> None:
        self.settings = settings
        self._connection = InfluxConnection(settings)
        self._own = OwnJournal(data_dir, clock)
        self._journals = Journals(data_dir)
        #: Brings the journals to InfluxDB; `start()` it in the process that runs ingest.
        self.forwarder = Forwarder(settings, data_dir, clock)
        self._stopping = threading.Event()
        self._seen_lock = threading.Lock()
        self._seen: list[SeenAsset] = []
        self._seen_at = -math.inf
        self._counting_s = 0.0

    # -- readings ---------------------------------------------------------------------------

    def write_readings(self, readings: Sequence[Reading]) -> WriteCount:
        """Commit to the journal, and bring them to InfluxDB if it is there."""
        count = self._own.write(readings=readings)
        self._deliver()
        return count

    def read_readings(self, asset: AssetPath, start_ms: int, stop_ms: int) -> ReadingBlock:
        """Return the readings of one asset; readings at one time are one row."""
        columns = self._select(
            self.settings.raw_bucket,
            f'SELECT * FROM "reading" WHERE {_of(asset)}',  # noqa: S608 - an AssetPath has no quotes
            start_ms,
            stop_ms,
        )
        fields = [
            name for name in columns if name not in TAG_COLUMNS and name not in {"time", RECEIVED}
        ]
        if not fields:
            return merge_readings(asset, [])
        ts_ms = columns["time"] // _NS_PER_MS
        received = columns.get(RECEIVED)
        received_ms = _whole(received) if received is not None else np.zeros_like(ts_ms)
        signals = [signal_name(name) for name in fields]
        order = np.argsort(signals)
        values = np.column_stack([columns[fields[at]] for at in order])
        names = tuple(signals[at] for at in order)
        if np.all(ts_ms[1:] > ts_ms[:-1]):
            return ReadingBlock(asset, ts_ms, received_ms, names, values)
        # One asset both simulated and real: two series, perhaps with the same times.
        return _merged(asset, ts_ms, received_ms, names, values)

    def changes(self, cursor: str, limit: int = 100_000) -> Changes:
        """Return arrivals after `cursor` that InfluxDB has already."""
        return self._journals.changes(cursor, limit, self.forwarder.forwarded_up_to)

    def _deliver(self) -> None:
        """Let what was just written be readable, if InfluxDB takes it within a moment."""
        if not self.forwarder.drain(_DELIVERY_S, OWN_JOURNAL):
            _log.warning("store.not_delivered_yet", waits_in=str(self._own.path))

    # -- rollups ----------------------------------------------------------------------------

    def write_rollups(self, block: RollupBlock) -> None:
        """Store rollups, replacing buckets that are there."""
        numbers = check_rollups(block)
        lines = rollup_lines(
            block.asset, block.bucket_ms, block.start_ms, block.signals, block.stats, numbers
        )
        self._write(self.settings.rollup_bucket, lines)

    def read_rollups(
        self, asset: AssetPath, bucket_ms: int, start_ms: int, stop_ms: int
    ) -> RollupBlock:
        """Return the rollups whose bucket starts in the range."""
        columns = self._select(
            self.settings.rollup_bucket,
            f'SELECT "layout", "numbers" FROM "rollup" WHERE {_of(asset)}'  # noqa: S608 - as above
            f" AND \"bucket\" = '{bucket_ms}'",
            start_ms,
            stop_ms,
            texts=_ROLLUP,
        )
        if not columns:
            return merge_rollups(asset, bucket_ms, np.empty(0, dtype=np.int64), [])
        start = columns["time"] // _NS_PER_MS
        return merge_rollups(
            asset, bucket_ms, start, rollup_parts(columns["layout"], columns["numbers"])
        )

    # -- events -----------------------------------------------------------------------------

    def write_events(self, events: Sequence[Event]) -> WriteCount:
        """Commit to the journal, and bring them to InfluxDB if it is there."""
        count = self._own.write(events=events)
        self._deliver()
        return count

    def read_events(
        self,
        start_ms: int,
        stop_ms: int,
        *,
        asset: AssetPath | None = None,
        kinds: Iterable[str] | None = None,
    ) -> list[Event]:
        """Return events ascending in time, of one asset or all, of some kinds or all."""
        conditions = [] if asset is None else [_of(asset)]
        if kinds is not None:
            wanted = [kind for kind in kinds if kind.isidentifier()]
            if not wanted:
                return []
            either = " OR ".join(f"\"kind\" = '{kind}'" for kind in wanted)
            conditions.append(f"({either})")
        bodies = self._bodies("event", conditions, start_ms, stop_ms)
        events = [decode_event(body) for body in bodies]
        events.sort(key=lambda e: (e.ts_ms, str(e.asset), e.kind, e.mode, e.key))
        return events

    # -- risks ------------------------------------------------------------------------------

    def write_risks(self, risks: Sequence[Risk]) -> None:
        """Store assessments with their curves."""
        self._write(self.settings.bucket, [risk_line(risk) for risk in risks])

    def read_risks(
        self, start_ms: int, stop_ms: int, *, asset: AssetPath | None = None
    ) -> list[Risk]:
        """Return assessments ascending in time, of one asset or all."""
        conditions = [] if asset is None else [_of(asset)]
        bodies = self._bodies("risk", conditions, start_ms, stop_ms)
        risks = [decode_risk(body) for body in bodies]
        return sorted(risks, key=lambda risk: (risk.ts_ms, str(risk.asset)))

    def latest_risks(self) -> list[Risk]:
        """Return the newest assessment of every asset, in path order."""
        rows = self._connection.tables(
            self.settings.bucket, 'SELECT last("body") AS "body" FROM "risk" GROUP BY *'
        )
        newest: dict[AssetPath, Risk] = {}
        for _, row in rows:
            risk = decode_risk(row["body"])
            if risk.asset not in newest or risk.ts_ms > newest[risk.asset].ts_ms:
                newest[risk.asset] = risk
        return [newest[asset] for asset in sorted(newest)]

    # -- the store itself -------------------------------------------------------------------

    def assets(self) -> list[SeenAsset]:
        """Return every machine that ever sent a reading, in path order.

        InfluxDB counts by reading. Where that takes long, an answer is used for a while; when a
        machine was last heard comes from the journals too, and is never old.
        """
        with self._seen_lock:
            age_s = time.monotonic() - self._seen_at
            fresh_s = 0.0 if self._counting_s < _QUICK_S else self._counting_s / _COUNTING_SHARE
            if age_s >= fresh_s:
                began = time.monotonic()
                self._seen = seen_assets(self._connection, self.settings.raw_bucket)
                self._seen_at = time.monotonic()
                self._counting_s = self._seen_at - began
            return overlaid(self._seen, self._journals.assets())

    def check(self) -> None:
        """Raise StoreError when InfluxDB cannot be reached, read or written, or a journal cannot."""
        for bucket in (
            self.settings.bucket,
            self.settings.rollup_bucket,
            self.settings.raw_bucket,
        ):
            self._connection.check(bucket)
        self._own.check()

    def close(self) -> None:
        """Release connections and files; a running forwarder ends."""
        self._stopping.set()
        self.forwarder.close()
        self._own.close()
        self._journals.close()
        self._connection.close()

    def _bodies(
        self, measurement: str, conditions: Sequence[str], start_ms: int, stop_ms: int
    ) -> list[str]:
        select = f'SELECT "body" FROM "{measurement}"'  # noqa: S608 - our own names
        if conditions:
            select += " WHERE " + " AND ".join(conditions)
        columns = self._select(self.settings.bucket, select, start_ms, stop_ms, texts=_BODY)
        return [] if "body" not in columns else list(columns["body"])

    def _select(
        self,
        bucket: str,
        select: str,
        start_ms: int,
        stop_ms: int,
        texts: Sequence[str] = (),
    ) -> dict[str, Column]:
        start_ms, stop_ms = max(start_ms, _FIRST_MS), min(stop_ms, _LAST_MS)
        if start_ms >= stop_ms:
            return {}
        joint = "AND" if " WHERE " in select else "WHERE"
        return self._connection.query(
            bucket, f"{select} {joint} time >= {start_ms}ms AND time < {stop_ms}ms", texts
        )

    def _write(self, bucket: str, lines: Sequence[str]) -> None:
        """Write directly; passing trouble is tried again for a moment. Raises StoreError."""
        for at in range(0, len(lines), _LINES_PER_WRITE):
            body = "\n".join(lines[at : at + _LINES_PER_WRITE]).encode()
            for attempt in range(_ATTEMPTS):
                try:
                    self._connection.write(bucket, body)
                    break
                except InfluxError as error:
                    if error.refusal.beyond_retention:
                        _log.warning("store.expired", bucket=bucket, error=str(error))
                        break
                    if error.refusal.status not in {0, 429, 500, 502, 503, 504}:
                        raise
                    if attempt == _ATTEMPTS - 1 or self._stopping.wait(0.1 * 4**attempt):
                        raise


def _of(asset: AssetPath) -> str:
    return (
        f"\"site\" = '{asset.site}' AND \"line\" = '{asset.line}' AND \"asset\" = '{asset.asset}'"
    )


def _whole(column: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.where(np.isnan(column), 0, column).astype(np.int64)


def _merged(
    asset: AssetPath,
    ts_ms: NDArray[np.int64],
    received_ms: NDArray[np.int64],
    signals: tuple[str, ...],
    values: NDArray[np.float64],
) -> ReadingBlock:
    """Merge rows of equal time; the last arrival of a value wins."""
    parts = []
    for at, name in enumerate(signals):
        there = np.flatnonzero(~np.isnan(values[:, at]))
        parts.append(
            ReadingPart(
                ts_ms[there], received_ms[there], there, (name,), values[there, at : at + 1]
            )
        )
    return merge_readings(asset, parts)

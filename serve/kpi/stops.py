"""Stoppages from events: when each machine stood still, by plan or not.

A `stop` opens a stoppage and a `start` ends it; a `failure` opens an unplanned one. Where a log has no
stop and start, a failure's `duration_h` counts from its time on, a maintenance's backwards from its
time (it is written when the work is done). Where planned and unplanned overlap, it was unplanned.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from plant.event import Event
from plant.times import HOUR_MS


@dataclass(frozen=True, slots=True)
class Stop:
    """A stoppage of one machine, epoch ms.

    `mode` is of the failure or stop it began with; `ended` tells whether its end is known.
    """

    start_ms: int
    stop_ms: int
    planned: bool
    mode: str = ""
    failure: bool = False
    ended: bool = True

    @property
    def hours(self) -> float:
        """Its length."""
        return (self.stop_ms - self.start_ms) / HOUR_MS


def stops_of(events: Sequence[Event], until_ms: int) -> list[Stop]:
    """Return the stoppages of one machine from its events in order; an open one lasts to `until_ms`."""
    found: list[Stop] = []
    opened: Event | None = None
    failed: Event | None = None
    for event in events:
        if event.kind == "failure":
            failed = event
            if event.duration_h is not None:
                found.append(_span(event, event.ts_ms, event.ts_ms + _ms(event), event))
                failed = opened = None
            elif opened is None:
                opened = event
        elif event.kind == "stop":
            opened = opened or event
        elif event.kind == "start":
            if opened is not None:
                found.append(_span(opened, opened.ts_ms, event.ts_ms, failed))
            elif event.duration_h:
                found.append(_span(event, event.ts_ms - _ms(event), event.ts_ms, failed))
            opened = failed = None
        elif event.kind == "maintenance":
            if opened is not None and opened.kind == "failure" and not _starts(events, event):
                found.append(_span(opened, opened.ts_ms, event.ts_ms, failed))
                opened = failed = None
            elif opened is None and event.duration_h:
                found.append(_span(event, event.ts_ms - _ms(event), event.ts_ms, None))
    if opened is not None:
        last = _span(opened, opened.ts_ms, max(until_ms, opened.ts_ms), failed)
        found.append(
            Stop(last.start_ms, last.stop_ms, last.planned, last.mode, last.failure, False)
        )
    return found


def clip(stops: Iterable[Stop], start_ms: int, stop_ms: int) -> tuple[float, float]:
    """Return (planned, unplanned) hours inside [start, stop); an hour counts once, unplanned first."""
    unplanned = _union([(s.start_ms, s.stop_ms) for s in stops if not s.planned], start_ms, stop_ms)
    everything = _union([(s.start_ms, s.stop_ms) for s in stops], start_ms, stop_ms)
    return (everything - unplanned) / HOUR_MS, unplanned / HOUR_MS


def overlap_ms(spans: Iterable[tuple[int, int]], start_ms: int, stop_ms: int) -> int:
    """Return how much of [start, stop) the spans cover together."""
    return _union(list(spans), start_ms, stop_ms)


def _union(spans: list[tuple[int, int]], start_ms: int, stop_ms: int) -> int:
    total, reached = 0, start_ms
    for start, stop in sorted(spans):
        begin, end = max(start, reached), min(stop, stop_ms)
        if end > begin:
            total += end - begin
            reached = end
    return total


def _span(event: Event, start_ms: int, stop_ms: int, failed: Event | None) -> Stop:
    planned = failed is None and event.kind != "failure" and event.planned is not False
    mode = failed.mode if failed is not None else event.mode
    return Stop(start_ms, stop_ms, planned, mode, failure=failed is not None)


def _starts(events: Sequence[Event], done: Event) -> bool:
    """Tell whether the log itself says that the machine started again after this maintenance."""
    for event in events:
        if event.ts_ms >= done.ts_ms and event is not done:
            if event.kind == "start":
                return True
            if event.kind in {"failure", "stop"} and event.ts_ms > done.ts_ms:
                return False
    return False


def _ms(event: Event) -> int:
    return round((event.duration_h or 0.0) * HOUR_MS)

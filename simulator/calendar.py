"""Weekly hours and single breaks as windows of UTC time, daylight saving included."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from plant.config import WEEKDAYS, BreakSpec, ShiftSpec


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def weekly_windows(
    days: Sequence[str], start: time, end: time, zone: ZoneInfo, from_ms: int
) -> Iterator[tuple[int, int]]:
    """Yield the windows ending after `from_ms`, without end; `end` not after `start` passes midnight."""
    day = datetime.fromtimestamp(from_ms / 1000, UTC).astimezone(zone).date() - timedelta(days=1)
    wanted = {WEEKDAYS.index(name) for name in days}
    while wanted:
        if day.weekday() in wanted:
            opens = datetime.combine(day, start, zone)
            last = day if end > start else day + timedelta(days=1)
            window = _ms(opens), _ms(datetime.combine(last, end, zone))
            if window[1] > from_ms and window[1] > window[0]:
                yield window
        day += timedelta(days=1)


def break_windows(
    breaks: Sequence[BreakSpec], zone: ZoneInfo, from_ms: int
) -> Iterator[tuple[int, int]]:
    """Yield the merged windows of several breaks, ascending."""
    streams: list[Iterator[tuple[int, int]]] = []
    for spec in breaks:
        if spec.start is not None and spec.end is not None:
            streams.append(weekly_windows(spec.days, spec.start, spec.end, zone, from_ms))
        elif spec.from_ is not None and spec.to is not None and _ms(spec.to) > from_ms:
            streams.append(iter([(_ms(spec.from_), _ms(spec.to))]))
    return _joined(heapq.merge(*streams))


def closed_windows(
    shifts: Sequence[ShiftSpec], zone: ZoneInfo, from_ms: int
) -> Iterator[tuple[int, int]]:
    """Yield the times outside the shifts; none when there are no shifts."""
    streams = [weekly_windows(s.days, s.start, s.end, zone, from_ms) for s in shifts if s.days]
    closes = from_ms
    for opens, end in _joined(heapq.merge(*streams)):
        if opens > closes:
            yield closes, opens
        closes = end


def merge(*windows: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join several ascending streams of windows into one without overlaps."""
    return _joined(heapq.merge(*windows))


def _joined(windows: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join windows that touch or overlap."""
    current: tuple[int, int] | None = None
    for window in windows:
        if current is None:
            current = window
        elif window[0] <= current[1]:
            current = current[0], max(current[1], window[1])
        else:
            yield current
            current = window
    if current is not None:
        yield current


class Hours:
    """Working hours of a crew; no shifts means always."""

    def __init__(self, shifts: Sequence[ShiftSpec], zone: ZoneInfo) -> None:
        self._shifts, self._zone = shifts, zone

    def next_open(self, now_ms: int) -> int:
        """Return now if at work, else the beginning of the next shift."""
        if not self._shifts:
            return now_ms
        streams = (
            weekly_windows(shift.days, shift.start, shift.end, self._zone, now_ms)
            for shift in self._shifts
            if shift.days
        )
        return min((max(next(s)[0], now_ms) for s in streams), default=now_ms)

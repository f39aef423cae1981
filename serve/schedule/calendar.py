"""Shifts and breaks as intervals of time, daylight saving included.

Weekly hours are local time of a site; here they become UTC epoch milliseconds, so a night shift over
the change of the clocks has 7 or 9 hours, as it has for the people who work it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from plant.config import WEEKDAYS, BreakSpec, CrewSpec, Plant
from plant.times import HOUR_MS, MINUTE_MS

Interval = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Grid:
    """`cells` slots of `slot_ms` from `start_ms` on; cell k is [start + k·slot, start + (k+1)·slot)."""

    start_ms: int
    slot_ms: int
    cells: int

    @property
    def slot_h(self) -> float:
        """Hours of one cell."""
        return self.slot_ms / HOUR_MS

    @property
    def stop_ms(self) -> int:
        """The end of the last cell."""
        return self.start_ms + self.cells * self.slot_ms

    def at(self, cell: int) -> int:
        """Return when a cell starts, epoch ms."""
        return self.start_ms + cell * self.slot_ms

    def inside(self, intervals: Iterable[Interval]) -> NDArray[np.bool_]:
        """Mark the cells that lie wholly inside one of the intervals: bool[cells]."""
        mask = np.zeros(self.cells, dtype=np.bool_)
        for start, stop in intervals:
            first = -((self.start_ms - start) // self.slot_ms)  # ceiling
            last = (stop - self.start_ms) // self.slot_ms
            mask[max(first, 0) : max(last, 0)] = True
        return mask

    def covered_h(self, intervals: Iterable[Interval]) -> NDArray[np.float64]:
        """Return the hours of each cell that the (disjoint) intervals cover: float64[cells]."""
        edges = self.start_ms + np.arange(self.cells + 1, dtype=np.int64) * self.slot_ms
        hours = np.zeros(self.cells)
        for start, stop in intervals:
            clipped = np.clip(edges, start, stop)
            hours += np.diff(clipped) / HOUR_MS
        return hours


def local_ms(day: datetime, at: time, zone: ZoneInfo) -> int:
    """Return the moment of a wall-clock time on a date in a zone, epoch ms."""
    moment = datetime.combine(day.date(), at).replace(tzinfo=zone)
    return round(moment.timestamp()) * 1000


def weekly(
    days: Sequence[str], start: time, end: time, zone: ZoneInfo, from_ms: int, to_ms: int
) -> list[Interval]:
    """Return the weekly interval's occurrences that touch [from_ms, to_ms), epoch ms."""
    wanted = {WEEKDAYS.index(day) for day in WEEKDAYS if day in days}
    day = datetime.fromtimestamp(from_ms / 1000, UTC).astimezone(zone) - timedelta(days=2)
    found = []
    while local_ms(day, time(0), zone) < to_ms:
        if day.weekday() in wanted:
            begin = local_ms(day, start, zone)
            finish = local_ms(day if end > start else day + timedelta(days=1), end, zone)
            if finish > from_ms and begin < to_ms:
                found.append((begin, finish))
        day += timedelta(days=1)
    return found


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the union of intervals as disjoint ones in order."""
    merged: list[Interval] = []
    for start, stop in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def crew_zone(plant: Plant, crew: CrewSpec) -> ZoneInfo:
    """Return the zone of a crew's shifts: its site's, or the plant's first site's when it roams."""
    site = crew.site if crew.site is not None else next(iter(plant.sites), "")
    return plant.timezone(site)


def crew_hours(plant: Plant, crew: CrewSpec, from_ms: int, to_ms: int) -> list[Interval]:
    """Return when a crew works; a crew without shifts is there around the clock."""
    if not crew.shifts:
        return [(from_ms, to_ms)]
    zone = crew_zone(plant, crew)
    return merge(
        interval
        for shift in crew.shifts
        for interval in weekly(shift.days, shift.start, shift.end, zone, from_ms, to_ms)
    )


def line_breaks(plant: Plant, site: str, line: str, from_ms: int, to_ms: int) -> list[Interval]:
    """Return when a line stands still by plan: work inside costs no stoppage."""
    zone = plant.timezone(site)
    found: list[Interval] = []
    for pause in plant.breaks:
        if pause.site not in {None, site} or pause.line not in {None, line}:
            continue
        found += _occurrences(pause, zone, from_ms, to_ms)
    return merge(found)


def _occurrences(pause: BreakSpec, zone: ZoneInfo, from_ms: int, to_ms: int) -> list[Interval]:
    if pause.from_ is not None and pause.to is not None:
        once = (round(pause.from_.timestamp() * 1000), round(pause.to.timestamp() * 1000))
        return [once] if once[1] > from_ms and once[0] < to_ms else []
    if pause.start is None or pause.end is None:
        return []
    return weekly(pause.days, pause.start, pause.end, zone, from_ms, to_ms)


def fitting_slot_minutes(boundaries_ms: Iterable[int]) -> int:
    """Return the coarsest of 60, 30, 15 minutes on which all boundaries fall (15 if none does)."""
    minutes = {ms // MINUTE_MS for ms in boundaries_ms}
    return next((size for size in (60, 30) if all(m % size == 0 for m in minutes)), 15)

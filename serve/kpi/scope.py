"""What a group of figures is counted from: machines, their events and stoppages, and a period."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plant.asset import AssetPath
from plant.config import Plant
from plant.event import Event
from plant.times import HOUR_MS
from serve.kpi.settings import KpiSettings
from serve.kpi.stops import Stop, clip, overlap_ms, stops_of
from serve.schedule.calendar import line_breaks

#: Events of one moment in the order in which they happen.
_ORDER = {"failure": 0, "stop": 1, "inspection": 2, "maintenance": 3, "start": 4}


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine in the period: observed from `since_ms` (its first reading or the period's start)."""

    asset: AssetPath
    kind: str
    since_ms: int
    first_reading_ms: int | None
    events: tuple[Event, ...]
    stops: tuple[Stop, ...]
    pauses: tuple[tuple[int, int], ...]
    fresh_h: float | None


@dataclass(frozen=True, slots=True)
class Scope:
    """A group of machines (and one failure mode, when `mode` is set) over [start_ms, stop_ms)."""

    name: str
    machines: tuple[Machine, ...]
    plant: Plant
    settings: KpiSettings
    start_ms: int
    stop_ms: int
    now_ms: int
    mode: str | None = None

    def hours_of(self, machine: Machine) -> float:
        """Return the hours a machine was observed in the period."""
        return max(self.stop_ms - max(self.start_ms, machine.since_ms), 0) / HOUR_MS

    @property
    def calendar_h(self) -> float:
        """Machine hours observed."""
        return sum(self.hours_of(m) for m in self.machines)

    def busy_h(self, machine: Machine) -> tuple[float, float]:
        """Return (planned busy hours, unplanned stoppage in them): breaks and planned stops left out."""
        begin = max(self.start_ms, machine.since_ms)
        mine = [s for s in machine.stops if self._about(s.mode)]
        unplanned = [(s.start_ms, s.stop_ms) for s in mine if not s.planned]
        away = [*machine.pauses, *((s.start_ms, s.stop_ms) for s in mine if s.planned)]
        lost = overlap_ms([*away, *unplanned], begin, self.stop_ms) - overlap_ms(
            away, begin, self.stop_ms
        )
        total = max(self.stop_ms - begin, 0)
        return (total - overlap_ms(away, begin, self.stop_ms)) / HOUR_MS, lost / HOUR_MS

    def stopped_h(self) -> tuple[float, float]:
        """Return (planned, unplanned) machine hours of stoppage."""
        planned = unplanned = 0.0
        for machine in self.machines:
            begin = max(self.start_ms, machine.since_ms)
            mine = [s for s in machine.stops if self._about(s.mode)]
            p, u = clip(mine, begin, self.stop_ms)
            planned, unplanned = planned + p, unplanned + u
        return planned, unplanned

    def failures(self) -> list[Event]:
        """Return the failures in the period."""
        return [
            e
            for m in self.machines
            for e in m.events
            if e.kind == "failure"
            and self.start_ms <= e.ts_ms < self.stop_ms
            and self._about(e.mode)
        ]

    def repairs(self) -> list[Stop]:
        """Return the stoppages after failures that began in the period and whose end is known."""
        return [
            s
            for m in self.machines
            for s in m.stops
            if s.failure
            and s.ended
            and self.start_ms <= s.start_ms < self.stop_ms
            and self._about(s.mode)
        ]

    def _about(self, mode: str) -> bool:
        return self.mode is None or mode == self.mode


def make_machine(
    plant: Plant,
    asset: AssetPath,
    events: Sequence[Event],
    start_ms: int,
    stop_ms: int,
    first_reading_ms: int | None,
    fresh: Sequence[tuple[int, int]] | None,
) -> Machine:
    """Gather what is known of one machine; `fresh` are the times its risk was valid."""
    since = start_ms if first_reading_ms is None else max(start_ms, first_reading_ms)
    ordered = tuple(sorted(events, key=lambda e: (e.ts_ms, _ORDER.get(e.kind, 9))))
    pauses = line_breaks(plant, asset.site, asset.line, start_ms, stop_ms)
    return Machine(
        asset=asset,
        kind=plant.kind_of(asset),
        since_ms=since,
        first_reading_ms=first_reading_ms,
        events=ordered,
        stops=tuple(stops_of(ordered, stop_ms)),
        pauses=tuple(pauses),
        fresh_h=None if fresh is None else overlap_ms(fresh, since, stop_ms) / HOUR_MS,
    )

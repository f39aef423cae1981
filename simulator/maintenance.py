"""People maintain the plant: repairs, rounds, part changes by the calendar, and jobs of a schedule.

A `maintenance` event is written when the work is done (`duration_h`: hours of work, `scope`: the modes
renewed, empty for all); a `stop` when the machine stops and a `start` when it runs again, whose
`duration_h` is the stoppage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from plant.times import DAY_MS, HOUR_MS
from simulator.rng import keyed
from simulator.station import Job, Station
from simulator.workshop import Crew, Process

if TYPE_CHECKING:
    from simulator.plant import PlantSimulation


class Maintenance:
    """What the maintainers of one plant do, each piece of work a simpy process."""

    def __init__(self, plant: PlantSimulation) -> None:
        self._plant, self._env = plant, plant.env
        self._policy = plant.settings.maintenance
        self._workshop = plant.workshop

    def begin(self, station: Station) -> None:
        """Start rounds and calendar work on a machine."""
        if self._policy.inspect_every_d:
            self._env.process(self._rounds(station))
        if self._policy.preventive_every_d:
            self._env.process(self._calendar(station))

    def correct(self, station: Station, code: str) -> None:
        """Call for the repair of a failure."""
        self._env.process(self._repair(station, (code,), planned=False))

    def obey(self, station: Station, job: Job) -> None:
        """Take over a job; it is dropped if the machine is down when it is due."""
        self._env.process(self._job(station, job))

    def _job(self, station: Station, job: Job) -> Process:
        yield self._env.timeout(max(job.start_ms - self._plant.now_ms, 0))
        codes = tuple(code for code in job.scope if code in station.unit.lives)
        codes = codes or tuple(station.unit.lives)
        if station.up:
            yield from self._repair(station, codes, planned=True, job=job)

    def _rounds(self, station: Station) -> Process:
        """Inspect from time to time; what the round sees is repaired as planned work."""
        policy, unit = self._policy, station.unit
        every = policy.inspect_every_d * DAY_MS
        yield self._env.timeout(round(every * ((0.37 * station.number) % 1.0) + 9 * HOUR_MS))
        while True:
            if station.up:
                now = self._plant.now_ms
                rng = keyed(self._plant.seed, str(unit.asset), "round", now)
                visible = self._visible(station)
                worst = max(visible, key=lambda code: unit.damage(code, now))
                damage = unit.damage(worst, now)
                seen = damage >= policy.detect_above and rng.random() < policy.detect
                found = "degraded" if seen else "sound"
                self._plant.write(unit, "inspection", mode=worst if seen else "", found=found)
                if seen:
                    self._env.process(self._repair(station, (worst,), planned=True))
            yield self._env.timeout(round(every))

    def _calendar(self, station: Station) -> Process:
        """Change the part that has run longest, by the calendar."""
        unit, every = station.unit, self._policy.preventive_every_d * DAY_MS
        yield self._env.timeout(round(every * ((0.61 * station.number) % 1.0 + 0.2)))
        while True:
            oldest = max(self._visible(station), key=lambda code: unit.lives[code].used_h)
            if station.up:
                yield from self._repair(station, (oldest,), planned=True)
            yield self._env.timeout(round(every))

    @staticmethod
    def _visible(station: Station) -> list[str]:
        modes = station.unit.machine.modes
        return [code for code, mode in modes.items() if mode.visible] or list(modes)

    def _repair(
        self, station: Station, codes: tuple[str, ...], *, planned: bool, job: Job | None = None
    ) -> Process:
        """Wait for parts and people, work, renew, start again. Planned work stops the machine then."""
        plant, unit = self._plant, station.unit
        down_since = plant.now_ms
        specs = [plant.mode_spec(unit, code) for code in codes]
        for spec in specs:
            yield from self._workshop.take_parts(spec.parts)
        lead = max(specs, key=lambda spec: spec.duration_h)
        crew = self._workshop.crew_for(lead.skill, unit.asset.site, lead.crew_size)
        requests = yield from self._people(crew, lead.crew_size)
        if not planned or station.up:
            if planned:
                down_since = plant.now_ms
                plant.take_down(station)
                plant.write(unit, "stop", mode=codes[0], planned=True)
            hours = sum(s.duration_h if planned else s.corrective_duration_h for s in specs)
            hours = self._hours(station, hours) * (0.8 if len(specs) > 1 else 1.0)
            if job is not None and job.duration_h is not None:
                hours = job.duration_h
            yield self._env.timeout(max(round(hours * HOUR_MS), 1))
            self._finish(station, codes, planned, hours, down_since, job)
        else:  # it broke down while the planned work waited; that repair has its own order
            for spec in specs:
                yield from self._workshop.give_back(spec.parts)
        for request in requests:
            if crew is not None:
                crew.people.release(request)

    def _hours(self, station: Station, mean_h: float) -> float:
        now = self._plant.now_ms
        rng = keyed(self._plant.seed, str(station.unit.asset), "repair", now)
        if self._policy.duration == "exponential":
            return float(mean_h * rng.standard_exponential())
        return float(mean_h * math.exp(0.2 * rng.standard_normal()))

    def _people(self, crew: Crew | None, size: int) -> Process:
        """Wait for the shift and for people who are free; nobody able here: bought in at once."""
        if crew is None:
            yield self._env.timeout(0)
            return []
        yield self._env.timeout(crew.hours.next_open(self._plant.now_ms) - self._plant.now_ms)
        requests: list[Any] = [crew.people.request() for _ in range(size)]
        yield self._env.all_of(requests)
        yield self._env.timeout(crew.hours.next_open(self._plant.now_ms) - self._plant.now_ms)
        return requests

    def _finish(
        self,
        station: Station,
        codes: tuple[str, ...],
        planned: bool,
        hours: float,
        down_since: int,
        job: Job | None,
    ) -> None:
        plant, unit = self._plant, station.unit
        found = self.found(station, codes) if planned else "failed"
        plant.note(unit, "repair", codes[0], "planned" if planned else "corrective")
        rng = keyed(plant.seed, str(unit.asset), "quality", plant.now_ms)
        spread = (1.0 - self._policy.repair_quality) * 2.0
        for code in codes:
            quality = max(1.0 - spread * float(rng.random()), 0.0)
            wrong = bool(rng.random() < self._policy.induced)
            unit.renew(code, plant.now_ms, quality=quality, induced=wrong)
        plant.write(
            unit,
            "maintenance",
            mode=codes[0] if len(codes) == 1 else "",
            scope=() if len(codes) == len(unit.lives) else codes,
            planned=planned,
            found=found,
            duration_h=round(hours, 3),
            note=job.note if job is not None else "",
        )
        down_h = round((plant.now_ms - down_since) / HOUR_MS, 3)
        plant.write(unit, "start", mode=codes[0], planned=planned, duration_h=down_h)
        plant.bring_up(station)

    def found(self, station: Station, codes: Sequence[str]) -> str:
        """Return the condition a crew sees on opening the machine."""
        worst = max(station.unit.damage(code, self._plant.now_ms) for code in codes)
        return "failed" if worst >= 1.0 else "degraded" if worst >= 0.25 else "sound"

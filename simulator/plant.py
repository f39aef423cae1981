"""A plant that wears, breaks, is repaired, and obeys the schedule: the simulation itself.

`PlantSimulation` moves through time event by event (simpy); readings are computed from its traces
(simulator.frames), for a year at once or minute by minute. `simulate` is the short way to a history.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import simpy

from plant.asset import AssetPath
from plant.config import ModeSpec, Plant, parse_plant
from plant.errors import DataError
from plant.event import Event
from plant.times import DAY_MS, HOUR_MS
from simulator.frames import AssetFrame, Sampler, sample_frames
from simulator.line import Line
from simulator.machines import machine
from simulator.presets import preset_toml
from simulator.records import Logbook, TrueEvent
from simulator.rng import keyed
from simulator.settings import DEFAULT_START_MS, SimulatorSettings
from simulator.unit import Unit
from simulator.workshop import Crew, Process, Workshop


@dataclass(frozen=True, slots=True)
class Job:
    """Planned work from outside: renew these modes (empty: all) of a machine, not before `start_ms`."""

    asset: AssetPath
    start_ms: int
    scope: tuple[str, ...] = ()
    duration_h: float | None = None
    note: str = ""


@dataclass(slots=True)
class Station:
    """A machine in its place: up or not, and which order of things its next failure belongs to."""

    unit: Unit
    line: Line
    up: bool = True
    version: int = 0


class PlantSimulation:
    """A running plant. `advance` moves it; `obey` hands it a schedule; logs are in `book`."""

    def __init__(
        self,
        plant: Plant,
        *,
        seed: int | None = None,
        start_ms: int = DEFAULT_START_MS,
        settings: SimulatorSettings | None = None,
        assets: Iterable[str] | None = None,
    ) -> None:
        self.plant, self.settings = plant, settings or SimulatorSettings()
        self.seed = self.settings.seed if seed is None else seed
        self.start_ms = start_ms
        self.run_id = f"sim-{self.seed}"
        self.book = Logbook(self.settings.records, self.seed, self.run_id)
        self.env = simpy.Environment(initial_time=start_ms)
        self.workshop = Workshop(self.env, plant)
        self.lines: dict[str, Line] = {}
        self.stations: dict[AssetPath, Station] = {}
        wanted = None if assets is None else set(assets)
        for spec in plant.assets:
            if wanted is None or spec.path in wanted:
                self._add(AssetPath.parse(spec.path), spec.kind)
        if not self.stations:
            raise DataError("no machine to simulate.", fix="List assets in plant.toml.")
        self.sampler = Sampler(self)
        for line in self.lines.values():
            line.begin()
        for number, station in enumerate(self.stations.values()):
            self._expect(station)
            self.env.process(self._rounds(station, number))
            self.env.process(self._preventive(station, number))

    def _add(self, asset: AssetPath, kind: str) -> None:
        line = self.lines.get(asset.line_path)
        if line is None:
            line = Line(self.env, self.plant, asset.line_path, self.seed, self._changed)
            self.lines[asset.line_path] = line
        unit = Unit(
            asset,
            machine(kind),
            seed=self.seed,
            start_ms=self.start_ms,
            wear=self.settings.wear,
        )
        self.stations[asset] = Station(unit, line)
        line.add(unit)

    @property
    def now_ms(self) -> int:
        """The plant's time: everything before it has happened."""
        return int(self.env.now)

    def advance(self, until_ms: int) -> None:
        """Let the plant run until just before `until_ms`."""
        if until_ms > self.env.now:
            self.env.run(until=until_ms)

    def obey(self, jobs: Sequence[Job]) -> None:
        """Take over a schedule; a job whose time has passed begins now."""
        for job in jobs:
            if job.asset not in self.stations:
                raise DataError(f"the job's machine {job.asset} is not simulated.")
            self.env.process(self._job(self.stations[job.asset], job))

    def mode_spec(self, unit: Unit, code: str) -> ModeSpec:
        """Return what a repair takes: from plant.toml, else the kind's own figures."""
        configured = self.plant.kind_spec(unit.asset).modes.get(code)
        return configured or unit.machine.modes[code].spec

    def _changed(self, unit: Unit) -> None:
        """Expect the next failure anew after the line changed how a machine runs."""
        station = self.stations.get(unit.asset)
        if station is not None:
            self._expect(station)

    def _expect(self, station: Station) -> None:
        station.version += 1
        due = station.unit.next_failure()
        if due is None or not station.up:
            return
        version, (ts_ms, code) = station.version, due
        alarm = self.env.timeout(max(ts_ms - self.env.now, 0))
        alarm.callbacks.append(lambda _: self._due(station, version, code))

    def _due(self, station: Station, version: int, code: str) -> None:
        if station.up and version == station.version:
            self.fail(station, code)

    def fail(self, station: Station, code: str, cause: str = "") -> None:
        """Let a machine fail now: log it, stop it, call for repair."""
        unit, now = station.unit, self.now_ms
        life = unit.lives[code]
        if not cause:
            visible = unit.machine.modes[code].visible
            cause = "induced" if life.induced else "wear" if visible else "shock"
        self._note(unit, "failure", code, cause)
        self._take_down(station)
        common = {"mode": code, "planned": False, "found": "failed"}
        self._write(unit, now, "failure", **common, note=f"{self.mode_spec(unit, code).label}")
        self._write(unit, now, "stop", mode=code, planned=False)
        self.env.process(self._repair(station, (code,), planned=False, down_since=now))

    def _take_down(self, station: Station) -> None:
        station.up = False
        station.version += 1
        station.line.set_up(station.unit, up=False)

    def _repair(
        self,
        station: Station,
        codes: tuple[str, ...],
        *,
        planned: bool,
        down_since: int | None = None,
        job: Job | None = None,
    ) -> Process:
        """Wait for parts and people, work, renew, start again. The machine stops when work begins."""
        unit, env = station.unit, self.env
        specs = [self.mode_spec(unit, code) for code in codes]
        for spec in specs:
            yield from self.workshop.take_parts(spec.parts)
        lead = max(specs, key=lambda spec: spec.duration_h)
        crew = self.workshop.crew_for(lead.skill, unit.asset.site, lead.crew_size)
        requests = yield from self._people(crew, lead.crew_size)
        if planned and not station.up:
            self._release(crew, requests)  # it broke down meanwhile: that repair has its own order
            return
        if planned:
            down_since = self.now_ms
            self._take_down(station)
            self._write(unit, down_since, "stop", mode=codes[0], planned=True)
        rng = keyed(self.seed, str(unit.asset), "repair", self.now_ms)
        hours = sum(s.duration_h if planned else s.corrective_duration_h for s in specs)
        hours *= math.exp(0.2 * rng.standard_normal()) * (0.8 if len(specs) > 1 else 1.0)
        if job is not None and job.duration_h is not None:
            hours = job.duration_h
        yield env.timeout(max(round(hours * HOUR_MS), 1))
        self._release(crew, requests)
        self._finish(station, codes, planned, hours, down_since or self.now_ms, job)

    def _finish(
        self,
        station: Station,
        codes: tuple[str, ...],
        planned: bool,
        hours: float,
        down_since: int,
        job: Job | None,
    ) -> None:
        unit, now = station.unit, self.now_ms
        found = "failed" if not planned else self.found(unit, codes)
        self._note(unit, "repair", codes[0], "planned" if planned else "corrective")
        rng = keyed(self.seed, str(unit.asset), "quality", now)
        policy = self.settings.maintenance
        for code in codes:
            spread = (1.0 - policy.repair_quality) * 2.0
            quality = 1.0 - spread * float(rng.random())
            unit.renew(code, now, quality=quality, induced=bool(rng.random() < policy.induced))
        whole = len(codes) == len(unit.lives)
        self._write(
            unit,
            now,
            "maintenance",
            mode=codes[0] if len(codes) == 1 else "",
            scope=() if whole else codes,
            planned=planned,
            found=found,
            duration_h=round(hours, 3),
            note=job.note if job is not None else "",
        )
        down_h = round((now - down_since) / HOUR_MS, 3)
        self._write(unit, now, "start", mode=codes[0], planned=planned, duration_h=down_h)
        station.up = True
        station.line.set_up(unit, up=True)
        self._expect(station)

    def _people(self, crew: Crew | None, size: int) -> Process:
        if crew is None:
            yield self.env.timeout(0)
            return []
        yield self.env.timeout(crew.hours.next_open(self.now_ms) - self.now_ms)
        requests = [crew.people.request() for _ in range(size)]
        yield self.env.all_of(requests)
        yield self.env.timeout(crew.hours.next_open(self.now_ms) - self.now_ms)
        return requests

    @staticmethod
    def _release(crew: Crew | None, requests: list[simpy.resources.resource.Request]) -> None:
        for request in requests:
            if crew is not None:
                crew.people.release(request)

    def found(self, unit: Unit, codes: Sequence[str]) -> str:
        """Return the condition a crew sees on opening the machine."""
        worst = max(unit.damage(code, self.now_ms) for code in codes)
        return "failed" if worst >= 1.0 else "degraded" if worst >= 0.25 else "sound"

    def _rounds(self, station: Station, number: int) -> Process:
        """Inspect from time to time; what the round sees is repaired as planned work."""
        policy, unit = self.settings.maintenance, station.unit
        if not policy.inspect_every_d:
            return
        every = policy.inspect_every_d * DAY_MS
        yield self.env.timeout(round(every * ((0.37 * number) % 1.0) + 9 * HOUR_MS))
        while True:
            if station.up:
                now, rng = self.now_ms, keyed(self.seed, str(unit.asset), "round", self.now_ms)
                damage = {
                    code: unit.damage(code, now)
                    for code, mode in unit.machine.modes.items()
                    if mode.visible
                }
                worst = max(damage, key=lambda code: damage[code])
                seen = damage[worst] >= policy.detect_above and rng.random() < policy.detect
                found = "degraded" if seen else "sound"
                self._write(unit, now, "inspection", mode=worst if seen else "", found=found)
                if seen:
                    self.env.process(self._repair(station, (worst,), planned=True))
            yield self.env.timeout(round(every))

    def _preventive(self, station: Station, number: int) -> Process:
        """Change the part that has run longest, by the calendar."""
        policy, unit = self.settings.maintenance, station.unit
        if not policy.preventive_every_d:
            return
        every = policy.preventive_every_d * DAY_MS
        yield self.env.timeout(round(every * ((0.61 * number) % 1.0 + 0.2)))
        while True:
            visible = [code for code, mode in unit.machine.modes.items() if mode.visible]
            oldest = max(visible, key=lambda code: unit.lives[code].used_h)
            if station.up:
                yield self.env.process(self._repair(station, (oldest,), planned=True))
            yield self.env.timeout(round(every))

    def _job(self, station: Station, job: Job) -> Process:
        yield self.env.timeout(max(job.start_ms - self.now_ms, 0))
        codes = tuple(code for code in job.scope if code in station.unit.lives)
        codes = codes or tuple(station.unit.lives)
        if station.up:
            yield self.env.process(self._repair(station, codes, planned=True, job=job))

    def _write(self, unit: Unit, ts_ms: int, kind: str, **fields: object) -> None:
        event = Event(unit.asset, ts_ms, kind, **fields)  # type: ignore[arg-type]  # callers name Event's fields
        self.book.write(event, tuple(unit.lives))

    def _note(self, unit: Unit, kind: str, code: str, cause: str) -> None:
        wear = {name: unit.damage(name, self.now_ms) for name in unit.lives}
        self.book.true(TrueEvent(unit.asset, self.now_ms, kind, code, cause, wear))


@dataclass(frozen=True, slots=True, eq=False)
class Simulation:
    """A history: frames per machine, the log as kept, the truth, and the plant to go on with."""

    frames: dict[AssetPath, AssetFrame]
    events: list[Event]
    truth: list[TrueEvent]
    live: PlantSimulation
    start_ms: int
    stop_ms: int

    @property
    def run_id(self) -> str:
        """The mark on every reading of this run."""
        return self.live.run_id


def simulate(
    plant: Plant | str = "demo",
    seed: int = 0,
    days: float = 30.0,
    *,
    start_ms: int = DEFAULT_START_MS,
    interval_s: float | None = None,
    settings: SimulatorSettings | None = None,
    assets: Iterable[str] | None = None,
    processes: int = 1,
) -> Simulation:
    """Simulate a plant (or a preset by name) and return readings, events and truth of `days`.

    Same plant, seed and settings: same readings to the last bit, however many processes compute them.
    """
    if isinstance(plant, str):
        plant = parse_plant(preset_toml(plant), f"{plant} preset")
    settings = settings or SimulatorSettings()
    if interval_s is not None:
        settings = settings.model_copy(update={"interval_s": interval_s})
    live = PlantSimulation(plant, seed=seed, start_ms=start_ms, settings=settings, assets=assets)
    stop_ms = start_ms + round(days * DAY_MS)
    live.advance(stop_ms)
    frames = sample_frames(live.sampler, start_ms, stop_ms, processes)
    return Simulation(
        frames, list(live.book.events), list(live.book.truth), live, start_ms, stop_ms
    )

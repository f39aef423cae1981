"""A plant that wears, breaks, is repaired, and obeys the schedule: the simulation itself.

`PlantSimulation` moves through time event by event (simpy); readings are computed from its traces
(simulator.frames), for a year at once or minute by minute. `simulate` is the short way to a history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import simpy

from plant.asset import AssetPath
from plant.config import ModeSpec, Plant, parse_plant
from plant.errors import DataError
from plant.event import Event
from plant.times import DAY_MS
from simulator.faults.injector import Injector
from simulator.frames import AssetFrame, Sampler, sample_frames
from simulator.layout import LineLayout
from simulator.line import Line
from simulator.machines import machine
from simulator.maintenance import Maintenance
from simulator.presets import preset_toml
from simulator.records import Logbook, TrueEvent
from simulator.settings import DEFAULT_START_MS, SimulatorSettings
from simulator.station import Job, Station
from simulator.unit import Unit
from simulator.workshop import Workshop

__all__ = ["Job", "PlantSimulation", "Simulation", "Station", "simulate"]


class PlantSimulation:
    """A running plant. `advance` moves it; `obey` hands it a schedule; logs are in `book`.

    The whole plant is always simulated, for one machine's stop is another one's starvation; `assets`
    chooses whose readings and events are given out (`shown`), so that processes can share the work.
    """

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
        what = f"{plant.model_dump_json()}{self.settings.model_dump_json()}{start_ms}"
        self.run_id = f"sim-{self.seed}-{blake2b(what.encode(), digest_size=3).hexdigest()}"
        self.book = Logbook(self.settings.records, self.seed, self.run_id)
        self.env = simpy.Environment(initial_time=start_ms)
        self.workshop = Workshop(self.env, plant)
        self.maintenance = Maintenance(self)
        self.lines: dict[str, Line] = {}
        self.stations: dict[AssetPath, Station] = {}
        unknown = set(self.settings.lines) - {spec.path.rpartition("/")[0] for spec in plant.assets}
        if unknown:
            raise DataError(f"lines: there is no line {min(unknown)} with machines in the plant.")
        for spec in plant.assets:
            self._add(AssetPath.parse(spec.path), spec.kind)
        chosen = self.stations if assets is None else map(AssetPath.parse, assets)
        self.shown = tuple(self.station(asset).unit.asset for asset in chosen)
        if not self.shown:
            raise DataError("there is no machine to simulate.", fix="List assets in plant.toml.")
        self.faults = Injector(
            self.settings.faults,
            [station.unit for station in self.stations.values()],
            seed=self.seed,
            start_ms=start_ms,
            days=self.settings.fault_days,
        )
        self.sampler = Sampler(self)
        for line in self.lines.values():
            line.begin()
        for station in self.stations.values():
            self.maintenance.begin(station)
        self.faults.begin(self)

    def _add(self, asset: AssetPath, kind: str) -> None:
        line = self.lines.get(asset.line_path)
        if line is None:
            layout = self.settings.lines.get(asset.line_path, LineLayout())
            line = Line(self.env, self.plant, asset.line_path, layout, self.seed, self._changed)
            self.lines[asset.line_path] = line
        unit = Unit(
            asset, machine(kind), seed=self.seed, start_ms=self.start_ms, wear=self.settings.wear
        )
        self.stations[asset] = Station(unit, line, len(self.stations))
        line.add(unit)

    @property
    def now_ms(self) -> int:
        """The plant's time: everything before it has happened."""
        return int(self.env.now)

    def advance(self, until_ms: int) -> None:
        """Let the plant run until just before `until_ms`."""
        if until_ms > self.env.now:
            self.env.run(until=until_ms)

    def station(self, asset: AssetPath) -> Station:
        """Return a machine in its place. Raises DataError for one that is not simulated."""
        found = self.stations.get(asset)
        if found is None:
            raise DataError(f"the machine {asset} is not simulated.")
        return found

    def events(self) -> list[Event]:
        """Return what the people wrote down about the chosen machines so far."""
        return [event for event in self.book.events if event.asset in self.shown]

    def truths(self) -> list[TrueEvent]:
        """Return what truly happened to the chosen machines so far."""
        return [event for event in self.book.truth if event.asset in self.shown]

    def obey(self, jobs: Sequence[Job]) -> None:
        """Take over a schedule; a job whose time has passed begins now."""
        for job in jobs:
            self.maintenance.obey(self.station(job.asset), job)

    def mode_spec(self, unit: Unit, code: str) -> ModeSpec:
        """Return what a repair takes: from plant.toml, else the kind's own figures."""
        configured = self.plant.kind_spec(unit.asset).modes.get(code)
        return configured or unit.machine.modes[code].spec

    def _changed(self, unit: Unit) -> None:
        """Expect the next failure anew, for the line changed how a machine runs."""
        station = self.stations[unit.asset]
        station.version += 1
        due = unit.next_failure()
        if due is None or not station.up:
            return
        version, (ts_ms, code) = station.version, due
        alarm = self.env.timeout(max(ts_ms - self.now_ms, 0))
        alarm.callbacks.append(lambda _: self._due(station, version, code))

    def _due(self, station: Station, version: int, code: str) -> None:
        if version == station.version:
            self.fail(station, code)

    def fail(self, station: Station, code: str, cause: str = "") -> None:
        """Let a machine fail now: log it, stop it, call for repair. It must be up."""
        unit = station.unit
        if not cause:
            visible = unit.machine.modes[code].visible
            cause = "induced" if unit.lives[code].induced else "wear" if visible else "shock"
        self.note(unit, "failure", code, cause)
        self.take_down(station)
        label = self.mode_spec(unit, code).label
        self.write(unit, "failure", mode=code, planned=False, found="failed", note=label)
        self.write(unit, "stop", mode=code, planned=False)
        self.maintenance.correct(station, code)

    def at(self, ts_ms: int, act: Callable[[], None]) -> None:
        """Do something at a moment (at once if it has passed)."""
        timer = self.env.timeout(max(ts_ms - self.now_ms, 0))
        timer.callbacks.append(lambda _: act())

    def break_down(self, asset: AssetPath, mode: str) -> None:
        """Break a machine by script; nothing happens to one that is down already."""
        station = self.station(asset)
        if mode not in station.unit.lives:
            modes = ", ".join(station.unit.lives)
            raise DataError(
                f"{asset} has no failure mode {mode[:20]!r}.", fix=f"Use one of {modes}."
            )
        if station.up:
            station.unit.strike(mode, self.now_ms)
            self.fail(station, mode, "script")

    def replace(self, asset: AssetPath) -> None:
        """Put a new machine in the place of one, in no time."""
        station = self.station(asset)
        codes = tuple(station.unit.lives)
        found = self.maintenance.found(station, codes)
        station.unit.replace(self.now_ms)
        self.write(
            station.unit, "maintenance", planned=True, found=found, duration_h=0.0,
            note="machine replaced",
        )  # fmt: skip
        self._changed(station.unit)

    def take_down(self, station: Station) -> None:
        """Stop a machine for good, until it is brought up again."""
        station.up = False
        station.version += 1
        station.line.set_up(station.unit, up=False)

    def bring_up(self, station: Station) -> None:
        """Give a machine back to its line."""
        station.up = True
        station.line.set_up(station.unit, up=True)

    def write(self, unit: Unit, kind: str, **fields: Any) -> None:
        """Have people write an event of this moment down."""
        self.book.write(Event(unit.asset, self.now_ms, kind, **fields), tuple(unit.lives))

    def note(self, unit: Unit, kind: str, code: str, cause: str) -> None:
        """Note the truth of this moment."""
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
    return Simulation(frames, live.events(), live.truths(), live, start_ms, stop_ms)

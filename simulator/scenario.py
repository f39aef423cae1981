"""Scenarios: a plant, how long, and what goes wrong, as a TOML file; a library of ready ones.

name = "drifting-sensor"
sentence = "A pump's flow meter drifts for ten days while the pump is sound."
plant = "demo"            # a preset, a kind of machine, or the path of a plant.toml
days = 14

[[faults]]
at = "3d 4h"
for = "10d"
what = "sensor.drift"
where = "lyon/l1/pump-3/flow_m3h"
how_much = 1.5            # units per day
"""

from __future__ import annotations

import tomllib
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from plant.config import Plant, parse_plant
from plant.config_errors import config_error
from plant.errors import ConfigError, DataError
from plant.times import DAY_MS
from simulator.faults.spec import Fault
from simulator.frames import sample_frames
from simulator.plant import PlantSimulation, Simulation
from simulator.presets import preset_toml
from simulator.settings import DEFAULT_START_MS, SimulatorSettings


class Scenario(BaseModel):
    """What a scenario file says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    sentence: str = Field(min_length=1, description="what happens, for people")
    plant: str = "demo"
    days: float = Field(default=14.0, gt=0)
    start: datetime | None = Field(default=None, description="default: Monday 5 January 2026")
    seed: int = Field(default=0, ge=0)
    assets: tuple[str, ...] = Field(default=(), description="show only these machines; empty: all")
    simulator: SimulatorSettings = SimulatorSettings()
    faults: tuple[Fault, ...] = ()

    @model_validator(mode="after")
    def _sane(self) -> Self:
        if self.start is not None and self.start.tzinfo is None:
            raise ValueError("start needs a zone; write it like 2026-03-23T00:00:00Z")
        if self.simulator.faults:
            raise ValueError("write faults as [[faults]], not below [simulator]")
        return self

    def settings(self) -> SimulatorSettings:
        """Return the simulator's settings with the scenario's faults."""
        return self.simulator.model_copy(update={"faults": self.faults, "fault_days": self.days})

    @property
    def start_ms(self) -> int:
        """When it begins, epoch ms."""
        return DEFAULT_START_MS if self.start is None else round(self.start.timestamp() * 1000)

    @property
    def stop_ms(self) -> int:
        """When it ends, epoch ms."""
        return self.start_ms + round(self.days * DAY_MS)

    def begin(self, *, seed: int | None = None) -> PlantSimulation:
        """Return the plant at the scenario's beginning."""
        return PlantSimulation(
            load_plant(self.plant),
            seed=self.seed if seed is None else seed,
            start_ms=self.start_ms,
            settings=self.settings(),
            assets=self.assets or None,
        )

    def run(self, *, seed: int | None = None, processes: int = 1) -> Simulation:
        """Run it to its end and return the history."""
        live = self.begin(seed=seed)
        live.advance(self.stop_ms)
        frames = sample_frames(live.sampler, self.start_ms, self.stop_ms, processes)
        return Simulation(frames, live.events(), live.truths(), live, self.start_ms, self.stop_ms)


def load_plant(name: str) -> Plant:
    """Return the plant a name stands for: a preset, a kind, or the path of a plant.toml."""
    if name.endswith(".toml"):
        path = Path(name)
        try:
            return parse_plant(path.read_text(encoding="utf-8"), str(path))
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    return parse_plant(preset_toml(name), f"{name} preset")


def parse_scenario(text: str, file: str = "scenario.toml") -> Scenario:
    """Read a scenario. Raises ConfigError naming file, table, key and fix for the first mistake."""
    try:
        return Scenario.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            file, "", "", f"not valid TOML: {error}.", fix="Mend that line."
        ) from error
    except ValidationError as error:
        raise config_error(file, error) from error


def load_scenario(name: str) -> Scenario:
    """Return a scenario of the library by name, or from a file. Raises DataError when there is none."""
    path = Path(name)
    if name.endswith(".toml"):
        try:
            return parse_scenario(path.read_text(encoding="utf-8"), name)
        except OSError as error:
            raise DataError(f"{name} cannot be read: {error.strerror}.") from error
    found = {scenario.name: scenario for scenario in library()}
    if name not in found:
        raise DataError(
            f"there is no scenario {name[:64]!r}.", fix=f"Use one of {', '.join(found)}, or a file."
        )
    return found[name]


def library() -> list[Scenario]:
    """Return the ready scenarios in the order of their names."""
    folder = resources.files("simulator") / "scenarios"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return [parse_scenario(f.read_text(encoding="utf-8"), f.name) for f in files]

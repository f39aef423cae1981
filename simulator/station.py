"""A machine in its place, planned work on it, and what a plant lets its maintainers do."""

from __future__ import annotations

from dataclasses import dataclass

from plant.asset import AssetPath
from simulator.line import Line
from simulator.unit import Unit


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
    """A machine in its place: up or not; `version` tells a due failure from one long averted."""

    unit: Unit
    line: Line
    number: int
    up: bool = True
    version: int = 0

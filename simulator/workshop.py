"""Crews with skills and hours, spare parts with lead times: what a repair waits for."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import simpy

from plant.config import CrewSpec, Plant
from plant.times import DAY_MS
from simulator.calendar import Hours

#: A simpy process.
Process = Generator[Any, Any, Any]


class Crew:
    """People of one crew and their working hours."""

    def __init__(self, env: simpy.Environment, spec: CrewSpec, plant: Plant) -> None:
        self.spec = spec
        site = spec.site or next(iter(plant.sites), "")
        self.hours = Hours(spec.shifts, plant.timezone(site))
        self.people = simpy.Resource(env, capacity=spec.size)

    def can(self, skill: str, site: str, size: int) -> bool:
        """Tell whether this crew may do a job."""
        return (
            skill in self.spec.skills and self.spec.site in {None, site} and self.spec.size >= size
        )

    @property
    def queue(self) -> int:
        """People wanted or at work."""
        return len(self.people.queue) + int(self.people.count)


class Workshop:
    """Hands out people and parts. A skill no crew has is bought in at once, from outside."""

    def __init__(self, env: simpy.Environment, plant: Plant) -> None:
        self._env = env
        self.crews = [Crew(env, spec, plant) for spec in plant.crews]
        self._parts = {
            name: simpy.Container(env, init=spec.stock) for name, spec in plant.parts.items()
        }
        self._lead_ms = {name: spec.lead_time_d * DAY_MS for name, spec in plant.parts.items()}

    def crew_for(self, skill: str, site: str, size: int) -> Crew | None:
        """Return the able crew that is soonest at work with the shortest queue; None: bought in."""
        now = int(self._env.now)
        able = [crew for crew in self.crews if crew.can(skill, site, size)]
        return min(able, key=lambda c: (c.hours.next_open(now), c.queue), default=None)

    def take_parts(self, parts: Mapping[str, int]) -> Process:
        """Take parts from stock and order as many anew; wait for the delivery if there are none."""
        for name, amount in parts.items():
            stock = self._parts.get(name)
            if stock is None or amount < 1:
                continue
            self._env.process(self._order(name, amount))
            yield stock.get(amount)

    def give_back(self, parts: Mapping[str, int]) -> Process:
        """Put parts that were not needed back into stock."""
        for name, amount in parts.items():
            if name in self._parts and amount > 0:
                yield self._parts[name].put(amount)

    def _order(self, name: str, amount: int) -> Process:
        yield self._env.timeout(round(self._lead_ms[name]))
        yield self._parts[name].put(amount)

    def stock(self, part: str) -> int:
        """Return how many of a part lie in stock now."""
        return int(self._parts[part].level)

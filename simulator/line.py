"""A production line: what runs when, and at which load."""

from __future__ import annotations

from collections.abc import Callable

import simpy

from plant.config import Plant
from plant.times import HOUR_MS
from simulator.calendar import break_windows
from simulator.machine import Operation
from simulator.rng import keyed
from simulator.unit import Unit
from simulator.workshop import Process

#: Loads of the products a line makes, fractions of rated.
PRODUCT_LOADS = (0.82, 0.9, 1.0)


class Line:
    """Machines of one line: breaks stop them, products load them."""

    def __init__(
        self,
        env: simpy.Environment,
        plant: Plant,
        path: str,
        seed: int,
        changed: Callable[[Unit], None],
    ) -> None:
        self.env, self.path, self._seed, self._changed = env, path, seed, changed
        site, line = path.split("/")
        self._zone = plant.timezone(site)
        self._breaks = [
            b for b in plant.breaks if b.site in {None, site} and b.line in {None, line}
        ]
        self.on = True
        self.load = PRODUCT_LOADS[0]
        self._up: dict[Unit, bool] = {}

    def add(self, unit: Unit) -> None:
        """Put a machine into the line."""
        self._up[unit] = True

    def begin(self) -> None:
        """Start the line's processes."""
        self.env.process(self._products())
        self.env.process(self._pauses())

    def set_up(self, unit: Unit, *, up: bool) -> None:
        """Take note that a machine went down or came back."""
        self._up[unit] = up
        self._apply(unit)

    def _apply(self, unit: Unit) -> None:
        running = self.on and self._up[unit]
        unit.run(int(self.env.now), Operation(1.0 if running else 0.0, self.load))
        self._changed(unit)

    def _all(self) -> None:
        for unit in self._up:
            self._apply(unit)

    def _products(self) -> Process:
        number = 0
        while True:
            rng = keyed(self._seed, self.path, "product", number)
            self.load = PRODUCT_LOADS[int(rng.integers(len(PRODUCT_LOADS)))]
            self._all()
            yield self.env.timeout(round(rng.uniform(10.0, 40.0) * HOUR_MS))
            number += 1

    def _pauses(self) -> Process:
        for start, stop in break_windows(self._breaks, self._zone, int(self.env.now)):
            yield self.env.timeout(max(start - int(self.env.now), 0))
            self.on = False
            self._all()
            yield self.env.timeout(stop - int(self.env.now))
            self.on = True
            self._all()

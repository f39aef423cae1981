"""A production line: what runs when, at which load, and what comes out.

Machines stand in stages, side by side within a stage, with buffers between stages. A machine that
fails, a break, a change-over or a full or empty buffer changes who runs; each change is worked out
at its moment (simpy), so stoppage hours and output come out of the line and not out of a formula.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import simpy

from plant.config import Plant
from plant.errors import DataError
from plant.times import HOUR_MS
from simulator.calendar import break_windows, closed_windows, merge
from simulator.flow import Flow
from simulator.layout import LineLayout, default_stages
from simulator.machine import Operation
from simulator.rng import keyed
from simulator.unit import Unit
from simulator.workshop import Process


@dataclass(slots=True)
class Place:
    """A machine in its stage: up or down, and the hours it spent in each state."""

    unit: Unit
    stage: int = 0
    up: bool = True
    state: str = "running"
    hours: dict[str, float] = field(default_factory=lambda: defaultdict(float))


@dataclass(frozen=True, slots=True)
class LineChange:
    """The line from a moment on: product, units made so far, rate of the last stage, machines' states."""

    ts_ms: int
    product: str
    made: float
    rate_per_h: float
    states: tuple[str, ...]


class Line:
    """Machines of one line. `changed(unit)` is called whenever a machine begins to run differently."""

    def __init__(
        self,
        env: simpy.Environment,
        plant: Plant,
        path: str,
        layout: LineLayout,
        seed: int,
        changed: Callable[[Unit], None],
    ) -> None:
        self.env, self.path, self.layout = env, path, layout
        self._seed, self._changed = seed, changed
        site, name = path.split("/")
        self._zone = plant.timezone(site)
        self._breaks = [
            b for b in plant.breaks if b.site in {None, site} and b.line in {None, name}
        ]
        self.places: dict[Unit, Place] = {}
        self.log: list[LineChange] = []
        self.product = layout.products[0]
        self.paused = self.changing = False
        self._flow = Flow(1, ())
        self._at_ms = int(env.now)
        self._version = 0

    def add(self, unit: Unit) -> None:
        """Put a machine into the line."""
        self.places[unit] = Place(unit)

    def begin(self) -> None:
        """Place the machines and start the line's processes."""
        names = {unit.asset.asset: place for unit, place in self.places.items()}
        stages = self.layout.stages or default_stages(list(names))
        placed = [name for stage in stages for name in stage]
        if sorted(placed) != sorted(names):
            raise DataError(
                f"the layout of {self.path} does not place every machine exactly once.",
                fix=f"Its machines are {', '.join(names)}.",
            )
        for number, stage in enumerate(stages):
            for name in stage:
                names[name].stage = number
        self._size = [len(stage) for stage in stages]
        self._pace = [self.layout.rate_per_h * self.layout.pace(i) for i in range(len(stages))]
        buffers = [self.layout.buffer_h(i) * self._pace[i + 1] for i in range(len(stages) - 1)]
        self._flow = Flow(len(stages), buffers)
        self.env.process(self._products())
        self.env.process(self._pauses())

    @property
    def made(self) -> float:
        """Units that left the line up to the present moment."""
        hours = (int(self.env.now) - self._at_ms) / HOUR_MS
        return self._flow.made + self._flow.rates[-1] * hours

    def hours(self, unit: Unit) -> dict[str, float]:
        """Return the hours a machine spent in each state up to the present moment."""
        place = self.places[unit]
        since = (int(self.env.now) - self._at_ms) / HOUR_MS
        return dict(place.hours) | {place.state: place.hours.get(place.state, 0.0) + since}

    def set_up(self, unit: Unit, *, up: bool) -> None:
        """Take note that a machine went down or came back."""
        self.places[unit].up = up
        self.update()

    def update(self) -> None:
        """Bring material up to now and work out anew who runs, and until when that holds."""
        now = int(self.env.now)
        hours, self._at_ms = (now - self._at_ms) / HOUR_MS, now
        self._flow.advance(hours)
        for place in self.places.values():
            place.hours[place.state] += hours
        idle = self.paused or self.changing
        capacity = [0.0] * len(self._size)
        for place in self.places.values():
            if place.up and not idle:
                capacity[place.stage] += (
                    self._pace[place.stage] / self._size[place.stage] * self.product.rate
                )
        self._flow.set_capacity(capacity)
        for place in self.places.values():
            self._apply(place, capacity[place.stage], now)
        self._write(now)
        self._version += 1
        wait = self._flow.hours_to_change()
        if math.isfinite(wait):
            version = self._version
            timer = self.env.timeout(max(math.ceil(wait * HOUR_MS), 1))
            timer.callbacks.append(lambda _: self.update() if version == self._version else None)

    def _apply(self, place: Place, capacity: float, now: int) -> None:
        rate = self._flow.rates[place.stage]
        share = rate / capacity if capacity > 0.0 else 0.0
        if not place.up:
            place.state = "down"
        elif self.paused or self.changing:
            place.state = "break" if self.paused else "changeover"
        elif share <= 1e-9:
            place.state = "starved" if self._flow.starved(place.stage) else "blocked"
        else:
            place.state = "running"
        runs = place.state == "running"
        load = self.product.load * share if runs else place.unit.operation.load
        before = place.unit.operation
        place.unit.run(now, Operation(1.0 if runs else 0.0, load))
        if place.unit.operation != before:
            self._changed(place.unit)

    def _write(self, now: int) -> None:
        states = tuple(place.state for place in self.places.values())
        entry = LineChange(now, self.product.name, self._flow.made, self._flow.rates[-1], states)
        if self.log and self.log[-1].ts_ms == now:
            self.log[-1] = entry
        else:
            self.log.append(entry)

    def _products(self) -> Process:
        """Make one product after another, with a change-over between two different ones."""
        number, layout = 0, self.layout
        while True:
            rng = keyed(self._seed, self.path, "product", number)
            shares = [product.share for product in layout.products]
            total = sum(shares)
            chosen = int(rng.choice(len(shares), p=[share / total for share in shares]))
            product = layout.products[chosen]
            if number and product is not self.product and layout.changeover_h > 0:
                self.changing = True
                self.update()
                hours = layout.changeover_h * math.exp(0.2 * rng.standard_normal())
                yield self.env.timeout(round(hours * HOUR_MS))
                self.changing = False
            self.product = product
            self.update()
            low, high = layout.campaign_h
            yield self.env.timeout(max(round(rng.uniform(low, high) * HOUR_MS), 1))
            number += 1

    def _pauses(self) -> Process:
        """Stop for planned breaks and outside the shifts."""
        now = int(self.env.now)
        breaks = break_windows(self._breaks, self._zone, now)
        closed = closed_windows(self.layout.shifts, self._zone, now)
        for start, stop in merge(breaks, closed):
            yield self.env.timeout(max(start - int(self.env.now), 0))
            self.paused = True
            self.update()
            yield self.env.timeout(max(stop - int(self.env.now), 1))
            self.paused = False
            self.update()

"""One machine of the plant: its hidden state, its wear and its next failure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plant.asset import AssetPath
from plant.times import HOUR_MS
from simulator.laws.kijima import virtual_age
from simulator.machine import Machine, Operation
from simulator.rng import keyed
from simulator.trace import Trace
from simulator.wear import WearPath, survivor

_RAMP_MS = 20_000
#: First-order warm-up drawn with straight lines between these points (in time constants).
_WARM_POINTS = np.array([0.0, 0.2, 0.45, 0.8, 1.2, 1.8, 2.6, 4.0, 6.0])
_WARM_SHAPE = (1.0 - np.exp(-_WARM_POINTS)) / (1.0 - math.exp(-6.0))
NUMBER_OF_TRAITS = 12


@dataclass(slots=True)
class Life:
    """The current part behind one failure mode: its path, and how far along it is."""

    path: WearPath
    used_h: float
    pace: float = 0.0
    number: int = 0
    induced: bool = False


class Unit:
    """A machine with competing failure modes, each on its own clock of stressed hours.

    Times are epoch ms. `wear` divides every life: 12 makes a year's wear happen in a month.
    """

    def __init__(
        self, asset: AssetPath, machine: Machine, *, seed: int, start_ms: int, wear: float = 1.0
    ) -> None:
        self.asset, self.machine, self._seed = asset, machine, seed
        self._wear = wear
        self._since_ms = start_ms
        #: What makes this machine differ from its sisters, since when; a replacement adds an entry.
        self.traits = [(start_ms, self._draw_trait(0))]
        self.operation = Operation(0.0, 1.0)
        self.lives: dict[str, Life] = {}
        for code, mode in machine.modes.items():
            rng = self._rng("life", code, 0)
            path = mode.draw(rng)
            # The plant is in service already: parts are somewhere in their lives, not all new.
            self.lives[code] = Life(path, float(rng.uniform(0.0, 0.85)) * path.life_h)
        self.speed, self.load, self.heat = (Trace(start_ms, v) for v in (0.0, 1.0, 0.0))
        self.wear = {code: Trace(start_ms, self._damage(life)) for code, life in self.lives.items()}

    def _rng(self, *key: str | int) -> np.random.Generator:
        return keyed(self._seed, str(self.asset), *key)

    def _draw_trait(self, number: int) -> NDArray[np.float64]:
        return np.clip(self._rng("traits", number).standard_normal(NUMBER_OF_TRAITS), -2.0, 2.0)

    def trait(self, ts_ms: int) -> tuple[NDArray[np.float64], int | None]:
        """Return the traits at a moment, and when they change next."""
        after = [since for since, _ in self.traits if since > ts_ms]
        held = [trait for since, trait in self.traits if since <= ts_ms] or [self.traits[0][1]]
        return held[-1], min(after, default=None)

    def _damage(self, life: Life) -> float:
        return float(np.interp(life.used_h, life.path.hours, life.path.damage))

    def run(self, now_ms: int, operation: Operation) -> None:
        """Run at `operation` from now on (speed 0: stop)."""
        if operation == self.operation:
            return
        self._settle(now_ms)
        old, self.operation = self.operation, operation
        if operation.speed != old.speed:
            ramp = [self.speed.value(now_ms), operation.speed]
            self.speed.plan([now_ms, now_ms + _RAMP_MS], ramp)
        if operation.load != old.load:
            ramp = [self.load.value(now_ms), operation.load]
            self.load.plan([now_ms, now_ms + 3 * _RAMP_MS], ramp)
        target = operation.speed * (0.4 + 0.6 * operation.load)
        start = self.heat.value(now_ms)
        tau_ms = self.machine.warm_up_h * HOUR_MS * (1.0 if operation.speed > 0 else 1.8)
        self.heat.plan(now_ms + _WARM_POINTS * tau_ms, start + (target - start) * _WARM_SHAPE)
        for code in self.lives:
            self._follow(code, now_ms)

    def _settle(self, now_ms: int) -> None:
        """Bring every life up to now; only events call this, so that nobody's looking changes a bit."""
        hours = (now_ms - self._since_ms) / HOUR_MS
        for life in self.lives.values():
            life.used_h += hours * life.pace
        self._since_ms = now_ms

    def _follow(self, code: str, now_ms: int) -> None:
        """Plan the damage of one mode from now on at the present operation."""
        life, mode = self.lives[code], self.machine.modes[code]
        speed = self.operation.speed
        life.pace = self._wear * mode.stress(self.operation) if speed > 0 else 0.0
        trace, now = self.wear[code], self._damage(life)
        if life.pace <= 0.0:
            trace.plan([now_ms], [now])
            return
        first = int(np.searchsorted(life.path.hours, life.used_h, "right"))
        ahead = (life.path.hours[first:] - life.used_h) / life.pace * HOUR_MS
        later = ahead > 0.001
        times = np.concatenate([[now_ms], now_ms + ahead[later]])
        trace.plan(times, np.concatenate([[now], life.path.damage[first:][later]]))

    def next_failure(self) -> tuple[int, str] | None:
        """Return when and by which mode it fails if nothing changes; None while it stands still."""
        due = [
            (self._since_ms + math.ceil(left / life.pace * HOUR_MS), code)
            for code, life in self.lives.items()
            if life.pace > 0.0 and math.isfinite(left := max(life.path.life_h - life.used_h, 0.0))
        ]
        return min(due, default=None)

    def damage(self, code: str, now_ms: float) -> float:
        """Return the true damage of a mode, 0 new to 1 failed."""
        return self.wear[code].value(now_ms)

    def left_h(self, code: str, now_ms: int) -> float:
        """Return the hours of running left to this mode at rated operation (from now)."""
        life = self.lives[code]
        used = life.used_h + (now_ms - self._since_ms) / HOUR_MS * life.pace
        return max(life.path.life_h - used, 0.0) / self._wear

    def renew(self, code: str, now_ms: int, *, quality: float, induced: bool = False) -> None:
        """Repair one mode: `quality` 1 is as good as new, 0 as bad as old (Kijima's virtual age).

        `induced` marks a repair done wrongly: the new part has an early death within days.
        """
        self._settle(now_ms)
        old = self.lives[code]
        mode = self.machine.modes[code]
        number = old.number + 1
        rng = self._rng("life", code, number)
        age = virtual_age(0.0, min(old.used_h, old.path.life_h), 1.0 - quality)
        path = survivor(mode.draw, rng, age)
        if induced:
            early = self._wear * float(rng.uniform(8.0, 96.0))
            path = WearPath(path.hours * (early / path.life_h), path.damage)
            age = 0.0
        self.lives[code] = Life(path, age, number=number, induced=induced)
        self._follow(code, now_ms)

    def strike(self, code: str, now_ms: int) -> None:
        """Break one mode here and now, from outside (a scenario)."""
        self._settle(now_ms)
        life = self.lives[code]
        life.used_h = life.path.life_h
        self.wear[code].plan([now_ms], [1.0])

    def replace(self, now_ms: int) -> None:
        """Put another machine of the same kind in its place: new parts, other traits."""
        for code in self.lives:
            self.renew(code, now_ms, quality=1.0)
        self.traits.append((now_ms, self._draw_trait(len(self.traits))))

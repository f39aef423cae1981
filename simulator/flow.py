"""Material through a line as a continuous flow: stages in series with buffers between them.

Between two events every stage runs at a constant rate: its own capacity, less if the buffer before it
is empty (starved) or the one behind it full (blocked). So only the moments at which a buffer runs
empty or full need computing, not single items: the continuous-material model of S. B. Gershwin,
"Manufacturing Systems Engineering", Prentice Hall 1994, ch. 3-4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_TINY = 1e-9


class Flow:
    """Stages and buffers. Rates are units per hour, levels units, times hours."""

    def __init__(self, stages: int, capacities: Sequence[float]) -> None:
        if len(capacities) != stages - 1:
            raise ValueError(f"{stages} stages need {stages - 1} buffers, not {len(capacities)}")
        self.buffers = list(capacities)
        self.levels = [capacity / 2 for capacity in capacities]
        self.rates = [0.0] * stages
        self.made = 0.0

    def set_capacity(self, capacity: Sequence[float]) -> None:
        """Give every stage what it could do now; the rates follow from the buffers."""
        rates = list(capacity)
        for _ in range(len(rates) + 1):
            before = list(rates)
            for j in range(len(self.buffers)):
                if self._empty(j):
                    rates[j + 1] = min(rates[j + 1], rates[j])
            for j in reversed(range(len(self.buffers))):
                if self._full(j):
                    rates[j] = min(rates[j], rates[j + 1])
            if rates == before:
                break
        self.rates = rates

    def advance(self, hours: float) -> None:
        """Let material flow at the present rates."""
        self.made += self.rates[-1] * hours
        for j, capacity in enumerate(self.buffers):
            level = self.levels[j] + (self.rates[j] - self.rates[j + 1]) * hours
            self.levels[j] = min(max(level, 0.0), capacity)

    def hours_to_change(self) -> float:
        """Return the hours until a buffer runs full or empty; infinity when none will."""
        soonest = math.inf
        for j, capacity in enumerate(self.buffers):
            net = self.rates[j] - self.rates[j + 1]
            if net > _TINY:
                soonest = min(soonest, (capacity - self.levels[j]) / net)
            elif net < -_TINY:
                soonest = min(soonest, self.levels[j] / -net)
        return soonest

    def starved(self, stage: int) -> bool:
        """Tell whether nothing comes in from the stage before."""
        return stage > 0 and self._empty(stage - 1) and self.rates[stage - 1] <= _TINY

    def _empty(self, j: int) -> bool:
        return self.levels[j] <= _TINY

    def _full(self, j: int) -> bool:
        return self.levels[j] >= self.buffers[j] - _TINY

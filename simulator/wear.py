"""The path of one failure mode from new to failed, over the hours it was stressed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class WearPath:
    """Damage over equivalent running hours: hours[k] ascending from 0, damage[k] from 0 to 1 (failed)."""

    hours: Array
    damage: Array

    @property
    def life_h(self) -> float:
        """Equivalent running hours from new to failure."""
        return float(self.hours[-1])


#: Draws the path of a new part: a function of a generator only, so that a key decides a life.
DrawPath = Callable[[np.random.Generator], WearPath]


def survivor(draw: DrawPath, rng: np.random.Generator, age_h: float) -> WearPath:
    """Draw a path whose life is longer than `age_h`: the conditional law a virtual age asks for.

    By rejection, which is exact; after 1,000 refusals the last path is stretched past the age.
    """
    path = draw(rng)
    for _ in range(1_000):
        if path.life_h > age_h:
            return path
        path = draw(rng)
    return WearPath(path.hours * (1.05 * age_h / path.life_h), path.damage)

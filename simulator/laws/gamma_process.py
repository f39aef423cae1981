"""Damage that only grows, by random steps: the gamma process.

J. M. van Noortwijk, "A survey of the application of gamma processes in maintenance", Reliability
Engineering & System Safety 94 (2009) 2-21, doi:10.1016/j.ress.2007.03.019. Over h hours the increment is
gamma distributed with mean h/life and variance (h/life) * cv^2, so a life has about the relative spread cv.
"""

from __future__ import annotations

import math

import numpy as np

from simulator.laws.weibull import weibull
from simulator.wear import DrawPath, WearPath


def increments(rng: np.random.Generator, n: int, step: float, cv: float) -> np.ndarray:
    """Draw n increments of mean `step` whose sum over a unit mean has variance cv^2."""
    return rng.gamma(step / cv**2, cv**2, n)


def gamma_wear(
    *, life_h: float, cv: float = 0.15, power: float = 1.0, spread: float = 0.25, steps: int = 64
) -> DrawPath:
    """Return the law of steady wear: damage = (gamma process)^power, failed at 1.

    life_h: median hours to failure; spread: sigma of the unit-to-unit lognormal rate; a power above
    one bends the path upwards (wear that feeds on itself).
    """

    def draw(rng: np.random.Generator) -> WearPath:
        pace = life_h * math.exp(spread * rng.standard_normal())
        steps_drawn = increments(rng, 4 * steps, 1.0 / steps, cv)
        level = np.concatenate([[0.0], np.cumsum(steps_drawn)])
        hours = np.arange(len(level)) * (pace / steps)
        end = int(np.searchsorted(level, 1.0))
        if end >= len(level):
            level, end = level / level[-1], len(level) - 1
        before, after = level[end - 1], level[end]
        last = hours[end - 1] + (1.0 - before) / (after - before) * (hours[end] - hours[end - 1])
        return WearPath(
            np.append(hours[:end], max(last, np.nextafter(hours[end - 1], np.inf))),
            np.append(level[:end] ** power, 1.0),
        )

    return draw


def late_wear(
    *, life_h: float, shape: float, growth_h: float, cv: float = 0.2, power: float = 1.0
) -> DrawPath:
    """Return the law of wear that begins with an incident (Weibull) and then grows as a gamma process."""
    grow = gamma_wear(life_h=growth_h, cv=cv, power=power)

    def draw(rng: np.random.Generator) -> WearPath:
        start = weibull(rng, life_h, shape)
        path = grow(rng)
        return WearPath(
            np.concatenate([[0.0], start + path.hours]), np.concatenate([[0.0], path.damage])
        )

    return draw

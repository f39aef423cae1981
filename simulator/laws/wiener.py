"""Damage that drifts and wanders: the Wiener process with drift.

X.-S. Si, W. Wang, C.-H. Hu, D.-H. Zhou, "Remaining useful life estimation - a review on the statistical data
driven approaches", Eur. J. Oper. Res. 213 (2011) 1-14, doi:10.1016/j.ejor.2010.11.018: the first
passage of level 1 is inverse Gaussian with mean 1/drift and variance sigma^2/drift^3.
"""

from __future__ import annotations

import math

import numpy as np

from simulator.wear import DrawPath, WearPath


def wiener_wear(
    *, life_h: float, cv: float = 0.2, spread: float = 0.2, steps: int = 80
) -> DrawPath:
    """Return the law: damage has mean h/life_h and first reaches 1 with relative spread cv.

    spread: sigma of the unit-to-unit lognormal drift (median 1). Damage below zero shows as zero.
    """

    def draw(rng: np.random.Generator) -> WearPath:
        pace = life_h * math.exp(spread * rng.standard_normal())
        step = 1.0 / steps
        moves = step + cv * math.sqrt(step) * rng.standard_normal(6 * steps)
        level = np.concatenate([[0.0], np.cumsum(moves)])
        hours = np.arange(len(level)) * (pace * step)
        over = np.flatnonzero(level >= 1.0)
        end = int(over[0]) if len(over) else len(level) - 1
        if not len(over):
            level[end] = 1.0
        before, after = level[end - 1], level[end]
        last = hours[end - 1] + (1.0 - before) / (after - before) * (hours[end] - hours[end - 1])
        return WearPath(
            np.append(hours[:end], max(last, np.nextafter(hours[end - 1], np.inf))),
            np.append(np.clip(level[:end], 0.0, 1.0), 1.0),
        )

    return draw

"""Weibull lives and random shocks.

W. Weibull, "A statistical distribution function of wide applicability", J. Appl. Mech. 18 (1951) 293-297.
"""

from __future__ import annotations

import numpy as np

from simulator.wear import DrawPath, WearPath


def weibull(rng: np.random.Generator, scale_h: float, shape: float) -> float:
    """Draw a life; 63.2 % of lives end before `scale_h`."""
    return float(scale_h * rng.weibull(shape))


def shock(mean_h: float) -> DrawPath:
    """Return the law of a failure nobody can foresee: exponential life, no damage to see before it."""

    def draw(rng: np.random.Generator) -> WearPath:
        end = mean_h * rng.standard_exponential() + 0.01
        return WearPath(np.array([0.0, end * (1 - 1e-9), end]), np.array([0.0, 0.0, 1.0]))

    return draw

"""Fatigue crack and spall growth after Paris: da/dN = C (ΔK)^m with ΔK = Y Δσ sqrt(π a).

P. C. Paris, F. Erdogan, "A critical analysis of crack propagation laws", J. Basic Eng. 85 (1963)
528-533, doi:10.1115/1.3656900. Random C: D. A. Virkler, B. M. Hillberry, P. K. Goel, "The statistical
nature of fatigue crack propagation", J. Eng. Mater. Technol. 101 (1979) 148-153, doi:10.1115/1.3443666.
"""

from __future__ import annotations

import math

import numpy as np

from simulator.laws.weibull import weibull
from simulator.wear import Array, DrawPath, WearPath


def cycles(a0_m: float, ac_m: float, *, c: float, m: float, stress_mpa: float, y: float) -> float:
    """Return the cycles from crack length a0 to ac (metres, MPa sqrt(m)), Paris's law integrated."""
    k = c * (y * stress_mpa * math.sqrt(math.pi)) ** m
    if m == 2.0:
        return float(math.log(ac_m / a0_m) / k)
    p = 1.0 - m / 2.0
    return float((ac_m**p - a0_m**p) / (k * p))


def growth(x: Array, ratio: float, m: float) -> Array:
    """Return a/ac at the fraction x of the growth life, for a0/ac = `ratio` (closed form)."""
    if m == 2.0:
        return np.asarray(ratio ** (1.0 - x))
    p = 1.0 - m / 2.0
    return np.asarray((ratio**p + x * (1.0 - ratio**p)) ** (1.0 / p))


def spall(
    *, life_h: float, shape: float, growth_h: float, spread: float = 0.35, m: float = 3.0
) -> DrawPath:
    """Return the law of a rolling bearing: initiation (Weibull), then Paris growth to spall size 1.

    life_h is the characteristic life of the initiation (shape: Weibull slope, 1.1-1.5 for bearings);
    the growth takes growth_h times a lognormal factor (sigma `spread`): the randomness of Paris's C.
    """

    def draw(rng: np.random.Generator) -> WearPath:
        start = weibull(rng, life_h, shape)
        lasts = growth_h * math.exp(spread * rng.standard_normal())
        exponent = m + 0.15 * rng.standard_normal()
        x = np.linspace(0.0, 1.0, 49)
        size = growth(x, 0.015, exponent)
        size = (size - size[0]) / (size[-1] - size[0])
        return WearPath(np.concatenate([[0.0], start + lasts * x]), np.concatenate([[0.0], size]))

    return draw

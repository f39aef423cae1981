"""Ageing by heat: Arrhenius's rate, Montsinger's rule, grease life.

V. M. Montsinger, "Loading transformers by temperature", Trans. AIEE 49 (1930) 776-790,
doi:10.1109/T-AIEE.1930.5055572: insulation ages twice as fast with every 8 deg C. T. W. Dakin, "Electrical
insulation deterioration treated as a chemical rate phenomenon", Trans. AIEE 67 (1948) 113-122,
doi:10.1109/T-AIEE.1948.5059649: life = A exp(E / kT). Grease: SKF "Rolling bearings" (2018),
Lubrication: the relubrication interval halves with every 15 deg C above 70 deg C.
"""

from __future__ import annotations

import math

BOLTZMANN_EV_K = 8.617333e-5


def montsinger(temp_c: float, rated_c: float, halves_every_c: float = 8.0) -> float:
    """Return how many times faster than at the rated temperature insulation ages."""
    return float(2.0 ** ((temp_c - rated_c) / halves_every_c))


def arrhenius(temp_c: float, rated_c: float, energy_ev: float) -> float:
    """Return the rate of a reaction relative to the rated temperature."""
    cold, hot = rated_c + 273.15, temp_c + 273.15
    return math.exp(energy_ev / BOLTZMANN_EV_K * (1.0 / cold - 1.0 / hot))


def grease(temp_c: float) -> float:
    """Return how many times faster than at 70 deg C grease is used up; no slower below."""
    return float(2.0 ** (max(temp_c - 70.0, 0.0) / 15.0))

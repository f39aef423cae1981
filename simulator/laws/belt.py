"""Belts: grip after Euler and Eytelwein.

J. A. Eytelwein, "Handbuch der Statik fester Körper" (1808), after L. Euler (1769): a belt grips as long as
T1/T2 <= exp(mu theta). With tension lost the same pull asks for a larger ratio: the belt creeps, then slips.
"""

from __future__ import annotations

import math

import numpy as np

from simulator.machine import Value


def grip_ratio(mu: float, wrap_rad: float) -> float:
    """Return the largest ratio of tight-side to slack-side tension without slip."""
    return math.exp(mu * wrap_rad)


def slip_pct(tension_lost: Value, pull: Value, *, reserve: float = 0.55) -> Value:
    """Return slip in percent: 0.8 % creep at rated pull, then steep once the grip's reserve is gone.

    tension_lost: fraction of the set tension (0 new); pull: fraction of rated.
    """
    excess = np.maximum(pull / (1.0 - 0.8 * tension_lost) - 1.0 / (1.0 - reserve), 0.0)
    return 0.8 * pull / (1.0 - 0.8 * tension_lost) + 9.0 * excess

"""Imbalance: centrifugal force and what a balance quality grade allows.

F = m e w^2. ISO 21940-11:2016: the grade G is e w in mm/s; G 6.3 at 3,000 rpm allows 20 um.
Fouling adds mass unevenly, so vibration at rotation frequency grows with the deposit and speed squared.
"""

from __future__ import annotations

import math


def force_n(mass_kg: float, eccentricity_m: float, rpm: float) -> float:
    """Return the rotating force."""
    return mass_kg * eccentricity_m * (rpm * math.pi / 30.0) ** 2


def permissible_um(grade_mm_s: float, rpm: float) -> float:
    """Return the permissible eccentricity in micrometres."""
    return 1000.0 * grade_mm_s / (rpm * math.pi / 30.0)

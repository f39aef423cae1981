"""Rolling bearings: rated life and defect frequencies.

Life: G. Lundberg, A. Palmgren (1947), as ISO 281:2007: L10 = (C/P)^p million revolutions, p = 3 for
balls, 10/3 for rollers. Frequencies: R. B. Randall, J. Antoni, "Rolling element bearing diagnostics -
a tutorial", Mech. Syst. Signal Process. 25 (2011) 485-520, doi:10.1016/j.ymssp.2010.07.017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from plant.config import BearingSpec


def l10_h(dynamic_kn: float, load_kn: float, rpm: float, p: float = 3.0) -> float:
    """Return the hours that 90 % of bearings outlive."""
    return float((dynamic_kn / load_kn) ** p * 1e6 / (60.0 * rpm))


def stress(load: float, speed: float, p: float = 3.0) -> float:
    """Return the pace of fatigue at a load and speed (fractions of rated)."""
    return float(load**p * speed)


@dataclass(frozen=True, slots=True)
class DefectFrequencies:
    """Outer race, inner race, rolling element and cage frequency, Hz."""

    bpfo: float
    bpfi: float
    bsf: float
    ftf: float


def defect_frequencies(bearing: BearingSpec, shaft_hz: float) -> DefectFrequencies:
    """Return where a spall shows in the spectrum, from the geometry (no slip)."""
    ratio = bearing.ball_mm / bearing.pitch_mm * math.cos(math.radians(bearing.contact_deg))
    return DefectFrequencies(
        bpfo=0.5 * bearing.balls * shaft_hz * (1 - ratio),
        bpfi=0.5 * bearing.balls * shaft_hz * (1 + ratio),
        bsf=0.5 * bearing.pitch_mm / bearing.ball_mm * shaft_hz * (1 - ratio**2),
        ftf=0.5 * shaft_hz * (1 - ratio),
    )

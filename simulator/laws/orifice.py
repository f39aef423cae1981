"""Leakage through a valve that no longer closes: flow through an orifice.

Q = Cd A sqrt(2 dp / rho), Bernoulli with a discharge coefficient (ISO 5167-2:2003; Cd about 0.61 for a
sharp edge). A cut seat has a gap whose area grows with wear, so leakage grows in proportion.
"""

from __future__ import annotations

import math


def flow_m3_s(area_m2: float, dp_pa: float, density: float, cd: float = 0.61) -> float:
    """Return the volume flow through an orifice."""
    return cd * area_m2 * math.sqrt(2.0 * dp_pa / density)

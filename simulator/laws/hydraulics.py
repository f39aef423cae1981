"""Flow through pumps, gaps and filters.

Affinity laws, specific power and net positive suction head: J. F. Gülich, "Centrifugal Pumps", 3rd ed.,
Springer 2014, ch. 2 and 6. Gap leakage: laminar flow between plates grows with the gap cubed
(Poiseuille; F. M. White, "Viscous Fluid Flow", 3rd ed., ch. 3). Filter: Darcy's law over a cake that
grows with the volume filtered, as integrated by B. F. Ruth (1935): dp = mu v (alpha c V/A + Rm).
Onset of cavitation: suction energy left over, NPSHa - NPSHr (ISO 9906: NPSH3 is where 3 % of head is lost).
"""

from __future__ import annotations

import numpy as np

from simulator.wear import Array


def affinity(speed: float) -> tuple[float, float, float]:
    """Return the factors of flow, head and power at a fraction of rated speed: n, n^2, n^3."""
    return speed, speed**2, speed**3


def gap_leak(gap: Array | float) -> Array | float:
    """Return leakage relative to a gap of one: the cubic law."""
    return gap * gap * gap


def cake_dp_pa(
    viscosity_pa_s: float, velocity_m_s: float, alpha_m_kg: float, dust_kg_m2: float, rm_1_m: float
) -> float:
    """Return the pressure drop of a filter carrying dust_kg_m2 of cake at a face velocity."""
    return viscosity_pa_s * velocity_m_s * (alpha_m_kg * dust_kg_m2 + rm_1_m)


def npsh_available_m(
    surface_pa: float, vapour_pa: float, height_m: float, loss_m: float, density: float = 998.0
) -> float:
    """Return the suction head above boiling at the pump's inlet, metres of liquid."""
    return (surface_pa - vapour_pa) / (density * 9.80665) + height_m - loss_m


def cavitation(clogging: Array | float, margin_m: float, loss_clean_m: float) -> Array | float:
    """Return cavitation intensity 0..1 as a strainer clogs.

    The strainer's loss grows with the cake on it (Darcy); the margin NPSHa - NPSHr is used up at some
    clogging, from there intensity grows with the missing head.
    """
    loss = loss_clean_m * (1.0 + 14.0 * clogging)
    return np.clip((loss - margin_m) / margin_m, 0.0, 1.0)

"""Sliding wear after Archard: worn volume V = k F s / H.

J. F. Archard, "Contact and rubbing of flat surfaces", J. Appl. Phys. 24 (1953) 981-988,
doi:10.1063/1.1721448. Coefficients k, unlubricated: J. F. Archard, W. Hirst, "The wear of metals under
unlubricated conditions", Proc. R. Soc. A 236 (1956) 397-410, doi:10.1098/rspa.1956.0144: mild steel on mild
steel 7e-3, 60/40 brass on tool steel 6e-4, ferritic stainless steel 1.7e-5, tungsten carbide on itself 1e-6.
"""

from __future__ import annotations


def worn_volume_m3(k: float, force_n: float, distance_m: float, hardness_pa: float) -> float:
    """Return the worn volume; k is Archard's wear coefficient (no unit), hardness in Pa."""
    return k * force_n * distance_m / hardness_pa


def stress(load: float, speed: float) -> float:
    """Return the pace of wear at a load and speed (fractions of rated): proportional to both."""
    return load * speed

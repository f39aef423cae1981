"""Faults of a sensor: what a column becomes while the fault lasts.

Each takes the column x, the hours since the fault began, the amount of the scenario and one standard
normal and one uniform number per sample; it returns the false column. NaN is a missing value.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from plant.errors import DataError
from simulator.wear import Array

Distortion = Callable[[Array, Array, float, Array, Array], Array]


def drift(x: Array, hours: Array, amount: float, normal: Array, uniform: Array) -> Array:
    """Add `amount` units more every day."""
    return x + amount / 24.0 * hours


def bias(x: Array, hours: Array, amount: float, normal: Array, uniform: Array) -> Array:
    """Add `amount` units."""
    return x + amount


def dropout(x: Array, hours: Array, amount: float, normal: Array, uniform: Array) -> Array:
    """Lose a share `amount` of the values."""
    return np.where(uniform < amount, np.nan, x)


def spikes(x: Array, hours: Array, amount: float, normal: Array, uniform: Array) -> Array:
    """Replace a share `amount` of the values by far too large ones."""
    return np.where(uniform < amount, x + (np.abs(x) + 1.0) * (4.0 + np.abs(normal)), x)


def noise(x: Array, hours: Array, amount: float, normal: Array, uniform: Array) -> Array:
    """Add noise of standard deviation `amount`."""
    return x + amount * normal


def saturation(x: Array, hours: Array, amount: float, normal: Array, uniform: Array) -> Array:
    """Never show more than `amount`."""
    return np.minimum(x, amount)


DISTORTIONS: dict[str, Distortion] = {
    "sensor.drift": drift,
    "sensor.bias": bias,
    "sensor.dropout": dropout,
    "sensor.spikes": spikes,
    "sensor.noise": noise,
    "sensor.saturation": saturation,
}

#: Someone changed the unit a device sends: factor and offset from ours.
UNITS: dict[str, tuple[float, float]] = {
    "degF": (1.8, 32.0),
    "K": (1.0, 273.15),
    "psi": (14.503774, 0.0),
    "kPa": (100.0, 0.0),
    "in/s": (1 / 25.4, 0.0),
    "m/s2": (9.80665, 0.0),
    "l/min": (1000.0 / 60.0, 0.0),
    "Hz": (1 / 60.0, 0.0),
}


def converted(x: Array, unit: str) -> Array:
    """Return the column in another unit: a name of UNITS, or a factor written as a number."""
    factor, offset = UNITS.get(unit) or (_factor(unit), 0.0)
    return x * factor + offset


def _factor(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        names = ", ".join(sorted(UNITS))
        raise DataError(
            f"how_much of sensor.unit is {text[:40]!r}.", fix=f"Use one of {names}, or a factor."
        ) from None

"""What a machine measures: a signal has a name, a unit and a physical range."""

from __future__ import annotations

import math
import re
from typing import Literal

from plant.errors import DataError

#: condition: wears with the machine. operating: load, speed, ambient, product (defines the regime).
#: counter: only rises (running hours, cycles). state: on/off or a small set of codes.
SignalRole = Literal["condition", "operating", "counter", "state"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def check_signal_name(name: str) -> str:
    """Return `name` if it may name a signal (letters, digits, `_`; 64 at most), else raise DataError."""
    if not _NAME.fullmatch(name):
        shown = name if len(name) <= 80 else name[:77] + "..."
        raise DataError(
            f"signal name {shown!r} is not valid.",
            fix="Start with a letter; use up to 64 letters, digits and underscores.",
        )
    return name


def within(value: float, low: float | None, high: float | None) -> bool:
    """Tell whether a value is finite and inside its physical range; a missing bound is open."""
    return (
        math.isfinite(value) and (low is None or value >= low) and (high is None or value <= high)
    )


def per_hour(unit: str) -> str:
    """Return the unit of a slope of `unit` over time: `mm/s` becomes `mm/s/h`, no unit `1/h`."""
    return f"{unit}/h" if unit else "1/h"

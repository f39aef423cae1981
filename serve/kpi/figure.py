"""One figure with what it rests on: value, interval, n, formula and source."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Kpi:
    """A figure. `value` None: cannot be computed. `enough` False: computed, but from too little data.

    `low`, `high`: interval at the stated confidence (None: an exact sum needs none, or there is none);
    `n` counts `n_of` (failures, alarms, hours, …); `better`: `high`, `low` or empty; `note` says what
    a reader must know.
    """

    name: str
    label: str
    value: float | None
    unit: str
    n: int
    n_of: str
    formula: str
    source: str
    low: float | None = None
    high: float | None = None
    method: str = ""
    enough: bool = True
    note: str = ""
    better: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Write the figure for JSON: numbers that are not finite become null."""
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(self).items()
        }

    @property
    def text(self) -> str:
        """Return the figure for people, interval and n included."""
        if self.value is None or not math.isfinite(self.value):
            return f"– ({self.note or 'no data'}; n = {self.n} {self.n_of})"
        shown = f"{number(self.value)} {self.unit}".strip()
        if self.low is not None and self.high is not None:
            shown += f" ({number(self.low)} to {number(self.high)})"
        shown += f", n = {self.n} {self.n_of}"
        return shown if self.enough else f"{shown}: too little data"


def number(value: float) -> str:
    """Write a number with about three significant digits."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value and abs(value) < 10:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}"

"""How long machines of a kind last, by age alone: Kaplan–Meier (1958) over whole lives.

It is what can be said with few failures, and the challenger every model has to beat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.labels import Life
from plant.times import HOUR_MS

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Steps of the survival over age. ages_h: ages of failures, rising; survival: after each step."""

    ages_h: tuple[float, ...]
    survival: tuple[float, ...]
    lives: int
    failures: int

    def quantile_h(self, q: float) -> float | None:
        """Return the age by which a share `q` has failed; None when the data do not reach it."""
        for age, s in zip(self.ages_h, self.survival, strict=True):
            if s <= 1 - q + 1e-12:
                return age
        return None

    def p_fail(self, age_h: FloatArray, hours: FloatArray) -> FloatArray:
        """Return P(fails within h | alive at age), float64[n, h]; NaN ages count as age 0."""
        steps = np.concatenate([[1.0], np.asarray(self.survival)])
        ages = np.asarray(self.ages_h)
        start = np.nan_to_num(age_h, nan=0.0)
        now = steps[np.searchsorted(ages, start, side="right")]
        later = steps[np.searchsorted(ages, start[:, None] + hours[None, :], side="right")]
        return np.asarray(1.0 - later / np.maximum(now[:, None], 1e-9), dtype=np.float64)

    def sentence(self) -> str:
        """Say it for people."""
        median = self.quantile_h(0.5)
        if median is None:
            return (
                f"{self.failures} failures in {self.lives} lives so far: too few for a usual life."
            )
        return (
            f"half of {self.lives} lives ended by {median:.0f} h of age ({self.failures} failures)."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able parameters."""
        return {
            "ages_h": list(self.ages_h),
            "survival": list(self.survival),
            "lives": self.lives,
            "failures": self.failures,
        }

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> Lifetime:
        """Read `to_dict`'s result. Raises ValueError or KeyError when it is damaged."""
        ages, survival = (tuple(float(v) for v in d[key]) for key in ("ages_h", "survival"))
        if len(ages) != len(survival):
            raise ValueError("lifetime shapes")
        return cls(ages, survival, int(d["lives"]), int(d["failures"]))


def fit_lifetime(lives: Sequence[Life], born_ms: Mapping[str, int] | None = None) -> Lifetime:
    """Estimate from lives; a life joined late (its machine born before the first row) is left-truncated.

    `lives`: those of one asset in order of time; those without rows were not watched and do not count.
    `born_ms`: commissioning of each asset, where it is known.
    """
    entry, exit_, event = [], [], []
    seen: set[str] = set()
    for life in lives:
        born = life.start_ms
        if life.asset not in seen:
            seen.add(life.asset)
            born = min((born_ms or {}).get(life.asset, born), born)
        if not life.rows:
            continue
        entry.append((life.start_ms - born) / HOUR_MS)
        exit_.append((life.event_ms - born) / HOUR_MS)
        event.append(life.observed)
    start, stop = np.array(entry, dtype=np.float64), np.array(exit_, dtype=np.float64)
    failed = np.array(event, dtype=bool)
    ages = np.unique(stop[failed])
    s, steps = 1.0, []
    for age in ages:
        at_risk = np.count_nonzero((start < age) & (stop >= age))
        s *= 1.0 - np.count_nonzero(failed & (stop == age)) / at_risk if at_risk else 1.0
        steps.append(s)
    return Lifetime(tuple(float(a) for a in ages), tuple(steps), len(failed), int(failed.sum()))

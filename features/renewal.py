"""What an event renews: the whole machine, or only the signals and ages of the modes repaired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plant.config import KindSpec
from plant.event import Event
from plant.times import HOUR_MS

#: The kinds of event that begin a new life of something.
RENEWING = ("failure", "maintenance")


@dataclass(frozen=True, slots=True, eq=False)
class Renewals:
    """The renewals of one asset in time order.

    ts_ms: int64[n]; whole: bool[n]; modes: for each mode its bool[n]; signals: bool[n, C] over the
    condition signals.
    """

    ts_ms: NDArray[np.int64]
    whole: NDArray[np.bool_]
    modes: dict[str, NDArray[np.bool_]]
    signals: NDArray[np.bool_]

    def buckets(self, bucket_ms: int) -> NDArray[np.int64]:
        """Return the first whole bucket of each new life, int64[n]."""
        return -(-self.ts_ms // bucket_ms)

    def age_h(self, at_ms: NDArray[np.int64], mode: str | None = None) -> NDArray[np.float64]:
        """Return hours since the last whole renewal (or of `mode`) at each time; NaN before any."""
        chosen = self.whole if mode is None else self.modes[mode]
        since = self.ts_ms[chosen]
        position = np.searchsorted(since, at_ms, side="right") - 1
        age = np.full(len(at_ms), np.nan)
        known = position >= 0
        age[known] = (at_ms[known] - since[position[known]]) / HOUR_MS
        return age

    def first_difference(self, other: Renewals) -> int | None:
        """Return the time of the first renewal in which the two differ; None when they do not."""
        for index in range(max(len(self.ts_ms), len(other.ts_ms))):
            if index >= min(len(self.ts_ms), len(other.ts_ms)):
                longer = self if index < len(self.ts_ms) else other
                return int(longer.ts_ms[index])
            same = (
                self.ts_ms[index] == other.ts_ms[index]
                and self.whole[index] == other.whole[index]
                and np.array_equal(self.signals[index], other.signals[index])
            )
            if not same:
                return int(min(self.ts_ms[index], other.ts_ms[index]))
        return None


def renewed_modes(event: Event) -> tuple[str, ...]:
    """Return the modes an event renews; empty means the whole asset.

    A repair says so in its scope. A failure that names no scope renews the mode that failed.
    """
    if event.scope:
        return event.scope
    return (event.mode,) if event.kind == "failure" and event.mode else ()


def find_renewals(
    kind: KindSpec,
    conditions: Sequence[str],
    events: Sequence[Event],
    commissioned_ms: int | None = None,
) -> Renewals:
    """Return what the events of one asset renew; commissioning counts as the first renewal."""
    rows: list[tuple[int, tuple[str, ...]]] = []
    if commissioned_ms is not None:
        rows.append((commissioned_ms, ()))
    rows += [(event.ts_ms, renewed_modes(event)) for event in events if event.kind in RENEWING]
    rows.sort()
    n = len(rows)
    whole = np.zeros(n, dtype=bool)
    modes = {mode: np.zeros(n, dtype=bool) for mode in kind.modes}
    signals = np.zeros((n, len(conditions)), dtype=bool)
    for index, (_, scope) in enumerate(rows):
        whole[index] = not scope or (bool(kind.modes) and set(kind.modes) <= set(scope))
        for mode, mask in modes.items():
            mask[index] = whole[index] or mode in scope
        signals[index] = _signals_renewed(kind, conditions, scope, bool(whole[index]))
    return Renewals(np.array([ts for ts, _ in rows], dtype=np.int64), whole, modes, signals)


def _signals_renewed(
    kind: KindSpec, conditions: Sequence[str], scope: tuple[str, ...], whole: bool
) -> list[bool]:
    """Tell which signals a repair of `scope` renews; a mode that names none shows in all."""
    specs = [kind.modes.get(mode) for mode in scope]
    shown: set[str] = set()
    for spec in specs:
        if spec is None or not spec.signals:
            return [True] * len(conditions)
        shown |= set(spec.signals)
    return [whole or name in shown for name in conditions]

"""Which feature columns mean what to the models; the only place that reads the catalogue's statistics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue

#: Statistics that say how a machine stands, for the deviation model.
_STANDING = ("level", "deviation", "scatter")
_FALLBACK = ("mean", "std")
#: Statistics whose sign is a direction of change.
_CHANGING = ("slope", "trend", "change", "shift", "rate")


def standing(catalogue: Catalogue) -> NDArray[np.int64]:
    """Return the columns that show deviation from healthy behaviour, int64[p]."""
    for wanted in (_STANDING, _FALLBACK):
        found = [
            i
            for i, f in enumerate(catalogue.features)
            if f.stat in wanted and f.signal not in {"asset", "running"}
        ]
        if found:
            return np.array(found, dtype=np.int64)
    return np.zeros(0, dtype=np.int64)


def views(catalogue: Catalogue) -> tuple[NDArray[np.int64], ...]:
    """Return the columns of the deviation model, one int64[p] per statistic and window over all signals.

    Several windows see fast and slow change; what they look at is where a machine stands and how it moved.
    """
    found: dict[tuple[str, str], list[int]] = {}
    for wanted in ((*_STANDING, "shift"), _FALLBACK):
        for i, f in enumerate(catalogue.features):
            if f.stat in wanted and f.signal not in {"asset", "running"}:
                found.setdefault((f.window, f.stat), []).append(i)
        if found:
            break
    return tuple(np.array(columns, dtype=np.int64) for columns in found.values())


def mode_ages(catalogue: Catalogue) -> dict[str, int]:
    """Return the column of the hours since each failure mode was last renewed."""
    own = {"life", "connected", "silent", "deviation"}
    return {
        f.window: i
        for i, f in enumerate(catalogue.features)
        if f.signal == "asset" and f.stat == "age" and f.window not in own
    }


def ages(catalogue: Catalogue) -> NDArray[np.int64]:
    """Return the columns that count a machine's age or past, int64[p]: unknown when it joins late."""
    return np.array(
        [i for i, f in enumerate(catalogue.features) if f.stat == "age"], dtype=np.int64
    )


def life_age(catalogue: Catalogue) -> int | None:
    """Return the column of the age since renewal; None when the catalogue has none."""
    names = {name: i for i, name in enumerate(catalogue.names)}
    return names.get("asset.life.age")


def changes(stat: str) -> bool:
    """Tell whether a statistic's sign is a direction of change (else it is a level)."""
    return stat in _CHANGING

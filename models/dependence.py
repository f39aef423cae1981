"""Were machines repaired because of how they looked? Then surviving until the repair proves little.

A model that takes such a repair for plain censoring learns that bad looks are harmless: those who would
have failed soon never do. Where crews write what they found, `found.py` mends it; where they do not, lives
that ended by such a repair are better left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.labels import Labels

FloatArray = NDArray[np.float64]

#: Repairs and lives that are compared: more tell the same.
_MOST = 300
_LEAST_REPAIRS, _LEAST_OTHERS = 8, 3
#: On condition: repaired machines looked worse than this share of others of their age, and not by chance.
_SHARE, _Z = 0.65, 4.0


@dataclass(frozen=True, slots=True)
class Dependence:
    """How repaired machines looked among those of their age that ran on.

    repairs: how many were compared; percentile: their mean rank, 0 to 1, 1/2 when looks played no part;
    z: how many standard errors from that.
    """

    repairs: int
    percentile: float
    z: float

    @property
    def on_condition(self) -> bool:
        """Tell whether looks decided, beyond doubt and by much."""
        return self.percentile >= _SHARE and self.z >= _Z


def dependence(labels: Labels, ts_ms: NDArray[np.int64], look: FloatArray) -> Dependence:
    """Rank each machine whose repair found nothing told by its look, among all of its age at that moment.

    ts_ms: int64[n], look: float64[n] of the labelled rows, higher is worse. The ranks within risk sets of
    O'Brien (1978, "A nonparametric test for association with censored data", Biometrics 34, 243-250),
    with the repair as the event: uniform when repairs come by age or at random.
    """
    tracks = _tracks(labels, ts_ms, look)
    repaired = [i for i in tracks if labels.lives[i].reason == "unknown"]
    ranks = []
    for i in _some(repaired):
        ages, looks = tracks[i]
        others = [_at(tracks[j], ages[-1]) for j in _some([j for j in tracks if j != i])]
        alike = np.array([x for x in others if np.isfinite(x)])
        if len(alike) >= _LEAST_OTHERS and np.isfinite(looks[-1]):
            below = np.sum(alike < looks[-1]) + 0.5 * np.sum(alike == looks[-1])
            ranks.append((below + 0.5) / (len(alike) + 1))
    if len(ranks) < _LEAST_REPAIRS:
        return Dependence(len(ranks), 0.5, 0.0)
    mean = float(np.mean(ranks))
    return Dependence(len(ranks), mean, (mean - 0.5) * float(np.sqrt(12 * len(ranks))))


def _tracks(
    labels: Labels, ts_ms: NDArray[np.int64], look: FloatArray
) -> dict[int, tuple[NDArray[np.int64], FloatArray]]:
    """Return (ages in ms, looks) of every life that has rows, rising in age."""
    rows = np.flatnonzero(labels.life >= 0)
    rows = rows[np.lexsort((ts_ms[rows], labels.life[rows]))]
    life, first = np.unique(labels.life[rows], return_index=True)
    return {
        int(i): (ts_ms[part] - labels.lives[i].start_ms, look[part])
        for i, part in zip(life, np.split(rows, first[1:]), strict=True)
    }


def _some(lives: list[int]) -> list[int]:
    return lives[:: max(1, -(-len(lives) // _MOST))]


def _at(track: tuple[NDArray[np.int64], FloatArray], age: int) -> float:
    """Return how a life looked at an age; NaN when it was not watched then."""
    ages, looks = track
    if not ages[0] <= age <= ages[-1]:
        return float("nan")
    return float(looks[np.searchsorted(ages, age, side="right") - 1])

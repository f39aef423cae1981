"""Champion and challenger: a new model takes over by itself only when it is clearly better.

Both predict the same newest rows, which neither was trained on. Their losses are compared machine by
machine (bootstrap over machines, so that one noisy machine cannot decide), over all and in every
slice (site, mode). Anything less than clear waits for a person, with the figures to decide by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.table import FeatureTable
from models.bins import FloatArray, make_edges
from models.bundle import Bundle
from models.labels import Labels
from models.score import matching, predict
from models.settings import ModelSettings

Verdict = Literal["better", "worse", "unclear"]
_DRAWS = 2_000
_MIN_GROUPS = 4
_GRID = 12


@dataclass(frozen=True, slots=True)
class Slice:
    """One comparison: mean loss of both (lower is better), gain and its 95 % interval."""

    name: str
    machines: int
    champion: float
    challenger: float
    gain: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """Say whether the interval is clear of zero."""
        if self.machines < _MIN_GROUPS or not (self.low > 0 or self.high < 0):
            return "unclear"
        return "better" if self.low > 0 else "worse"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The whole and its slices."""

    overall: Slice
    slices: tuple[Slice, ...]

    @property
    def promote(self) -> bool:
        """Tell whether the challenger may take over without a person."""
        return self.overall.verdict == "better" and all(s.verdict != "worse" for s in self.slices)

    def reason(self) -> str:
        """Say why, for people and for the audit trail."""
        o = self.overall
        gain = f"gain {o.gain:.4f} [{o.low:.4f}, {o.high:.4f}]"
        figures = f"loss {o.challenger:.4f} against {o.champion:.4f}, {gain}"
        worse = [s.name for s in self.slices if s.verdict == "worse"]
        if self.promote:
            return f"clearly better on the newest period ({figures}) and no slice clearly worse."
        if worse:
            return f"worse for {', '.join(worse)} ({figures}): a person decides."
        return f"not clearly better ({figures}): a person decides."

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able figures."""
        return {
            "promote": self.promote,
            "reason": self.reason(),
            "overall": asdict(self.overall),
            "slices": [asdict(s) for s in self.slices],
        }


def compare(
    champion: Bundle,
    challenger: Bundle,
    tables: Mapping[str, FeatureTable],
    labels: Labels,
    rows: NDArray[np.int64],
    settings: ModelSettings,
) -> Comparison:
    """Compare on `rows` of the newest period, labelled.

    tables: the feature rows as each model needs them, by model id, in one order (two models may have been
    trained on different catalogues).
    """
    horizon = min(b.hazard.edges_h[-1] for b in (champion, challenger) if b.hazard is not None)
    old, new = (
        row_loss(b, tables[b.model_id], labels, rows, float(horizon))
        for b in (champion, challenger)
    )
    table = tables[challenger.model_id]
    machine = pd.factorize(table.assets[rows], sort=True)[0].astype(np.int64)
    whole = _slice("all", machine, old, new, settings.seed)
    site = np.array([str(a).split("/", 1)[0] for a in table.assets[rows]])
    slices = []
    for name, keys in (("site", site), ("mode", labels.mode[rows])):
        values = [v for v in np.unique(keys) if v]
        for value in values if len(values) > 1 else []:
            inside = keys == value
            slices.append(
                _slice(f"{name} {value}", machine[inside], old[inside], new[inside], settings.seed)
            )
    return Comparison(whole, tuple(slices))


def row_loss(
    bundle: Bundle, table: FeatureTable, labels: Labels, rows: NDArray[np.int64], horizon_h: float
) -> FloatArray:
    """Return each row's logarithmic loss of its curve, float64[n], on a common grid of horizons.

    The discrete-time log-likelihood: of surviving what was seen survived, and of failing when it did.
    """
    edges = make_edges(horizon_h, _GRID)
    X = matching(bundle, table).X[rows]
    curves = predict(bundle, X).curves
    if curves is None:
        return np.full(len(rows), np.nan)
    s = np.maximum(curves.at(edges), 1e-6)
    ttf, observed = labels.ttf_h[rows], labels.observed[rows]
    ends = np.searchsorted(edges[1:], ttf, side="left")
    failed = observed & (ends < _GRID)
    index = np.arange(len(rows))
    last = np.minimum(ends, _GRID - 1)
    density = np.maximum(s[index, last] - s[index, last + 1], 1e-6)
    survived = s[index, np.minimum(ends, _GRID)]
    return np.asarray(-np.log(np.where(failed, density, survived)), dtype=np.float64)


def _slice(
    name: str, machine: NDArray[np.int64], old: FloatArray, new: FloatArray, seed: int
) -> Slice:
    ids, which = np.unique(machine, return_inverse=True)
    size = np.bincount(which)
    gain = np.bincount(which, weights=old - new) / size
    rng = np.random.default_rng(seed)
    draws = gain[rng.integers(0, len(ids), size=(_DRAWS, len(ids)))].mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Slice(
        name,
        len(ids),
        round(float(np.mean(np.bincount(which, weights=old) / size)), 6),
        round(float(np.mean(np.bincount(which, weights=new) / size)), 6),
        round(float(gain.mean()), 6),
        round(float(low), 6),
        round(float(high), 6),
    )

"""Champion and challenger: a new model takes over by itself only when it is clearly better.

Both predict the same newest rows of one kind, which neither was trained on. Their losses are compared
machine by machine, so that one noisy machine cannot decide, over all and in every slice (site, mode).
Slices are of things known beforehand: a site's rows, or for a mode all rows with the other modes as
censoring. Rows that failed, by themselves, would favour whoever expects failures everywhere. Anything
less than clear waits for a person, with the figures to decide by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from features.table import FeatureTable
from models.bins import FloatArray, make_edges
from models.bundle import Bundle
from models.labels import Labels
from models.score import matching, predict
from models.settings import ModelSettings

Verdict = Literal["better", "worse", "unclear"]
_DRAWS = 2_000
_MIN_GROUPS = 4
#: Fewer machines cannot let a model in: few large losses among them stay unseen too often.
_MIN_TO_PROMOTE = 10
_GRID = 12
#: What a bundle is taken to say of a mode it never met: log(0) would decide everything.
_UNHEARD = 0.01


@dataclass(frozen=True, slots=True)
class Slice:
    """One comparison: mean loss of both (lower is better), gain and its 95 % interval.

    machines: how many were compared; of a mode, how many failed by it.
    """

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
        enough = self.overall.machines >= _MIN_TO_PROMOTE
        better = self.overall.verdict == "better"
        return enough and better and all(s.verdict != "worse" for s in self.slices)

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
        if o.verdict == "better":
            few = f"better, but on {o.machines} machines, fewer than {_MIN_TO_PROMOTE}"
            return f"{few} ({figures}): a person decides."
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
        row_losses(b, tables[b.model_id], labels, rows, float(horizon))
        for b in (champion, challenger)
    )
    table = tables[challenger.model_id]
    machine = pd.factorize(table.assets[rows], sort=True)[0].astype(np.int64)
    whole = _slice("all", machine, old[""], new[""], settings.seed)
    slices = []
    site = np.array([str(a).split("/", 1)[0] for a in table.assets[rows]])
    sites = np.unique(site)
    for value in sites if len(sites) > 1 else []:
        inside = site == value
        slices.append(
            _slice(
                f"site {value}", machine[inside], old[""][inside], new[""][inside], settings.seed
            )
        )
    modes = [mode for mode in old if mode]
    for mode in modes if len(modes) > 1 else []:
        one = _slice(f"mode {mode}", machine, old[mode], new[mode], settings.seed)
        failed = len(np.unique(machine[labels.mode[rows] == mode]))
        slices.append(replace(one, machines=failed))
    return Comparison(whole, tuple(slices))


def row_losses(
    bundle: Bundle, table: FeatureTable, labels: Labels, rows: NDArray[np.int64], horizon_h: float
) -> dict[str, FloatArray]:
    """Return each row's logarithmic loss float64[n] of any failure (key "") and of each mode seen.

    The likelihood of a hazard that is constant within a common grid's bins: the cumulative hazard up to
    what was seen, less the logarithm of the hazard where it failed. A mode has its share of the hazard
    (as the bundle expects it for the row), and ends of any other kind censor it; such likelihoods are
    highest for the true hazard (Prentice et al. 1978, Biometrics 34, 541). What stays above the one of
    any failure, summed over modes, is the loss of the shares.
    """
    edges = make_edges(horizon_h, _GRID)
    X = matching(bundle, table).X[rows]
    said = predict(bundle, X)
    ttf, mode = labels.ttf_h[rows], labels.mode[rows]
    modes = [str(m) for m in np.unique(mode) if m]
    if said.curves is None:
        return {m: np.full(len(rows), np.nan) for m in ("", *modes)}
    total = -np.log(np.maximum(said.curves.at(edges), 1e-6))
    failed = labels.observed[rows] & (ttf <= horizon_h)
    index, end_h = np.arange(len(rows)), np.minimum(ttf, horizon_h)
    bin_ = np.minimum(np.searchsorted(edges[1:], end_h, side="left"), _GRID - 1)
    within = total[index, bin_ + 1] - total[index, bin_]
    part = (end_h - edges[bin_]) / (edges[bin_ + 1] - edges[bin_])
    until = total[index, bin_] + part * within
    within = np.maximum(within, 1e-6)
    losses = {"": until - np.where(failed, np.log(within), 0.0)}
    for m in modes:
        share = _share(bundle, said.modes, m, float(np.mean(mode[mode != ""] == m)), len(rows))
        by_it = failed & (mode == m)
        losses[m] = share * until - np.where(by_it, np.log(share * within), 0.0)
    return losses


def _share(bundle: Bundle, said: FloatArray | None, mode: str, usual: float, n: int) -> FloatArray:
    """Return the share of failures, float64[n], that a bundle expects to be by `mode`.

    said: float64[n, C] of its mode model; without one, what is `usual` in the rows.
    """
    if bundle.modes is None or said is None:
        return np.full(n, usual)
    if mode in bundle.modes.codes:
        share = said[:, bundle.modes.codes.index(mode)]
    elif mode in bundle.modes.pooled:
        share = said[:, -1] / len(bundle.modes.pooled)
    else:
        share = np.zeros(n)
    return np.maximum(share, _UNHEARD)


def _slice(
    name: str, machine: NDArray[np.int64], old: FloatArray, new: FloatArray, seed: int
) -> Slice:
    ids, which = np.unique(machine, return_inverse=True)
    size = np.bincount(which)
    gain = np.bincount(which, weights=old - new) / size
    low, high = _interval(gain, seed)
    return Slice(
        name,
        len(ids),
        round(float(np.mean(np.bincount(which, weights=old) / size)), 6),
        round(float(np.mean(np.bincount(which, weights=new) / size)), 6),
        round(float(gain.mean()), 6),
        round(low, 6),
        round(high, 6),
    )


def _interval(gain: FloatArray, seed: int) -> tuple[float, float]:
    """Return a 95 % interval of the mean gain of machines like these; gain: float64[machines].

    The wider end each of Student's interval and the studentised bootstrap (Efron & Tibshirani 1993,
    ch. 12): the first is honest about few machines, the second about few large losses among them.
    """
    n, mean = len(gain), float(gain.mean())
    error = float(gain.std(ddof=1)) / np.sqrt(n) if n > 1 else 0.0
    if error == 0:  # all alike, or a single machine, of which no verdict is made
        return mean, mean
    drawn = gain[np.random.default_rng(seed).integers(0, n, size=(_DRAWS, n))]
    # A draw of one machine over and over has no scatter: infinitely many of its errors away.
    scatter = np.maximum(drawn.std(axis=1, ddof=1) / np.sqrt(n), 1e-9 * error)
    t = (drawn.mean(axis=1) - mean) / scatter
    student = float(stats.t.ppf(0.975, n - 1))
    below = max(student, float(np.quantile(t, 0.975)))
    above = max(student, -float(np.quantile(t, 0.025)))
    return mean - below * error, mean + above * error

"""Fitting the regression heads: on folds for honest curves, then on everything for use.

Machines with an unknown past have a head of their own. It learns from whole lives too, but speaks of
those machines alone, so whole lives are told what they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.bins import FloatArray
from models.crossfit import CrossFit, Examples, Progress, at_once
from models.curve import SurvivalCurves
from models.heads import CALM, Heads, blend_to_mean, conditional_mean_h, fit_head, head_cap_h
from models.metrics import rmse
from models.midlife import MIN_LATE
from models.settings import ModelSettings

#: The heads of an unknown past stay when held-out errors are below this share of what they were.
_WORTH = 0.995


def fit_all_heads(
    X: FloatArray,
    ttf_h: FloatArray,
    observed: NDArray[np.bool_],
    oof: CrossFit,
    curves: SurvivalCurves,
    late: Sequence[Examples],
    settings: ModelSettings,
    tell: Progress,
) -> tuple[Heads | None, Heads | None, SurvivalCurves]:
    """Return the heads of all, those of an unknown past, and the out-of-fold curves as both change them.

    X, `oof`, `curves`: the landmarks' (ttf_h, observed) and then the `late` examples', of which the heads
    of all learn from the first only.
    """
    heads = late_heads = None
    if not settings.heads and not late:
        return heads, late_heads, curves
    goal = _goals(ttf_h, observed, curves, late, settings)
    order = np.arange(len(curves))
    unknown = order >= len(ttf_h)
    if settings.heads:
        shared = order < len(ttf_h) + sum(len(part.row) for part in late[:1])
        kinds = tuple(range(settings.heads))
        heads, curves = _fit(X, goal, goal.sure & shared, oof, curves, kinds, settings, tell)
    if np.count_nonzero(goal.told & unknown) >= MIN_LATE:
        late_heads, curves = _fit_late(X, goal, unknown, oof, curves, settings, tell)
    return heads, late_heads, curves


@dataclass(frozen=True, slots=True, eq=False)
class _Goals:
    """What heads learn: mean_h float64[n], the mean life up to cap_h of each row, conditional if censored.

    sure: bool[n], the likelier outcome of its row; told: bool[n], such whose life up to the cap was seen.
    """

    mean_h: FloatArray
    cap_h: float
    sure: NDArray[np.bool_]
    told: NDArray[np.bool_]


def _goals(
    ttf_h: FloatArray,
    observed: NDArray[np.bool_],
    curves: SurvivalCurves,
    late: Sequence[Examples],
    settings: ModelSettings,
) -> _Goals:
    """Return the goals of the landmarks (ttf_h, observed) and then of the `late` examples."""
    cap = head_cap_h(curves.edges_h, settings)
    marks = [part.landmarks for part in late]
    sure = np.concatenate([np.ones(len(ttf_h), dtype=bool), *(m.weight > 0.5 for m in marks)])
    ttf_h = np.concatenate([ttf_h, *(m.ttf_h for m in marks)])
    told = np.concatenate([observed, *(m.event for m in marks)]) | (ttf_h >= cap)
    mean = np.where(told, np.minimum(ttf_h, cap), conditional_mean_h(curves, ttf_h, cap))
    return _Goals(mean, cap, sure, sure & told)


def _fit(
    X: FloatArray,
    goal: _Goals,
    learn: NDArray[np.bool_],
    oof: CrossFit,
    curves: SurvivalCurves,
    kinds: Sequence[int],
    settings: ModelSettings,
    tell: Progress,
) -> tuple[Heads, SurvivalCurves]:
    """Train a head of each kind on the rows `learn`; also return the out-of-fold curves with them."""
    rounds = oof.folds + 1  # each fold left out in turn, then none

    def fit(i: int) -> str:
        index, k = divmod(i, rounds)
        part = learn & (oof.fold != k)
        return fit_head(X[part], goal.mean_h[part], settings, kinds[index], settings.seed + index)

    count = len(kinds) * rounds
    texts = at_once(fit, count, settings.threads, lambda i: tell(f"head {i} of {count}", 0.95))
    out = np.zeros(len(X))
    for k in range(rounds - 1):
        inside = oof.fold == k
        others = Heads(tuple(texts[k::rounds]), goal.cap_h, settings.head_share)
        out[inside] = others.mean_h(X[inside])
    blended = blend_to_mean(curves, out, goal.cap_h, settings.head_share)
    return Heads(tuple(texts[rounds - 1 :: rounds]), goal.cap_h, settings.head_share), blended


def _fit_late(
    X: FloatArray,
    goal: _Goals,
    unknown: NDArray[np.bool_],
    oof: CrossFit,
    curves: SurvivalCurves,
    settings: ModelSettings,
    tell: Progress,
) -> tuple[Heads | None, SurvivalCurves]:
    """Train the heads of machines whose past is `unknown` bool[n]; None when held-out ones gain nothing."""
    heads, blended = _fit(X, goal, goal.sure, oof, curves, (CALM,), settings, tell)
    judged = unknown & goal.told
    before, after = (
        rmse(c.take(judged).restricted_mean_h(goal.cap_h), goal.mean_h[judged])
        for c in (curves, blended)
    )
    if not after < _WORTH * before:
        return None, curves
    return heads, curves.put(unknown, blended.take(unknown))

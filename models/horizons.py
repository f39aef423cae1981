"""Boosters that are asked one published horizon each, blended into the curve at that horizon.

The hazard answers for 24 h by its bins up to there, each learned from the few that failed in it. Where a
fault announces itself so long ahead and no longer, one question put to all of them at once is answered
better. Such a booster joins only where held-out lives gain by it, and with the weight they gain most by. The
curve is bent to pass through its answers, so that every number given still comes from one curve.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bins import FloatArray
from models.calibrate import survival_at
from models.crossfit import CrossFit, Progress, at_once
from models.curve import SurvivalCurves, log_odds
from models.forest import Forest, parse_forest
from models.hazard import Landmarks, parameters, train_booster
from models.settings import ModelSettings
from plant.risk import HORIZONS_H

_ROUNDS = 100
_OWN: dict[str, object] = {
    "objective": "cross_entropy",
    "num_leaves": 15,
    "learning_rate": 0.09,
    "max_bin": 255,
}
_SHARES = (0.25, 0.5, 0.75, 1.0)
_MIN_LIVES = 20
#: Held-out loss must fall by so much, and by so many standard errors over lives.
_WORTH, _SURE = 0.01, 2.0
_LEAST = 1e-6  # of a probability, before its log-odds are taken


@dataclass(frozen=True, slots=True, eq=False)
class HorizonBoosters:
    """hours: rising; texts: one booster each; shares: the booster's weight in the log-odds there."""

    hours: tuple[float, ...]
    texts: tuple[str, ...]
    shares: tuple[float, ...]
    forests: tuple[Forest, ...] = field(init=False)

    def __post_init__(self) -> None:
        forests = tuple(parse_forest(text, by_bin=False) for text in self.texts)
        object.__setattr__(self, "forests", forests)

    def blend(self, X: FloatArray, curves: SurvivalCurves) -> SurvivalCurves:
        """Return the curves of rows float64[n, F], bent to what both say at each horizon."""
        scores = np.column_stack([forest.predict(X) for forest in self.forests])
        return _blend(curves, self.hours, scores, np.array(self.shares))


def _blend(
    curves: SurvivalCurves, hours: tuple[float, ...], scores: FloatArray, shares: FloatArray
) -> SurvivalCurves:
    z = (1 - shares) * log_odds(curves.p_fail(hours), _LEAST) + shares * scores
    return curves.through(hours, 1.0 / (1.0 + np.exp(-z)))


def fit_horizons(
    X: FloatArray,
    oof: CrossFit,
    marks: Landmarks,
    row: NDArray[np.int64],
    life: NDArray[np.int64],
    curves: SurvivalCurves,
    settings: ModelSettings,
    tell: Progress,
) -> tuple[HorizonBoosters | None, SurvivalCurves]:
    """Return the boosters that are worth it, None without any, and the held-out curves with them.

    X: float64[n, F], with held-out `curves` and folds; marks: the examples, each of a row of X and of a life,
    int64[m]. What is not known of a censored life is not taken for a no: its held-out curve tells how likely
    it failed by then, as for heads.
    """
    hours = [float(h) for h in HORIZONS_H if h < curves.horizon_h]
    failed = {h: _failed_by(h, marks, row, curves) for h in hours}
    asked = [h for h in hours if len(np.unique(life[failed[h] == 1.0])) >= _MIN_LIVES]
    if not (settings.horizons and asked):
        return None, curves
    rounds = oof.folds + 1  # each fold left out in turn, then none
    fold = oof.fold[row]

    def fit(i: int) -> str:
        part = fold != i % rounds
        return _fit(marks.take(part), failed[asked[i // rounds]][part], settings)

    count = len(asked) * rounds
    texts = at_once(fit, count, settings.threads, lambda i: tell(f"horizon {i} of {count}", 0.95))
    kept: list[tuple[float, str, float, FloatArray]] = []
    for place, h in enumerate(asked):
        own = texts[place * rounds : (place + 1) * rounds]
        scores = np.zeros(len(X))
        for k in range(rounds - 1):
            inside = oof.fold == k
            scores[inside] = parse_forest(own[k], by_bin=False).predict(X[inside])
        base = log_odds(curves.p_fail(h)[:, 0], _LEAST)
        share = _share(base[row], scores[row], failed[h], marks.weight, life)
        if share > 0:
            kept.append((h, own[-1], share, scores))
    if not kept:
        return None, curves
    at, chosen, shares, held_out = zip(*kept, strict=True)
    return (
        HorizonBoosters(at, chosen, shares),
        _blend(curves, at, np.column_stack(held_out), np.array(shares)),
    )


def _failed_by(
    h: float, marks: Landmarks, row: NDArray[np.int64], curves: SurvivalCurves
) -> FloatArray:
    """Return how probably each example failed within h hours, float64[m]: 0 or 1 where it is known."""
    seen = np.minimum(marks.ttf_h, h)
    left = survival_at(curves, row, seen)
    later = 1.0 - curves.at(h)[row, 0] / np.maximum(left, _LEAST)
    return np.where(marks.ttf_h > h, 0.0, np.where(marks.event, 1.0, np.clip(later, 0.0, 1.0)))


def _fit(marks: Landmarks, failed: FloatArray, settings: ModelSettings) -> str:
    params = parameters(settings, settings.seed, len(marks.X), marks.X.shape[1]) | _OWN
    booster = train_booster(marks.X, failed, params, _ROUNDS, marks.weight)
    return str(booster.model_to_string(importance_type="gain"))


def _share(
    base: FloatArray,
    scores: FloatArray,
    failed: FloatArray,
    weight: FloatArray,
    life: NDArray[np.int64],
) -> float:
    """Return the weight of a booster in the log-odds, 0 where held-out lives do not surely gain by it."""

    def loss(share: float) -> FloatArray:
        z = (1 - share) * base + share * scores
        one = weight * (np.logaddexp(0.0, z) - failed * z)
        return np.asarray(np.bincount(number, weights=one), dtype=np.float64)

    _, number = np.unique(life, return_inverse=True)
    alone = loss(0.0)
    best = min(_SHARES, key=lambda share: float(loss(share).sum()))
    gain = alone - loss(best)
    error = float(np.std(gain, ddof=1)) * np.sqrt(len(gain))
    worth = gain.sum() > max(_WORTH * float(alone.sum()), _SURE * error)
    return best if worth else 0.0


def horizons_to_dict(boosters: HorizonBoosters, files: dict[str, bytes]) -> dict[str, Any]:
    """Return what the manifest says of them, and add a file for each."""
    for i, text in enumerate(boosters.texts):
        files[f"horizon-{i}.txt"] = text.encode()
    return {"hours": list(boosters.hours), "shares": list(boosters.shares)}


def horizons_from_dict(
    d: Mapping[str, Any], files: Mapping[str, bytes], features: int, last_h: float
) -> HorizonBoosters:
    """Read `horizons_to_dict`'s result, for curves up to `last_h`.

    Raises ValueError or KeyError when it is damaged.
    """
    hours, shares = (tuple(float(v) for v in d[name]) for name in ("hours", "shares"))
    texts = tuple(files[f"horizon-{i}.txt"].decode() for i in range(len(hours)))
    if not hours or len(shares) != len(hours) or not all(0 < share <= 1 for share in shares):
        raise ValueError("horizon shares")
    if not (np.all(np.diff([0.0, *hours]) > 0) and hours[-1] < last_h):
        raise ValueError("horizon hours")
    found = HorizonBoosters(hours, texts, shares)
    if any(forest.features != features or forest.classes != 1 for forest in found.forests):
        raise ValueError("horizon features")
    return found

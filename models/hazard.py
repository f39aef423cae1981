"""The discrete-time hazard: LightGBM asked, for every horizon bin, "does it fail here, having come so far?"

One booster sees the feature row and the bin's number; Kaplan–Meier gives the starting point of each
bin (`init_score`), so the trees only learn what makes a machine different. The ensemble's members
differ in seed and landmarks and are averaged in log-odds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from models.bins import FloatArray, PersonPeriods, bin_offsets, expand
from models.curve import SurvivalCurves, from_hazards
from models.forest import Forest, parse_forest
from models.settings import ModelSettings

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class HazardModel:
    """An ensemble on common bins. edges_h: float64[K+1]; offsets: float64[members, K] logits.

    `intercept`, `slope`, `tilt` recalibrate the log-odds: a + b·logit + c·(bin position - 1/2).
    """

    edges_h: FloatArray
    texts: tuple[str, ...]
    offsets: FloatArray
    intercept: float = 0.0
    slope: float = 1.0
    tilt: float = 0.0
    forests: tuple[Forest, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "forests", tuple(parse_forest(text) for text in self.texts))

    @property
    def bins(self) -> int:
        """Number of horizon bins."""
        return len(self.edges_h) - 1

    def logits(self, X: FloatArray) -> FloatArray:
        """Return uncalibrated log-odds of failing in each bin, float64[n, K], for rows float64[n, F]."""
        total = np.zeros((len(X), self.bins))
        for forest, offset in zip(self.forests, self.offsets, strict=True):
            total += forest.predict_bins(X, self.bins)[:, :, 0] + offset
        return total / len(self.forests)

    def curves(self, X: FloatArray) -> SurvivalCurves:
        """Return calibrated survival curves of rows float64[n, F]."""
        return self.curves_of(self.logits(X))

    def curves_of(self, logits: FloatArray) -> SurvivalCurves:
        """Return calibrated survival curves of log-odds float64[n, K]."""
        z = self.intercept + self.slope * logits + self.tilt * bin_position(self.bins)
        return from_hazards(self.edges_h, 1.0 / (1.0 + np.exp(-z)))


def bin_position(bins: int) -> FloatArray:
    """Return where each bin lies, -1/2 to 1/2, float64[bins]."""
    return (np.arange(bins) + 0.5) / bins - 0.5


def as_input(X: NDArray[np.floating]) -> FloatArray:
    """Round features to single precision and back: training and scoring then see the same numbers."""
    with np.errstate(over="ignore"):
        return X.astype(np.float32).astype(np.float64)


def parameters(settings: ModelSettings, seed: int, rows: int) -> dict[str, object]:
    """Return LightGBM's parameters; everything that makes a result repeatable is fixed.

    `rows` (landmarks) bounds the leaf size, so that a small plant still gets trees.
    """
    return {
        "objective": "binary",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.num_leaves,
        "min_child_samples": max(5, min(settings.min_child_samples, rows // 40)),
        "feature_fraction": settings.feature_fraction,
        "bagging_fraction": settings.bagging_fraction,
        "bagging_freq": 1,
        "lambda_l2": settings.lambda_l2,
        "max_bin": settings.max_bin,
        "seed": seed,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": settings.threads,
        "verbosity": -1,
    }


def design(X: FloatArray, periods: PersonPeriods) -> Float32Array:
    """Return the expanded input, float32[m, F + 1]: the landmark's features and the bin's number."""
    out = np.empty((len(periods.row), X.shape[1] + 1), dtype=np.float32)
    with np.errstate(over="ignore"):
        out[:, :-1] = X[periods.row]
    out[:, -1] = periods.bin
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """One trained member: model text, offsets float64[K], held-out loss per round (empty without)."""

    text: str
    offsets: FloatArray
    held_out_loss: tuple[float, ...] = ()


def fit_member(
    X: FloatArray,
    ttf_h: FloatArray,
    p_event: FloatArray,
    edges_h: FloatArray,
    settings: ModelSettings,
    seed: int,
    rounds: int,
    held_out: tuple[FloatArray, FloatArray, FloatArray] | None = None,
) -> Fit:
    """Train one booster on landmarks X float64[n, F]; `held_out` (X, ttf, p_event) is only watched."""
    periods = expand(ttf_h, p_event, edges_h)
    offsets = bin_offsets(periods, len(edges_h) - 1)
    params = parameters(settings, seed, len(X))
    data = _dataset(X, periods, offsets, params, None)
    record: dict[str, dict[str, list[float]]] = {}
    watched: Sequence[lgb.Dataset] = []
    if held_out is not None:
        later = expand(held_out[1], held_out[2], edges_h)
        watched = [_dataset(held_out[0], later, offsets, params, data)]
    booster = lgb.train(
        params,
        data,
        rounds,
        valid_sets=list(watched),
        valid_names=["held_out"] * len(watched),
        callbacks=[lgb.record_evaluation(record)],
    )
    losses = record.get("held_out", {}).get("binary_logloss", [])
    return Fit(booster.model_to_string(importance_type="gain"), offsets, tuple(losses))


def _dataset(
    X: FloatArray,
    periods: PersonPeriods,
    offsets: FloatArray,
    params: dict[str, object],
    reference: lgb.Dataset | None,
) -> lgb.Dataset:
    return lgb.Dataset(
        design(X, periods),
        periods.y,
        weight=periods.weight,
        init_score=offsets[periods.bin],
        params={
            "max_bin": params["max_bin"],
            "verbosity": -1,
            "num_threads": params["num_threads"],
        },
        reference=reference,
        free_raw_data=True,
    )


def shorten(text: str, rounds: int, per_round: int = 1) -> str:
    """Keep only the first `rounds` of a model text, as if training had stopped there."""
    booster = lgb.Booster(model_str=text)
    if booster.num_trees() <= rounds * per_round:
        return text
    return booster.model_to_string(num_iteration=rounds, importance_type="gain")

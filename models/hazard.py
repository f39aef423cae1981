"""The discrete-time hazard: for every horizon bin, the odds to fail there, having come so far.

One booster sees the feature row and the bin's number; Kaplan–Meier gives the starting point of each
bin (`init_score`), so the trees only learn what makes a machine different. The ensemble's members
differ in seed and landmarks and are averaged in log-odds.

Each tree sees a random seventh of the features, which makes training fast. The bin's number is no
feature like the others, so it is given several times over: three trees in four then know the horizon.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from models.bins import FloatArray, PersonPeriods, bin_offsets, expand
from models.curve import SurvivalCurves, from_hazards
from models.forest import HORIZON, Forest, parse_forest
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


#: The parameters that LightGBM wants when it bins the data.
_DATA_PARAMETERS = ("max_bin", "bin_construct_sample_cnt", "verbosity", "num_threads", "seed")


#: A leaf of the hazard expects so many of the landmarks to fail, or this share of those that did.
_LEAF_FAILS, _LEAF_SHARE = 10.0, 0.01
_TREE_FEATURES = 20  # at least so many features a tree, so that a short row is not starved
_BLIND_TREES = 0.25  # share of trees that may not see the horizon


def feature_fraction(settings: ModelSettings, features: int) -> float:
    """Return the share of features a tree of the hazard sees."""
    return min(1.0, max(settings.feature_fraction, _TREE_FEATURES / max(features, 1)))


def horizon_columns(settings: ModelSettings, features: int) -> int:
    """Return how many columns hold the bin's number, so that most trees get at least one."""
    blind = 1.0 - feature_fraction(settings, features)
    return 1 if blind <= _BLIND_TREES else math.ceil(math.log(_BLIND_TREES) / math.log(blind))


def parameters(settings: ModelSettings, seed: int, rows: int, features: int) -> dict[str, object]:
    """Return LightGBM's parameters; everything that makes a result repeatable is fixed.

    `rows` (landmarks) bounds the leaf size, so that a small plant still gets trees.
    """
    return {
        "objective": "binary",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.num_leaves,
        "min_child_samples": max(5, min(settings.min_child_samples, rows // 40)),
        "feature_fraction": feature_fraction(settings, features),
        "bagging_fraction": settings.bagging_fraction,
        "bagging_freq": 1,
        "lambda_l2": settings.lambda_l2,
        "max_bin": settings.max_bin,
        "bin_construct_sample_cnt": 20_000,
        "seed": seed,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }


def train_booster(
    X: NDArray[np.floating],
    y: NDArray[np.generic],
    params: dict[str, object],
    rounds: int,
    weight: FloatArray | None = None,
) -> lgb.Booster:
    """Train on rows [n, F], rounded to single precision, and targets y [n]."""
    data = lgb.Dataset(
        X.astype(np.float32),
        y,
        weight=weight,
        params={key: params[key] for key in _DATA_PARAMETERS},
    )
    return lgb.train(params, data, rounds)


def hazard_parameters(
    settings: ModelSettings, seed: int, rows: int, features: int, failed: float
) -> dict[str, object]:
    """Return LightGBM's parameters for a booster of the hazard; `failed` landmarks end in a failure.

    Most examples are of bins in which failing is out of the question: a leaf of these alone, however many,
    says nothing, and a leaf of few failures speaks of one life. So leaves are bounded by what they expect.
    """
    least = {"min_sum_hessian_in_leaf": min(_LEAF_FAILS, _LEAF_SHARE * failed)}
    return parameters(settings, seed, rows, features) | least


def input_names(features: int, horizons: int) -> list[str]:
    """Return what the booster's inputs are called: the walk knows the bin's number by its name."""
    return [f"f{i}" for i in range(features)] + [f"{HORIZON}{i}" for i in range(horizons)]


def design(X: FloatArray, periods: PersonPeriods, horizons: int) -> Float32Array:
    """Return the expanded input, float32[m, F + horizons]: the landmark's features, the bin's number."""
    out = np.empty((len(periods.row), X.shape[1] + horizons), dtype=np.float32)
    with np.errstate(over="ignore"):
        out[:, :-horizons] = X[periods.row]
    out[:, -horizons:] = periods.bin[:, None]
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """Examples for training: X float64[n, F], ttf_h float64[n], event bool[n], weight float64[n]."""

    X: FloatArray
    ttf_h: FloatArray
    event: NDArray[np.bool_]
    weight: FloatArray

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Landmarks:
        """Return some of the examples."""
        return Landmarks(self.X[rows], self.ttf_h[rows], self.event[rows], self.weight[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """One trained member: model text, offsets float64[K]."""

    text: str
    offsets: FloatArray


class Trainee:
    """A member that grows as asked, so that several can be stopped at the same number of trees.

    losses: the loss of `held_out` examples before the first tree and after each; none without them.
    """

    def __init__(
        self,
        landmarks: Landmarks,
        edges_h: FloatArray,
        settings: ModelSettings,
        seed: int,
        held_out: Landmarks | None = None,
    ) -> None:
        bins = len(edges_h) - 1
        periods = expand(landmarks.ttf_h, landmarks.event, edges_h, landmarks.weight)
        self.offsets = bin_offsets(periods, bins)
        features = landmarks.X.shape[1]
        failed = float(periods.weight @ periods.y)
        params = hazard_parameters(settings, seed, len(landmarks.X), features, failed)
        horizons = horizon_columns(settings, features)
        names = input_names(features, horizons)
        inputs = design(landmarks.X, periods, horizons)
        data = _dataset(inputs, names, periods, self.offsets, params, None)
        self._booster = lgb.Booster(params, data)
        self.losses: list[float] = []
        if held_out is not None:
            later = expand(held_out.ttf_h, held_out.event, edges_h, held_out.weight)
            seen = design(held_out.X, later, horizons)
            self._booster.add_valid(
                _dataset(seen, names, later, self.offsets, params, data), "held_out"
            )
            self.losses.append(crowd_loss(self.offsets, later))

    def grow(self, rounds: int) -> None:
        """Add so many trees."""
        for _ in range(rounds):
            self._booster.update()
            if self.losses:
                self.losses.append(float(self._booster.eval_valid()[0][2]))

    def fit(self, rounds: int) -> Fit:
        """Return the member as it was after so many trees."""
        text = self._booster.model_to_string(num_iteration=rounds, importance_type="gain")
        return Fit(str(text), self.offsets)


def fit_member(
    landmarks: Landmarks, edges_h: FloatArray, settings: ModelSettings, seed: int, rounds: int
) -> Fit:
    """Train one booster."""
    trainee = Trainee(landmarks, edges_h, settings, seed)
    trainee.grow(rounds)
    return trainee.fit(rounds)


def crowd_loss(offsets: FloatArray, periods: PersonPeriods) -> float:
    """Return the loss of knowing only the crowd's hazard per bin: what any model must beat."""
    z = offsets[periods.bin]
    loss = np.logaddexp(0.0, z) - periods.y * z
    return float(np.average(loss, weights=periods.weight)) if len(z) else float("nan")


def _dataset(
    inputs: Float32Array,
    names: list[str],
    periods: PersonPeriods,
    offsets: FloatArray,
    params: dict[str, object],
    reference: lgb.Dataset | None,
) -> lgb.Dataset:
    return lgb.Dataset(
        inputs,
        periods.y,
        weight=periods.weight,
        init_score=offsets[periods.bin],
        params={
            "max_bin": params["max_bin"],
            "verbosity": -1,
            "num_threads": params["num_threads"],
        },
        reference=reference,
        feature_name=names,
        free_raw_data=True,
    )

"""Which failure mode, given that it fails: the relative hazards of a vertical model.

P(time) · P(mode | time) is the competing-risks model of Nicolaie, van Houwelingen & Putter (2010,
DOI 10.1002/sim.3861): the hazard model gives the first factor, a multi-class LightGBM on the rows
of observed failures the second. A mode with too few failures is pooled and said to be.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.bins import FloatArray
from models.curve import SurvivalCurves
from models.forest import Forest, parse_forest
from models.hazard import parameters, train_booster
from models.settings import ModelSettings

#: The code under which modes with too few failures are kept together.
POOLED = "other"


@dataclass(frozen=True, slots=True, eq=False)
class ModeModel:
    """codes: C modes (the last may be `other`), shares: their share of all failures, float[C].

    pooled: the modes that `other` stands for. text: LightGBM model, empty when shares are all there is.
    """

    codes: tuple[str, ...]
    shares: tuple[float, ...]
    pooled: tuple[str, ...]
    text: str = ""
    forest: Forest | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "forest", parse_forest(self.text) if self.text else None)

    def probabilities(self, X: FloatArray, curves: SurvivalCurves) -> FloatArray:
        """Return P(mode | fails before the last edge), float64[n, C], weighting the bins by the curve."""
        if self.forest is None:
            return np.tile(np.asarray(self.shares), (len(X), 1))
        bins = curves.survival.shape[1] - 1
        z = self.forest.predict_bins(X, bins)
        p = np.exp(z - z.max(axis=2, keepdims=True))
        p /= p.sum(axis=2, keepdims=True)
        density = np.maximum(-np.diff(curves.survival, axis=1), 1e-12)
        density /= density.sum(axis=1, keepdims=True)
        return np.asarray(np.einsum("nkc,nk->nc", p, density), dtype=np.float64)


def fit_modes(
    X: FloatArray,
    ttf_h: FloatArray,
    mode: NDArray[np.str_],
    life: NDArray[np.int64],
    edges_h: FloatArray,
    settings: ModelSettings,
) -> ModeModel | None:
    """Learn modes from landmarks of observed failures (mode non-empty). None when no mode is recorded.

    Every life weighs the same, however many rows it has.
    """
    use = np.flatnonzero((mode != "") & (ttf_h <= edges_h[-1]) & (ttf_h > 0))
    _, first = np.unique(life[use], return_index=True)
    counts = Counter(str(m) for m in mode[use][first])
    if not counts:
        return None
    known = sorted(code for code, n in counts.items() if n >= settings.min_mode_failures)
    pooled = tuple(sorted(code for code in counts if code not in known))
    codes = (*known, *((POOLED,) if pooled else ()))
    total = sum(counts.values())
    shares = [counts[code] / total for code in known]
    if pooled:
        shares.append(sum(counts[code] for code in pooled) / total)
    if len(known) == 0 or len(codes) < 2:
        return ModeModel(codes, tuple(shares), pooled)
    y = np.array([codes.index(str(m)) if str(m) in known else len(codes) - 1 for m in mode[use]])
    _, which, size = np.unique(life[use], return_inverse=True, return_counts=True)
    bin_ = np.searchsorted(edges_h[1:], ttf_h[use], side="left")
    design = np.column_stack([X[use], bin_])
    params = parameters(settings, settings.seed, len(use), X.shape[1]) | {
        "objective": "multiclass",
        "num_class": len(codes),
        "num_leaves": min(settings.num_leaves, 15),
        "learning_rate": 0.05,
    }
    booster = train_booster(design, y, params, 60, size.mean() / size[which])
    return ModeModel(codes, tuple(shares), pooled, booster.model_to_string(importance_type="gain"))

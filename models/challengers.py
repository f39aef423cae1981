"""The permanent challengers: what every model must beat, on the same folds.

`age`: Kaplan–Meier by age since renewal, which knows no sensor. `classifier`: one plain LightGBM
classifier per horizon, rows whose answer is not known dropped (never set to "no"). When either beats
the hazard model, the manifest shows it, and something is wrong with the features or the labels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.bins import FloatArray
from models.curve import SurvivalCurves
from models.hazard import parameters, train_booster
from models.labels import Labels
from models.lifetime import fit_lifetime
from models.metrics import brier
from models.settings import ModelSettings
from plant.times import HOUR_MS

_ROUNDS = 60


def challenger_scores(
    X: FloatArray,
    rows: NDArray[np.int64],
    ts_ms: NDArray[np.int64],
    labels: Labels,
    fold: NDArray[np.int64],
    curves: SurvivalCurves,
    horizons_h: tuple[float, ...],
    settings: ModelSettings,
) -> dict[str, dict[str, float]]:
    """Return Brier scores out of fold, horizon to method: lower is better.

    X: float64[m, F] of the landmarks `rows` int64[m]; ts_ms: int64[n] of all rows; fold: int64[m];
    curves: the model's own out-of-fold curves.
    """
    ttf, observed = labels.ttf_h[rows], labels.observed[rows]
    life = labels.life[rows]
    age_h = (ts_ms[rows] - np.array([one.start_ms for one in labels.lives])[life]) / HOUR_MS
    by_age = np.zeros((len(rows), len(horizons_h)))
    by_class = np.zeros((len(rows), len(horizons_h)))
    for k in np.unique(fold):
        judged, learned = fold == k, fold != k
        lifetime = fit_lifetime([labels.lives[i] for i in np.unique(life[learned])])
        by_age[judged] = lifetime.p_fail(age_h[judged], np.array(horizons_h))
        for j, h in enumerate(horizons_h):
            by_class[judged, j] = _classifier(
                X[learned], ttf[learned], observed[learned], h, X[judged], settings
            )
    return {
        f"{h:g}h": {
            "vigie": round(brier(curves.p_fail(h)[:, 0], ttf, observed, h), 5),
            "age": round(brier(by_age[:, j], ttf, observed, h), 5),
            "classifier": round(brier(by_class[:, j], ttf, observed, h), 5),
        }
        for j, h in enumerate(horizons_h)
    }


def _classifier(
    X: FloatArray,
    ttf_h: FloatArray,
    observed: NDArray[np.bool_],
    horizon_h: float,
    Z: FloatArray,
    settings: ModelSettings,
) -> FloatArray:
    known = (observed & (ttf_h <= horizon_h)) | (ttf_h > horizon_h)
    y = (observed & (ttf_h <= horizon_h))[known]
    if not y.any() or y.all():
        return np.full(len(Z), float(y.mean()) if len(y) else 0.0)
    params = parameters(settings, settings.seed, int(known.sum()), X.shape[1])
    booster = train_booster(X[known], y.astype(np.float64), params, _ROUNDS)
    return np.asarray(booster.predict(Z.astype(np.float32)), dtype=np.float64)

"""The methods Vigie is compared with, on the same rows, features and labels.

Each is given the parameters that did best for it in trials on other folds; none is crippled. A rival
is `fit(X, ttf_h, event) -> predict(X) -> curves on EDGES`; the regression gives a mean only.
"""

from __future__ import annotations

from collections.abc import Callable

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from models.curve import SurvivalCurves

Array = NDArray[np.float64]
Predict = Callable[[Array], SurvivalCurves]
Fit = Callable[[Array, Array, NDArray[np.bool_]], Predict]

EDGES = np.array([0, 5, 10, 15, 20, 25, 30, 40, 50, 60, 75, 90, 110, 130, 160.0])
_LGB = {
    "num_leaves": 15,
    "learning_rate": 0.04,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "min_child_samples": 40,
    "lambda_l2": 5.0,
    "max_bin": 63,
    "verbosity": -1,
    "num_threads": 1,
    "force_col_wise": True,
    "seed": 0,
}


def mean_as_curve(mean: Array) -> SurvivalCurves:
    """Return step-like curves with these means, so that one evaluation serves all."""
    edges = np.arange(0, 161.0)
    z = (np.log(np.maximum(edges, 1e-3))[None, :] - np.log(np.maximum(mean, 0.5))[:, None]) / 0.02
    survival = norm.sf(z)
    survival[:, 0] = 1.0
    return SurvivalCurves(edges, survival)


def regression(X: Array, ttf: Array, event: NDArray[np.bool_]) -> Predict:
    """Boosted regression on machines that failed, the censored ones dropped."""
    y = np.minimum(ttf[event], 125.0)
    model = lgb.train(_LGB | {"objective": "regression"}, lgb.Dataset(X[event], y), 300)
    return lambda Z: mean_as_curve(np.clip(model.predict(Z), 0, 125))


def classifier(X: Array, ttf: Array, event: NDArray[np.bool_]) -> Predict:
    """One classifier per horizon, rows whose answer is unknown dropped; curves made monotone."""
    models = []
    for h in EDGES[1:]:
        known = (ttf >= h) | event
        y = (ttf <= h) & event
        params = _LGB | {"objective": "binary"}
        models.append(lgb.train(params, lgb.Dataset(X[known], y[known].astype(int)), 200))

    def predict(Z: Array) -> SurvivalCurves:
        p = np.column_stack([np.asarray(m.predict(Z)) for m in models])
        s = 1 - np.maximum.accumulate(np.clip(p, 1e-9, 1 - 1e-9), axis=1)
        return SurvivalCurves(EDGES, np.column_stack([np.ones(len(Z)), s]))

    return predict


def xgb_aft(X: Array, ttf: Array, event: NDArray[np.bool_]) -> Predict:
    """XGBoost's accelerated failure time with a normal error of 0.5."""
    import xgboost as xgb

    t = np.minimum(ttf, EDGES[-1])
    failed = event & (ttf <= EDGES[-1])
    data = xgb.DMatrix(X)
    data.set_float_info("label_lower_bound", t)
    data.set_float_info("label_upper_bound", np.where(failed, t, np.inf))
    params = {
        "objective": "survival:aft",
        "aft_loss_distribution": "normal",
        "aft_loss_distribution_scale": 0.5,
        "max_depth": 4,
        "eta": 0.06,
        "subsample": 0.7,
        "colsample_bynode": 0.3,
        "tree_method": "hist",
        "max_bin": 64,
        "min_child_weight": 5,
        "nthread": 1,
        "seed": 0,
    }
    model = xgb.train(params, data, 300)

    def predict(Z: Array) -> SurvivalCurves:
        mu = np.log(model.predict(xgb.DMatrix(Z)))
        z = (np.log(np.r_[1e-3, EDGES[1:]])[None, :] - mu[:, None]) / 0.5
        s = norm.sf(z)
        s[:, 0] = 1.0
        return SurvivalCurves(EDGES, s)

    return predict


def cox(X: Array, ttf: Array, event: NDArray[np.bool_]) -> Predict:
    """Cox's proportional hazards with a ridge, on standardised features, medians for missing ones."""
    from sksurv.linear_model import CoxPHSurvivalAnalysis

    fill = np.nanmedian(np.where(np.isfinite(X).any(axis=0), X, 0.0), axis=0)
    spread = np.nanstd(X, axis=0)
    use = np.isfinite(spread) & (spread > 1e-9)

    def scaled(Z: Array) -> Array:
        return np.clip(((np.where(np.isfinite(Z), Z, fill) - fill)[:, use]) / spread[use], -8, 8)

    model = CoxPHSurvivalAnalysis(alpha=20.0, n_iter=60)
    model.fit(scaled(X), _structured(ttf, event))
    return lambda Z: _steps(
        model.predict_survival_function(scaled(Z), return_array=True), model.unique_times_
    )


def forest(X: Array, ttf: Array, event: NDArray[np.bool_]) -> Predict:
    """Random survival forest, on every fourth landmark (it is slow), 60 trees."""
    from sksurv.ensemble import RandomSurvivalForest

    pick = np.arange(0, len(X), 4)
    model = RandomSurvivalForest(
        60, min_samples_leaf=10, max_features="sqrt", n_jobs=1, random_state=0
    )
    model.fit(np.nan_to_num(X[pick]), _structured(np.ceil(ttf[pick] / 2) * 2, event[pick]))

    def predict(Z: Array) -> SurvivalCurves:
        s = model.predict_survival_function(np.nan_to_num(Z), return_array=True)
        return _steps(s, model.unique_times_)

    return predict


def _structured(ttf: Array, event: NDArray[np.bool_]) -> NDArray[np.void]:
    out = np.empty(len(ttf), dtype=[("event", bool), ("time", float)])
    out["event"] = event & (ttf <= EDGES[-1])
    out["time"] = np.minimum(ttf, EDGES[-1])
    return out


def _steps(s: Array, times: Array) -> SurvivalCurves:
    at = np.searchsorted(times, EDGES[1:], side="right") - 1
    value = np.where(at >= 0, s[:, np.maximum(at, 0)], 1.0)
    return SurvivalCurves(EDGES, np.column_stack([np.ones(len(s)), np.clip(value, 1e-9, 1)]))


RIVALS: dict[str, Fit] = {
    "regression": regression,
    "classifier": classifier,
    "xgb_aft": xgb_aft,
    "cox": cox,
    "rsf": forest,
}

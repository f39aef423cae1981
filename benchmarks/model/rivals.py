"""The methods Vigie is compared with, on the same rows, features and labels.

Each chooses among three settings by two folds of engines inside the scenario it is judged in, on every
third landmark: the same budget and criterion for all (Brier score at four horizons, weighted for
censoring; the regression, which gives a mean only, by its error on failed machines). A rival is
`fit(X, ttf_h, event, setting) -> predict(X) -> curves on EDGES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from models.curve import SurvivalCurves
from models.metrics import brier, rmse

Array = NDArray[np.float64]
Predict = Callable[[Array], SurvivalCurves]
Setting = dict[str, Any]
Fit = Callable[[Array, Array, NDArray[np.bool_], Setting], Predict]

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


def regression(X: Array, ttf: Array, event: NDArray[np.bool_], setting: Setting) -> Predict:
    """Boosted regression on machines that failed, the censored ones dropped."""
    y = np.minimum(ttf[event], 125.0)
    model = lgb.train(_LGB | {"objective": "regression"} | setting, lgb.Dataset(X[event], y), 300)
    return lambda Z: mean_as_curve(np.clip(model.predict(Z), 0, 125))


def classifier(X: Array, ttf: Array, event: NDArray[np.bool_], setting: Setting) -> Predict:
    """One classifier per horizon, rows whose answer is unknown dropped; curves made monotone."""
    models = []
    for h in EDGES[1:]:
        known = (ttf >= h) | event
        y = (ttf <= h) & event
        params = _LGB | {"objective": "binary"} | setting
        models.append(lgb.train(params, lgb.Dataset(X[known], y[known].astype(int)), 200))

    def predict(Z: Array) -> SurvivalCurves:
        p = np.column_stack([np.asarray(m.predict(Z)) for m in models])
        s = 1 - np.maximum.accumulate(np.clip(p, 1e-9, 1 - 1e-9), axis=1)
        return SurvivalCurves(EDGES, np.column_stack([np.ones(len(Z)), s]))

    return predict


def xgb_aft(X: Array, ttf: Array, event: NDArray[np.bool_], setting: Setting) -> Predict:
    """XGBoost's accelerated failure time with a normal error."""
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
    } | setting
    scale = float(setting["aft_loss_distribution_scale"])
    model = xgb.train(params, data, 300)

    def predict(Z: Array) -> SurvivalCurves:
        mu = np.log(model.predict(xgb.DMatrix(Z)))
        z = (np.log(np.r_[1e-3, EDGES[1:]])[None, :] - mu[:, None]) / scale
        s = norm.sf(z)
        s[:, 0] = 1.0
        return SurvivalCurves(EDGES, s)

    return predict


def cox(X: Array, ttf: Array, event: NDArray[np.bool_], setting: Setting) -> Predict:
    """Cox's proportional hazards with a ridge, on standardised features, medians for missing ones."""
    from sksurv.linear_model import CoxPHSurvivalAnalysis

    fill = np.nanmedian(np.where(np.isfinite(X).any(axis=0), X, 0.0), axis=0)
    spread = np.nanstd(X, axis=0)
    use = np.isfinite(spread) & (spread > 1e-9)

    def scaled(Z: Array) -> Array:
        return np.clip(((np.where(np.isfinite(Z), Z, fill) - fill)[:, use]) / spread[use], -8, 8)

    model = CoxPHSurvivalAnalysis(n_iter=60, **setting)
    model.fit(scaled(X), _structured(ttf, event))
    return lambda Z: _steps(
        model.predict_survival_function(scaled(Z), return_array=True), model.unique_times_
    )


def forest(X: Array, ttf: Array, event: NDArray[np.bool_], setting: Setting) -> Predict:
    """Random survival forest of 60 trees, on at most 1,250 landmarks (it is slow)."""
    from sksurv.ensemble import RandomSurvivalForest

    pick = np.arange(0, len(X), max(1, -(-len(X) // 1250)))
    model = RandomSurvivalForest(60, max_features="sqrt", n_jobs=1, random_state=0, **setting)
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


_TRIED: tuple[Setting, ...] = (
    {},
    {"num_leaves": 7},
    {"learning_rate": 0.02, "min_child_samples": 20},
    {"max_bin": 255},
    {"num_leaves": 7, "max_bin": 255},
)
RIVALS: dict[str, tuple[Fit, tuple[Setting, ...]]] = {
    "regression": (regression, _TRIED),
    "classifier": (classifier, _TRIED),
    "xgb_aft": (
        xgb_aft,
        tuple({"aft_loss_distribution_scale": s} for s in (0.35, 0.5, 0.8)),
    ),
    "cox": (cox, tuple({"alpha": a} for a in (5.0, 20.0, 100.0))),
    "rsf": (forest, tuple({"min_samples_leaf": n} for n in (5, 10, 25))),
}
_JUDGED_H = (15.0, 30.0, 60.0, 90.0)


def tune(
    name: str, X: Array, ttf: Array, event: NDArray[np.bool_], group: NDArray[np.int64]
) -> Setting:
    """Return the setting of a rival that does best on engines left out; `group` int64[n] is the engine."""
    fit, settings = RIVALS[name]
    part = np.arange(0, len(X), 3)
    X, ttf, event = X[part], ttf[part], event[part]
    # Every second engine of those that failed, and of those that did not.
    names, own = np.unique(group[part], return_inverse=True)
    failed = np.bincount(own, weights=event, minlength=len(names)) > 0
    fold = np.where(failed, np.cumsum(failed), np.cumsum(~failed))[own] % 2
    losses = []
    for setting in settings:
        loss = 0.0
        for k in (0, 1):
            out = fold == k
            curves = fit(X[~out], ttf[~out], event[~out], setting)(X[out])
            if name == "regression":
                seen = out & event
                mean = curves.restricted_mean_h(125.0)[event[out]]
                loss += rmse(mean, np.minimum(ttf[seen], 125.0))
            else:
                risk = curves.p_fail(_JUDGED_H)
                for j, h in enumerate(_JUDGED_H):
                    loss += brier(risk[:, j], ttf[out], event[out], h)
        losses.append(loss)
    return settings[int(np.argmin(losses))]

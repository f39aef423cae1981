"""How good predictions are when many lives are censored. Every function is pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.curve import SurvivalCurves

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
#: Horizons, hours, at which a model's manifest gives figures.
JUDGED_H = (8.0, 24.0, 72.0, 168.0)


def censoring_survival(ttf_h: FloatArray, observed: BoolArray, at_h: FloatArray) -> FloatArray:
    """Return P(still watched at h), float64[h]: Kaplan–Meier with censoring as the event."""
    order = np.lexsort((observed, ttf_h))
    t, cut = ttf_h[order], ~observed[order]
    steps = np.cumprod(1.0 - cut / (len(t) - np.arange(len(t))))
    return np.concatenate([[1.0], steps])[np.searchsorted(t, at_h, side="left")]


def ipc_weights(ttf_h: FloatArray, observed: BoolArray, h: float) -> FloatArray:
    """Return inverse-censoring weights float64[n] for the question "failed within h?"; 0 when unknown.

    Graf et al. 1999, DOI 10.1002/(SICI)1097-0258(19990915)18:17/18<2529::AID-SIM274>3.0.CO;2-5.
    """
    failed = observed & (ttf_h <= h)
    survived = ttf_h > h
    g = np.maximum(censoring_survival(ttf_h, observed, np.where(failed, ttf_h, h)), 0.05)
    return np.where(failed | survived, 1.0 / g, 0.0)


def brier(p: FloatArray, ttf_h: FloatArray, observed: BoolArray, h: float) -> float:
    """Return the weighted mean squared error of P(fails within h)."""
    w = ipc_weights(ttf_h, observed, h)
    y = observed & (ttf_h <= h)
    return float(np.average((p - y) ** 2, weights=w)) if w.sum() > 0 else float("nan")


def calibration_ratio(p: FloatArray, ttf_h: FloatArray, observed: BoolArray, h: float) -> float:
    """Return observed over expected failures within h: 1 is calibrated, above 1 is too hopeful."""
    w = ipc_weights(ttf_h, observed, h)
    expected = float(np.sum(w * p))
    return float(np.sum(w * (observed & (ttf_h <= h)))) / expected if expected > 0 else float("nan")


def concordance(
    score: FloatArray,
    ttf_h: FloatArray,
    observed: BoolArray,
    groups: NDArray[np.int64],
    seed: int = 0,
) -> float:
    """Return Harrell's C between machines: a longer `score` should mean a longer life.

    One random landmark of each group, twenty times, so that long histories do not count more.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(groups, kind="stable")
    starts = (
        np.flatnonzero(np.r_[True, np.diff(groups[order]) != 0]) if len(order) else np.zeros(0, int)
    )
    sizes = np.diff(np.r_[starts, len(order)])
    won = pairs = 0.0
    for _ in range(20):
        pick = order[starts + (rng.random(len(starts)) * sizes).astype(np.int64)]
        t, e, s = ttf_h[pick], observed[pick], score[pick]
        comparable = (t[:, None] < t[None, :]) & e[:, None]
        won += float(np.sum(comparable & (s[:, None] < s[None, :])))
        won += 0.5 * float(np.sum(comparable & (s[:, None] == s[None, :])))
        pairs += float(np.sum(comparable))
    return won / pairs if pairs else float("nan")


def window_coverage(
    windows_h: FloatArray, ttf_h: FloatArray, observed: BoolArray
) -> tuple[float, float, int]:
    """Return (share inside p10 to p90, mean width in hours, rows) where the whole window is known.

    A censored row counts once it was watched past its p90 (then it is outside), so neither side is favoured
    among windows; those cut before that say nothing.
    """
    known = np.isfinite(windows_h[:, 2]) & (observed | (ttf_h > windows_h[:, 2]))
    if not known.any():
        return float("nan"), float("nan"), 0
    w, t = windows_h[known], ttf_h[known]
    inside = (t >= w[:, 0]) & (t <= w[:, 2]) & observed[known]
    return float(inside.mean()), float(np.mean(w[:, 2] - w[:, 0])), int(known.sum())


def rmse(a: FloatArray, b: FloatArray) -> float:
    """Return the root mean square of a - b."""
    return float(np.sqrt(np.mean((a - b) ** 2)))


def average_precision(score: FloatArray, truth: BoolArray) -> float:
    """Return the area below precision over recall, by steps; ties are taken together."""
    order = np.argsort(-score, kind="stable")
    s, y = score[order], truth[order]
    last = np.r_[np.diff(s) != 0, True]
    hits, seen = np.cumsum(y)[last], np.flatnonzero(last) + 1
    if not y.any():
        return float("nan")
    return float(np.sum(np.diff(np.r_[0, hits]) / y.sum() * hits / seen))


def summary(
    curves: SurvivalCurves,
    windows_h: FloatArray,
    ttf_h: FloatArray,
    observed: BoolArray,
    groups: NDArray[np.int64],
    horizons_h: tuple[float, ...],
) -> dict[str, float | None]:
    """Return the figures a manifest carries; None where the data cannot say."""
    cap = curves.horizon_h
    mean = curves.restricted_mean_h()
    watched = observed | (ttf_h >= cap)
    out: dict[str, float] = {
        "rmse_h": rmse(mean[watched], np.minimum(ttf_h[watched], cap)) if watched.any() else np.nan,
        "c_index": concordance(mean, ttf_h, observed, groups),
    }
    out["window_coverage"], out["window_width_h"], _ = window_coverage(windows_h, ttf_h, observed)
    for h in horizons_h:
        p = curves.p_fail(h)[:, 0]
        out[f"brier_{h:g}h"] = brier(p, ttf_h, observed, h)
        out[f"observed_over_expected_{h:g}h"] = calibration_ratio(p, ttf_h, observed, h)
    return {key: None if np.isnan(value) else round(float(value), 6) for key, value in out.items()}

"""What a repair's finding is worth when codes are missing or wrong.

A repair that found the part degraded says that it would have failed within the crew's notion of "soon"
(twice `degraded_residual_h`); one that found it sound says that it would have lasted longer than that.
Where the crew wrote nothing, the coded repairs teach how degraded parts looked just before (logistic
regression on the deviation from healthy and on a first model's risk), and the repair counts as both,
weighted. A code that the machine's looks contradict is doubted in the same way, by Bayes with
`code_error`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.labels import Labels
from models.settings import ModelSettings

FloatArray = NDArray[np.float64]
_CODED = ("degraded", "sound")
_MIN_CODED = 8


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """p: float64[lives] probability that the life ended degraded; learned: from how many codes.

    left_out: lives, by number, whose end says nothing (see `dependence.py`).
    """

    p: FloatArray
    learned: int
    left_out: frozenset[int] = frozenset()


def last_rows(labels: Labels, ts_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the last row of every life that has rows, int64[m], in the order of lives."""
    rows = np.flatnonzero(labels.life >= 0)
    order = rows[np.lexsort((ts_ms[rows], labels.life[rows]))]
    return order[np.r_[np.diff(labels.life[order]) != 0, True]] if len(order) else order


def infer_findings(
    labels: Labels, rows: NDArray[np.int64], looks: FloatArray, settings: ModelSettings
) -> Findings:
    """Say of every life how likely its repair found a degraded part.

    rows: the last row of each life, with what it looked like, float64[m, k]. Failures are 1 and open lives 0
    whatever they looked like. With fewer than 8 coded repairs of each sort the codes are taken as
    they are and unknown findings as sound.
    """
    lives = labels.lives
    p = np.array([1.0 if life.observed else 0.0 for life in lives])
    spread = np.nanstd(looks, axis=0)
    seen = np.full((len(lives), looks.shape[1]), np.nan)
    seen[labels.life[rows]] = (looks - np.nanmean(looks, axis=0)) / np.where(
        spread > 0, spread, 1.0
    )
    known = np.isfinite(seen).all(axis=1)
    coded = [i for i, life in enumerate(lives) if life.reason in _CODED and known[i]]
    y = np.array([lives[i].reason == "degraded" for i in coded], dtype=np.float64)
    if min(y.sum(), len(y) - y.sum()) < _MIN_CODED:
        return Findings(p, 0)
    beta = _logistic(seen[coded], y)
    error = settings.code_error
    for i, life in enumerate(lives):
        if life.reason not in {*_CODED, "unknown"} or not known[i]:
            continue
        z = float(beta[0] + seen[i] @ beta[1:])
        q = float(np.clip(1.0 / (1.0 + np.exp(-z)), 0.005, 0.995))
        if life.reason == "degraded":
            q = q * (1 - error) / (q * (1 - error) + (1 - q) * error)
        elif life.reason == "sound":
            q = q * error / (q * error + (1 - q) * (1 - error))
        p[i] = q
    return Findings(p, len(coded))


def _logistic(x: FloatArray, y: FloatArray) -> FloatArray:
    """Fit intercept and slopes float64[k + 1] by Newton's method with a weak pull to zero."""
    A = np.column_stack([np.ones(len(x)), x])
    beta = np.zeros(A.shape[1])
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-np.clip(A @ beta, -30, 30)))
        gradient = A.T @ (p - y) + 0.3 * beta
        hessian = (A * (p * (1 - p))[:, None]).T @ A + 0.3 * np.eye(A.shape[1])
        step = np.linalg.solve(hessian, gradient)
        beta -= step
        if np.max(np.abs(step)) < 1e-9:
            break
    return np.asarray(beta, dtype=np.float64)

"""Why a risk is what it is: TreeSHAP at the one bin that matters, summed by signal.

`shapley` splits the log-odds of one bin's hazard among the features. It costs more than all else that is
said of a machine, so it is asked only for machines worth explaining and only in the bin where their
failure is most likely.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue
from models.bins import FloatArray
from models.bundle import Bundle
from models.columns import changes
from models.curve import SurvivalCurves
from models.forest import split_gains
from models.horizons import HorizonBoosters
from models.prior import Prior, known_of
from models.shapley import shapley
from plant.risk import Driver

_NOT_DRIVERS = {"asset"}  # age says "it is old", which no sensor shows; it is not a signal


def contributions(bundle: Bundle, X: FloatArray, curves: SurvivalCurves) -> FloatArray:
    """Return each feature's share of the log-odds in the bin that matters, float64[n, F].

    The trees' share by TreeSHAP, the prior's by how far each column is from healthy. Where a booster of a
    single horizon speaks for that bin too, its shares of its own log-odds count by its weight.
    """
    if bundle.hazard is None:
        return np.zeros((len(X), len(bundle.features)))
    density = -np.diff(curves.survival, axis=1) / np.diff(curves.edges_h)
    bin_ = np.argmax(density, axis=1)
    features = X.shape[1]
    total = np.zeros((len(X), features))
    for forest in bundle.hazard.forests:
        total += shapley(forest, X, bin_)
    total /= len(bundle.hazard.texts)
    if bundle.prior is not None:
        by_prior = (1 - bundle.prior.share) * _of_prior(bundle, bundle.prior, X, bin_)
        total = bundle.prior.share * total + by_prior
    total *= bundle.hazard.slope
    if bundle.horizons is not None:
        _with_horizons(bundle.horizons, X, curves.edges_h[bin_], total)
    return total


def _with_horizons(
    boosters: HorizonBoosters, X: FloatArray, begin_h: FloatArray, total: FloatArray
) -> None:
    """Blend in the shares of the booster that speaks for each row's bin, from begin_h float64[n] on."""
    before = 0.0
    for h, forest, share in zip(boosters.hours, boosters.forests, boosters.shares, strict=True):
        rows = (before <= begin_h) & (begin_h < h)
        own = shapley(forest, X[rows], np.zeros(int(rows.sum()), np.int64))
        total[rows] = (1 - share) * total[rows] + share * own
        before = h


def _of_prior(bundle: Bundle, prior: Prior, X: FloatArray, bin_: NDArray[np.int64]) -> FloatArray:
    """Return each feature's share of what the deviation adds to the log-odds of a bin, float64[n, F].

    It is split by the squares of the columns' own distances from healthy, as a distance is made of them.
    """
    model, out = bundle.deviation, np.zeros(X.shape)
    if model.rows:
        z = prior.standing(known_of(model.score(X), np.full(len(X), np.nan)))
        effect = z[:, :1] * prior.bin_slopes()[bin_, :1]
        square = model.parts(X) ** 2
        out[:, model.columns] = effect * square / np.maximum(square.sum(axis=1), 1e-12)[:, None]
    return out


def drivers(
    catalogue: Catalogue, reference: FloatArray, x: FloatArray, share: FloatArray, count: int
) -> tuple[Driver, ...]:
    """Return the signals that push one row's risk most, strongest first.

    x, share, reference: float64[F]. A signal's contribution is the sum over its features; the
    feature named is the one that weighs most in the same direction.
    """
    by_signal: dict[str, list[int]] = {}
    for i, feature in enumerate(catalogue.features):
        if feature.signal not in _NOT_DRIVERS and share[i] != 0 and np.isfinite(x[i]):
            by_signal.setdefault(feature.signal, []).append(i)
    sums = {signal: float(share[columns].sum()) for signal, columns in by_signal.items()}
    found = []
    for signal in sorted(sums, key=lambda s: -abs(sums[s]))[:count]:
        columns = np.array(by_signal[signal])
        towards = share[columns] * np.sign(sums[signal])
        best = int(columns[np.argmax(towards)])
        feature = catalogue.features[best]
        found.append(
            Driver(
                signal=signal,
                feature=feature.name,
                value=float(x[best]),
                unit=feature.unit,
                contribution=round(sums[signal], 4),
                direction=_direction(feature.stat, float(x[best]), float(reference[best])),
            )
        )
    return tuple(found)


def deviation_drivers(bundle: Bundle, x: FloatArray, count: int) -> tuple[Driver, ...]:
    """Return the signals farthest from healthy, for a machine without a window.

    `contribution` is then its distance from healthy, 1 being the limit of a single signal.
    """
    model = bundle.deviation
    if model.rows == 0:
        return ()
    share = np.zeros(len(x))
    share[model.columns] = np.abs(model.parts(x[None, :])[0])
    best: dict[str, int] = {}
    for i in np.argsort(-share, kind="stable"):
        if share[i] > 0:
            best.setdefault(bundle.catalogue.features[i].signal, int(i))
    found = []
    for i in list(best.values())[:count]:
        feature = bundle.catalogue.features[i]
        direction = _direction(feature.stat, float(x[i]), float(bundle.reference[i]))
        found.append(
            Driver(
                feature.signal,
                feature.name,
                float(x[i]),
                feature.unit,
                round(float(share[i]), 4),
                direction,
            )
        )
    return tuple(found)


def _direction(
    stat: str, value: float, usual: float
) -> Literal["rising", "falling", "high", "low", "other"]:
    if changes(stat):
        if value == 0:
            return "other"
        return "rising" if value > 0 else "falling"
    if not np.isfinite(usual) or value == usual:
        return "other"
    return "high" if value > usual else "low"


def importance(bundle: Bundle) -> dict[str, float]:
    """Return each signal's share of the whole model's gain, summing to 1, greatest first."""
    if bundle.hazard is None:
        return {}
    gain = np.zeros(len(bundle.features))
    for text, forest in zip(bundle.hazard.texts, bundle.hazard.forests, strict=True):
        gain += split_gains(text, forest.features)[: len(gain)]
    sums: dict[str, float] = {}
    for signal, value in zip(bundle.catalogue.signals, gain, strict=True):
        sums[signal] = sums.get(signal, 0.0) + float(value)
    total = sum(sums.values()) or 1.0
    return {s: sums[s] / total for s in sorted(sums, key=lambda s: (-sums[s], s))}


def interesting(curves: SurvivalCurves, deviation: FloatArray, above: float) -> NDArray[np.bool_]:
    """Tell which rows deserve drivers: likely to fail before the last edge, or deviating."""
    p = 1.0 - curves.survival[:, -1]
    return (p >= above) | (np.nan_to_num(deviation) >= 1.0)

"""Learning a RegimeModel: what machines of a kind do when healthy, from the bucket means of history.

No random numbers anywhere, so the same history gives the same model.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from features.kernel_digest import REGIMES, REGRESSION
from features.regime import Matrix, RegimeModel
from features.slow import slow_factors

MAX_REGIMES = 10
#: Regimes must explain this share of the operating signals' variance, else a regression is fitted.
CLUSTERED = 0.995


def fit_regimes(
    means: Matrix,
    ops: Matrix,
    conditions: tuple[str, ...],
    operating: tuple[str, ...],
    *,
    healthy: NDArray[np.bool_] | None = None,
    groups: NDArray[np.int64] | None = None,
    components: int = 2,
    blends: bool = False,
    smooth: float = 20.0,
) -> RegimeModel:
    """Learn what is normal from the bucket means of one kind.

    means: float64[n, C]; ops: float64[n, O]; healthy: rows that show the healthy machine (all when
    None or too few); groups: int64[n], rows of one life are together and in time order (for
    smoothing before the health indices are found); components, blends: as in FeatureSettings; smooth:
    span in rows.
    """
    everything: NDArray[np.bool_] = np.ones(len(means), dtype=bool)
    use = everything if healthy is None else healthy
    complete: NDArray[np.bool_] = np.logical_and(
        np.isfinite(ops).all(axis=1), np.isfinite(means).any(axis=1)
    )
    if (use & complete).sum() < max(50, 5 * len(operating)):
        use = everything
    rows: NDArray[np.bool_] = np.logical_and(use, complete)
    op_centre, op_scale = _standard(ops[complete])
    points = (ops - op_centre) / op_scale
    places, explained = _find_places(points[complete])
    clustered = len(operating) == 0 or explained >= CLUSTERED
    if clustered:
        label = _nearest(points, places)
        expected, scales = _per_regime(means, label, rows, complete, len(places))
        kind = REGIMES
    else:
        places = places[:1] * 0.0
        expected, scales = _regression(means, points, rows)
        kind = REGRESSION
    reference = _reference(means, points, places, expected, scales, kind, rows)
    bare = RegimeModel(
        conditions,
        operating,
        kind,
        op_centre,
        op_scale,
        places,
        expected,
        scales,
        reference,
        np.zeros((len(places), len(conditions))),
        np.zeros((len(places), 0, len(conditions))),
        int(rows.sum()),
    )
    excess, regime = bare.excess(means, ops)
    label = np.nan_to_num(regime).astype(np.int64)
    centre, mix = _components(
        excess / reference, groups, label, len(places), min(components, len(conditions)), smooth,
        blends=blends,
    )  # fmt: skip
    return replace(bare, mix_centre=centre, mix=mix)


def _standard(ops: Matrix) -> tuple[Matrix, Matrix]:
    if not len(ops) or not ops.shape[1]:
        return np.zeros(ops.shape[1]), np.ones(ops.shape[1])
    scale = ops.std(axis=0)
    return ops.mean(axis=0), np.where(scale > 1e-9 * np.abs(ops).max(axis=0), scale, 1.0)


def _nearest(points: Matrix, places: Matrix) -> NDArray[np.int64]:
    distance = ((points[:, None, :] - places[None]) ** 2).sum(axis=2)
    return np.asarray(np.nan_to_num(distance, nan=np.inf).argmin(axis=1), dtype=np.int64)


def _find_places(points: Matrix) -> tuple[Matrix, float]:
    """Return the fewest operating points that explain CLUSTERED of the variance, and what they do.

    Lloyd's iterations from farthest-point starts: no random numbers, so the same data give the same model.
    """
    if not len(points) or not points.shape[1]:
        return np.zeros((1, points.shape[1])), 1.0
    sample = points[:: max(1, len(points) // 20_000)]
    total = float((sample**2).sum()) or 1.0
    places = sample.mean(axis=0, keepdims=True)
    explained = 0.0
    for count in range(1, MAX_REGIMES + 1):
        if count > 1:
            distance = ((sample[:, None] - places[None]) ** 2).sum(axis=2).min(axis=1)
            places = np.vstack([places, sample[int(distance.argmax())]])
        for _ in range(30):
            label = _nearest(sample, places)
            moved = np.array(
                [
                    sample[label == r].mean(axis=0) if (label == r).any() else places[r]
                    for r in range(len(places))
                ]
            )
            if np.array_equal(moved, places):
                break
            places = moved
        distance = ((sample[:, None] - places[None]) ** 2).sum(axis=2).min(axis=1)
        explained = 1.0 - float(distance.sum()) / total
        if explained >= CLUSTERED:
            break
    order = np.lexsort(places.T[::-1])
    return places[order], explained


def _centre_and_spread(values: Matrix) -> tuple[float, float]:
    """Return the median and a robust standard deviation (MAD, else plain, else 1)."""
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    centre = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - centre)))
    if spread <= 1e-12 * max(1.0, abs(centre)):
        spread = float(values.std())
    return centre, spread if spread > 1e-12 * max(1.0, abs(centre)) else 1.0


def _per_regime(
    means: Matrix,
    label: NDArray[np.int64],
    use: NDArray[np.bool_],
    complete: NDArray[np.bool_],
    count: int,
) -> tuple[Matrix, Matrix]:
    expected = np.zeros((count, means.shape[1]))
    scales = np.ones((count, means.shape[1]))
    for r in range(count):
        rows = use & (label == r)
        if rows.sum() < 20:
            rows = complete & (label == r)
        for c in range(means.shape[1]):
            expected[r, c], scales[r, c] = _centre_and_spread(means[rows, c])
    return expected, scales


def quadratic(points: Matrix) -> Matrix:
    """Return the terms 1, x_o, x_o x_p (p <= o) in the order the kernel adds them."""
    clipped = np.clip(points, -4.0, 4.0)
    terms = [np.ones(len(points)), *clipped.T]
    terms += [clipped[:, o] * clipped[:, p] for o in range(points.shape[1]) for p in range(o + 1)]
    return np.column_stack(terms)


def _regression(means: Matrix, points: Matrix, use: NDArray[np.bool_]) -> tuple[Matrix, Matrix]:
    """Ridge least squares, twice: the second time without what lies far off."""
    terms = quadratic(np.nan_to_num(points))
    expected = np.zeros((terms.shape[1], means.shape[1]))
    scales = np.ones((1, means.shape[1]))
    for c in range(means.shape[1]):
        rows = use & np.isfinite(means[:, c])
        for _ in range(2):
            if rows.sum() < 3:
                break
            A, y = terms[rows], means[rows, c]
            middle = y.mean()
            ridge = 1e-6 * len(y) * np.eye(A.shape[1])
            fit = np.linalg.solve(A.T @ A + ridge, A.T @ (y - middle))
            fit[0] += middle
            expected[:, c] = fit
            off = means[:, c] - terms @ fit
            _, scales[0, c] = _centre_and_spread(off[rows])
            rows = use & np.isfinite(means[:, c]) & (np.abs(off) < 4 * scales[0, c])
    return expected, scales


def _reference(
    means: Matrix,
    points: Matrix,
    places: Matrix,
    expected: Matrix,
    scales: Matrix,
    kind: int,
    use: NDArray[np.bool_],
) -> Matrix:
    """Return each signal's scale over all regimes: the root mean square of the scales in use."""
    if kind == REGRESSION or len(places) == 1:
        return np.array(scales[0])
    label = _nearest(points[use], places)
    weight = np.bincount(label, minlength=len(places)) / max(1, len(label))
    return np.asarray(np.sqrt((weight[:, None] * scales**2).sum(axis=0)))


def _components(
    z: Matrix,
    groups: NDArray[np.int64] | None,
    label: NDArray[np.int64],
    places: int,
    count: int,
    span: float,
    *,
    blends: bool,
) -> tuple[Matrix, Matrix]:
    """Return each regime's centre float64[R, C] and mixing rows float64[R, P, C] of the health indices.

    blends: after each pair of indices also their sum and difference.
    """
    signals = z.shape[1]
    known = np.isfinite(z)
    use = known.mean(axis=1) >= 0.5 if signals else np.zeros(len(z), dtype=bool)
    rows = np.ascontiguousarray(np.where(known, z, 0.0)[use])  # unknown: as expected
    lives = np.zeros(len(rows), np.int64) if groups is None else np.ascontiguousarray(groups[use])
    pairs = np.count_nonzero(lives[1:] == lives[:-1])
    if count == 0 or signals == 0 or pairs < 10 * signals:
        return np.zeros((places, signals)), np.zeros((places, 0, signals))
    centre, mix = slow_factors(rows, lives, label[use], places, count, span)
    return centre, _blended(mix) if blends else mix


def _blended(mix: Matrix) -> Matrix:
    """Return the indices and, for each pair, their sum and difference on the same scale.

    Trees cut along axes only, and which direction tells most depends on how a machine wears.
    """
    rows = [mix[:, p] for p in range(mix.shape[1])]
    for p in range(mix.shape[1]):
        for q in range(p):
            rows += [(mix[:, q] + mix[:, p]) / np.sqrt(2), (mix[:, q] - mix[:, p]) / np.sqrt(2)]
    return np.ascontiguousarray(np.stack(rows, axis=1))

"""Has the world changed since training? Per signal and per prediction, against the same season.

Rows of a machine follow each other, so a test on rows would cry wolf; here each machine gives one
number per week (its median), and the newest weeks are compared with reference weeks by a two-sample
Kolmogorov–Smirnov test whose p-value comes from permuting *machines' weeks in blocks*. The reference
of a plant older than a year is the same season of earlier years, otherwise all of training. Levels
are corrected for the number of signals (Holm), so identical distributions alarm at most `drift_alpha`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.table import FeatureTable
from models.bins import FloatArray
from models.columns import standing
from models.settings import ModelSettings
from plant.times import DAY_MS

_WEEK_MS = 7 * DAY_MS
_YEAR_MS = 365 * DAY_MS
_SEASON_MS = 45 * DAY_MS
_DRAWS = 999
_MIN_POINTS = 8


@dataclass(frozen=True, slots=True)
class Drift:
    """One check: what, how far apart (0 to 1), how likely by chance, and whether it counts."""

    what: str
    distance: float
    p_value: float
    drifted: bool
    points: tuple[int, int]


def check_drift(
    table: FeatureTable,
    newest_from_ms: int,
    settings: ModelSettings,
    predictions: Mapping[str, FloatArray] | None = None,
) -> list[Drift]:
    """Compare rows from `newest_from_ms` on with those before, signal by signal and prediction by prediction.

    predictions: name to float64[n] over the table's rows (deviation, p_fail). Strongest first. A
    quantity with too few machine-weeks on either side is left out: too little to say.
    """
    columns: dict[str, FloatArray] = {}
    first: dict[str, int] = {}
    for column in standing(table.catalogue).tolist():
        first.setdefault(table.catalogue.signals[column], column)
    columns |= {signal: table.X[:, column] for signal, column in first.items()}
    columns |= {f"prediction {name}": values for name, values in (predictions or {}).items()}
    reference, newest = _periods(table.ts_ms, newest_from_ms)
    machine = pd.factorize(table.assets, sort=True)[0].astype(np.int64)
    found = []
    for number, (what, values) in enumerate(columns.items()):
        a = _machine_weeks(values, machine, table.ts_ms, reference)
        b = _machine_weeks(values, machine, table.ts_ms, newest)
        if min(len(a[0]), len(b[0])) >= _MIN_POINTS:
            found.append(
                (what, *_permutation(a, b, settings.seed + number), (len(a[0]), len(b[0])))
            )
    found.sort(key=lambda item: (item[2], -item[1]))
    out, open_ = [], True
    for rank, (what, distance, p, points) in enumerate(found):
        open_ = open_ and p <= settings.drift_alpha / (len(found) - rank)  # Holm's steps
        out.append(Drift(what, round(distance, 4), round(p, 5), open_, points))
    return out


def _periods(
    ts_ms: NDArray[np.int64], newest_from_ms: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    newest = ts_ms >= newest_from_ms
    before = ~newest
    if before.any() and newest.any() and newest_from_ms - int(ts_ms.min()) > _YEAR_MS:
        middle = (newest_from_ms + int(ts_ms.max())) // 2
        away = np.abs((ts_ms - middle + _YEAR_MS // 2) % _YEAR_MS - _YEAR_MS // 2)
        season = before & (away <= _SEASON_MS + (int(ts_ms.max()) - newest_from_ms) // 2)
        if season.any():
            before = season
    return before, newest


def _machine_weeks(
    values: FloatArray, machine: NDArray[np.int64], ts_ms: NDArray[np.int64], use: NDArray[np.bool_]
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return the median of each machine's week and its machine."""
    use = use & np.isfinite(values)
    frame = pd.DataFrame({"m": machine[use], "w": ts_ms[use] // _WEEK_MS, "v": values[use]})
    medians = frame.groupby(["m", "w"], sort=True)["v"].median()
    return (
        medians.to_numpy(dtype=np.float64),
        medians.index.get_level_values("m").to_numpy(dtype=np.int64),
    )


def _permutation(
    a: tuple[FloatArray, NDArray[np.int64]], b: tuple[FloatArray, NDArray[np.int64]], seed: int
) -> tuple[float, float]:
    """Return the KS distance and its permutation p-value.

    Weeks of one machine are rotated together in time: what follows in a machine stays together, so
    autocorrelation does not look like drift.
    """
    values = np.concatenate([a[0], b[0]])
    machine = np.concatenate([a[1], b[1]])
    newest = np.concatenate([np.zeros(len(a[0]), bool), np.ones(len(b[0]), bool)])
    order = np.lexsort((newest, machine))
    values, machine, newest = values[order], machine[order], newest[order]
    rank = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    distance = _ks(rank, newest)
    rng = np.random.default_rng(seed)
    blocks = np.split(np.arange(len(values)), np.flatnonzero(np.diff(machine)) + 1)
    beaten = 1
    for _ in range(_DRAWS):
        rotated = np.concatenate(
            [np.roll(newest[block], rng.integers(len(block))) for block in blocks]
        )
        beaten += _ks(rank, rotated) >= distance - 1e-12
    return distance, beaten / (_DRAWS + 1)


def _ks(rank: NDArray[np.int64], newest: NDArray[np.bool_]) -> float:
    flags = np.empty(len(rank), dtype=np.float64)
    flags[rank] = newest
    n_new = flags.sum()
    steps = np.cumsum(flags / n_new - (1 - flags) / (len(flags) - n_new))
    return float(np.max(np.abs(steps)))


def should_retrain(
    drifts: list[Drift], new_failures: int, days_since: float, settings: ModelSettings
) -> str | None:
    """Say why it is time to train again, by drift, by new failures or by time; None when it is not."""
    drifted = [d.what for d in drifts if d.drifted]
    if drifted:
        return f"drift in {', '.join(drifted[:3])}"
    if new_failures >= settings.retrain_failures:
        return f"{new_failures} new failures"
    if days_since >= settings.retrain_days:
        return f"{days_since:.0f} days since the last training"
    return None

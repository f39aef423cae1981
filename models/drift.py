"""Has the world changed since training? Per signal and per prediction, against other weeks.

Rows of a machine follow each other, so a test on rows would cry wolf; here each machine gives one
number per week (its median, from its own middle). Two tests ask what could have moved them, and the
larger p-value counts, because either explanation is enough:

- each machine by itself wanders: a Kolmogorov–Smirnov distance, permuted by rotating each machine's
  weeks in time;
- all machines wander together (weather, product mix): one level and one spread of the fleet per
  fortnight, and Student's prediction interval for the newest from the earlier ones. A permutation
  of the few fortnights there are could never reach the levels that many signals ask for.

Where history reaches back far enough, a week stands as its difference from the same weeks of earlier
years. Levels are corrected for the number of quantities (Holm), so distributions that stay as they
were alarm at most about `drift_alpha`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from features.table import FeatureTable
from models.bins import FloatArray
from models.columns import standing
from models.settings import ModelSettings
from plant.times import DAY_MS

_WEEK_MS = 7 * DAY_MS
_YEAR_WEEKS = 365.25 / 7
#: Weeks that must have an earlier year before seasons are taken out: enough to know what is usual.
_SEASON_WEEKS = 26
#: Weeks taken together for what machines share: weather of one week reaches into the next.
_BLOCK_WEEKS = 2
_MIN_BLOCKS = 4
_MIN_POINTS = 8
#: A permutation test may stop at so many draws as far apart (Besag & Clifford 1991, Biometrika 78).
_ENOUGH = 20


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
    quantity with too few machine-weeks on either side, or too few weeks, is left out: too little to say.
    """
    columns: dict[str, FloatArray] = {}
    first: dict[str, int] = {}
    for column in standing(table.catalogue).tolist():
        first.setdefault(table.catalogue.signals[column], column)
    columns |= {signal: table.X[:, column] for signal, column in first.items()}
    columns |= {f"prediction {name}": values for name, values in (predictions or {}).items()}
    # Holm asks the first for alpha / quantities: fewer draws could never reach it.
    draws = max(999, math.ceil(2 * len(columns) / settings.drift_alpha))
    found = []
    for number, (what, values) in enumerate(columns.items()):
        weeks, n_new = _machine_weeks(values, table, newest_from_ms)
        seasonal = _against_earlier_years(weeks)
        if _enough(seasonal, n_new, _SEASON_WEEKS):
            weeks = seasonal
        elif not _enough(weeks, n_new, _BLOCK_WEEKS * _MIN_BLOCKS):
            continue
        weeks = weeks - _middles(weeks)
        known = np.isfinite(weeks)
        points = (int(known[:, :-n_new].sum()), int(known[:, -n_new:].sum()))
        distance, alone = _alone_p(weeks, n_new, draws, settings.seed + number)
        found.append((what, distance, max(alone, _together_p(weeks, n_new)), points))
    found.sort(key=lambda item: (item[2], -item[1]))
    out, open_ = [], True
    for rank, (what, distance, p, points) in enumerate(found):
        open_ = open_ and p <= settings.drift_alpha / (len(found) - rank)  # Holm's steps
        out.append(Drift(what, round(distance, 4), round(p, 8), open_, points))
    return out


def _machine_weeks(
    values: FloatArray, table: FeatureTable, newest_from_ms: int
) -> tuple[FloatArray, int]:
    """Return each machine's median of each week, float64[machines, weeks], and how many weeks are new.

    Weeks are counted from `newest_from_ms`, so none is partly new; NaN where a machine says nothing.
    """
    week = (table.ts_ms - newest_from_ms) // _WEEK_MS
    use = np.isfinite(values)
    frame = pd.DataFrame({"m": table.assets[use], "w": week[use], "v": values[use]})
    medians = frame.groupby(["m", "w"], sort=True)["v"].median().unstack("w")
    every = np.arange(int(week.min(initial=0)), int(week.max(initial=0)) + 1)
    out = medians.reindex(columns=every).to_numpy(dtype=np.float64)
    return out, max(1, int(np.sum(every >= 0)))


def _against_earlier_years(weeks: FloatArray) -> FloatArray:
    """Return machine-weeks less the mean of the same machine's same weeks in all earlier years.

    weeks: float64[machines, weeks]; NaN where there is no earlier year.
    """
    total, years = np.zeros_like(weeks), np.zeros_like(weeks)
    for year in range(1, int(weeks.shape[1] / _YEAR_WEEKS) + 1):
        back = round(year * _YEAR_WEEKS)
        earlier = weeks[:, : max(weeks.shape[1] - back, 0)]
        total[:, back:] += np.nan_to_num(earlier)
        years[:, back:] += np.isfinite(earlier)
    return weeks - np.where(years > 0, total / np.maximum(years, 1), np.nan)


def _enough(weeks: FloatArray, n_new: int, reference_weeks: int) -> bool:
    known = np.isfinite(weeks)
    old, new = known[:, :-n_new], known[:, -n_new:]
    points = min(int(old.sum()), int(new.sum()))
    return points >= _MIN_POINTS and int(old.any(axis=0).sum()) >= reference_weeks


def _middles(weeks: FloatArray) -> FloatArray:
    """Return each machine's median over all its weeks, float64[machines, 1]: machines differ for good.

    Old and new weeks together, so that rotating them changes nothing.
    """
    return pd.DataFrame(weeks).median(axis=1).to_numpy(dtype=np.float64)[:, None]


def _alone_p(weeks: FloatArray, n_new: int, draws: int, seed: int) -> tuple[float, float]:
    """Return the KS distance of old and new machine-weeks and its permutation p-value.

    weeks: float64[machines, weeks], the last `n_new` are new. Each machine's weeks are rotated together
    in time: what follows in a machine stays together, so autocorrelation does not look like drift.
    """
    machine, week = np.nonzero(np.isfinite(weeks))  # machine by machine, in time
    newest = week >= weeks.shape[1] - n_new
    rank = np.argsort(np.argsort(weeks[machine, week], kind="stable"), kind="stable")
    distance = _ks(rank, newest)
    rng = np.random.default_rng(seed)
    blocks = np.split(np.arange(len(week)), np.flatnonzero(np.diff(machine)) + 1)
    beaten = 0
    for draw in range(1, draws + 1):
        rotated = np.concatenate(
            [np.roll(newest[block], rng.integers(len(block))) for block in blocks]
        )
        beaten += _ks(rank, rotated) >= distance - 1e-12
        if beaten == _ENOUGH:
            return distance, beaten / draw
    return distance, (beaten + 1) / (draws + 1)


def _ks(rank: NDArray[np.int64], newest: NDArray[np.bool_]) -> float:
    flags = np.empty(len(rank), dtype=np.float64)
    flags[rank] = newest
    n_new = flags.sum()
    steps = np.cumsum(flags / n_new - (1 - flags) / (len(flags) - n_new))
    return float(np.max(np.abs(steps)))


def _together_p(weeks: FloatArray, n_new: int) -> float:
    """Return how likely the fleet's newest level and spread are, judged by how both moved before.

    weeks: float64[machines, weeks], the last `n_new` are new. The smaller p-value of the two, doubled.
    """
    fleet = pd.DataFrame(weeks)
    level = fleet.mean(axis=0).to_numpy(dtype=np.float64)
    spread = fleet.std(axis=0).to_numpy(dtype=np.float64)  # NaN for a single machine
    with np.errstate(divide="ignore"):
        log_spread = np.log(spread)
    log_spread[~np.isfinite(log_spread)] = np.nan
    return min(1.0, 2 * min(_prediction_p(level, n_new), _prediction_p(log_spread, n_new)))


def _prediction_p(series: FloatArray, n_new: int) -> float:
    """Return the two-sided p-value of the newest mean by Student's prediction interval, 1 if unknown.

    series: float64[weeks], the last `n_new` are new. Earlier weeks are taken in blocks, whose scatter
    says how far a block may lie from the others: t = (new - old) / (s sqrt(1 / n_new + 1 / n_old)).
    """
    size = min(_BLOCK_WEEKS, n_new)
    block = (np.arange(len(series) - n_new) - (len(series) - n_new)) // size
    old = pd.Series(series[:-n_new]).groupby(block).mean().dropna().to_numpy(dtype=np.float64)
    new = series[-n_new:][np.isfinite(series[-n_new:])]
    if len(old) < _MIN_BLOCKS or len(new) == 0:
        return 1.0
    n_blocks = max(1, len(new) // size)
    error = old.std(ddof=1) * math.sqrt(1 / n_blocks + 1 / len(old))
    apart = abs(float(new.mean() - old.mean()))
    if error == 0:  # it never moved: any move is one
        return 0.0 if apart > 0 else 1.0
    return float(2 * stats.t.sf(apart / error, len(old) - 1))


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

"""A plant from its first day: what it may say while failures accumulate, and how the first model takes over.

Each month everything known so far trains a model, as `vigie train` would, and the newest rows are assessed as
live. Reported: the sequence of statuses; how often healthy machines pass deviation 1; how well the
deviation (before) and the model (after) rank machines on the same month; and what a person sees change on
the day of the hand-over and a month and two later, machine by machine. A single plant has some twenty
failures to judge by, so several are simulated (`plant` is the seed of each) and averaged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.model.transfer import SIMULATED, Fleet, simulated
from features.table import FeatureTable
from models.bundle import Bundle
from models.labels import Labels, label_rows
from models.metrics import brier, calibration_ratio, concordance
from models.score import Predictions, predict, score
from models.settings import ModelSettings
from models.train import train
from plant.times import DAY_MS, HOUR_MS
from serve.settings import SeveritySettings

_STEP_DAYS = 20
_MONTH_MS = 30 * DAY_MS
_MONTHS_WITH_MODEL = 3

Figures = dict[str, float | str]


@dataclass(frozen=True, slots=True, eq=False)
class Month:
    """The rows after one training, and what the models said of them."""

    bundle: Bundle
    table: FeatureTable
    labels: Labels


def run(seed: int, quick: bool) -> Iterator[tuple[str, Figures]]:
    """Yield one line per training of every plant, and the means over plants since the hand-over."""
    plants = range(seed, seed + (2 if quick else 6))
    lines: dict[str, list[Figures]] = {}
    for plant in plants:
        for case, figures in _plant(plant, 1 if quick else _MONTHS_WITH_MODEL):
            yield case, figures | {"plant": plant}
            if not case.startswith("day"):
                lines.setdefault(case, []).append(figures)
    for case, found in lines.items():
        numbers = [name for name, value in found[0].items() if not isinstance(value, str)]
        mean = {name: float(np.nanmean([float(f[name]) for f in found])) for name in numbers}
        gains = [float(f["c_index_model"]) - float(f["c_index_deviation"]) for f in found]
        yield f"mean-{case}", {**mean, "c_gain_worst": min(gains), "plants": len(found)}


def _plant(seed: int, months: int) -> Iterator[tuple[str, Figures]]:
    """Yield one line per training, and from the hand-over on one more for each of `months` models."""
    fleet = simulated("cold", 16, 240, seed, wear=5.0)
    began = min(e.first_ms for e in fleet.source.extents())
    settings = SIMULATED.model_copy(update={"horizon_h": None, "seed": seed})
    before: Month | None = None
    statuses: list[str] = []
    for cut in range(began + 10 * DAY_MS, fleet.stop_ms - 20 * DAY_MS, _STEP_DAYS * DAY_MS):
        month = _month(fleet, cut, settings)
        if month is None:
            continue
        said = score(month.bundle, _newest_day(month.table), settings, explain_above=None)
        status = _commonest([a.status for a in said])
        statuses.append(status)
        figures = _figures(month)
        failures = month.bundle.lineage["failures"]
        yield f"day-{(cut - began) // DAY_MS}", {"status": status, "failures": failures, **figures}
        since = statuses.count("ok")
        if before is not None and since:
            case = "hand-over" if since == 1 else f"{_STEP_DAYS * (since - 1)}-days-later"
            sequence = {"sequence": "→".join(_runs(statuses))} if since == 1 else {}
            yield case, {**sequence, "failures": failures, **figures, **_change(before, month)}
        if since == months:
            return
        before = month


def _month(fleet: Fleet, cut: int, settings: ModelSettings) -> Month | None:
    """Train on what was known at `cut` and return the 30 days after it; None without a log so far."""
    table = fleet.rows(fleet.regimes(cut))
    bundle = train(
        table.take(table.ts_ms < cut), fleet.events, fleet.plant, settings, now_ms=cut, as_of_ms=cut
    )
    later = (table.ts_ms >= cut) & (table.ts_ms < cut + _MONTH_MS)
    rows = table.take(later & (table.ts_ms // HOUR_MS % 2 == 0))
    if not len(rows):
        return None
    labels = label_rows(rows.assets, rows.ts_ms, fleet.events, settings, fleet.stop_ms)
    return Month(bundle, rows, labels)


def _newest_day(table: FeatureTable) -> FeatureTable:
    """Return the rows of the first day after the training: what the plant would show at once."""
    return table.take(table.ts_ms < int(table.ts_ms.min()) + DAY_MS)


def _figures(month: Month) -> dict[str, float]:
    """Return ranking and false alarms on the month after the training."""
    p = predict(month.bundle, month.table.X)
    use = month.labels.valid & p.known & np.isfinite(p.deviation)
    ttf, seen, life = (
        x[use] for x in (month.labels.ttf_h, month.labels.observed, month.labels.life)
    )
    out = {"c_index_deviation": concordance(-p.deviation[use], ttf, seen, life)}
    if p.curves is not None:
        curves = p.curves.take(use)
        out["c_index_model"] = concordance(curves.restricted_mean_h(), ttf, seen, life)
        alone = predict(replace(month.bundle, prior=None), month.table.X[use]).curves
        if alone is not None:
            out["c_index_trees_alone"] = concordance(alone.restricted_mean_h(), ttf, seen, life)
        prior = month.bundle.prior
        out["share_of_trees"] = 1.0 if prior is None else prior.share
        for h in (72.0, 168.0):
            risk = curves.p_fail(h)[:, 0]
            out[f"brier_{h:.0f}h"] = brier(risk, ttf, seen, h)
            out[f"observed_over_expected_{h:.0f}h"] = calibration_ratio(risk, ttf, seen, h)
    healthy = use & (month.labels.seen_h > 14 * 24)  # nothing befell them for a fortnight
    out["healthy_spells_per_machine_month"] = _spells(month, healthy, p.deviation)
    near = use & month.labels.observed & (month.labels.ttf_h <= 72)
    lives = np.unique(month.labels.life[near])
    caught = np.unique(month.labels.life[near & (p.deviation >= 1)])
    out["failures_judged"] = len(lives)
    out["failures_with_deviation_in_last_72h"] = len(caught) / len(lives) if len(lives) else np.nan
    return out


def _spells(month: Month, rows: NDArray[np.bool_], deviation: NDArray[np.float64]) -> float:
    """Return passings of 1 per machine-month; those less than a day apart are one."""
    spells, hours = 0, 0.0
    for asset in np.unique(month.table.assets[rows]):
        mine = np.flatnonzero(rows & (month.table.assets == asset))
        hours += 2.0 * len(mine)
        above = month.table.ts_ms[mine[deviation[mine] >= 1]]
        spells += int(len(above) > 0) + int(np.count_nonzero(np.diff(above) > DAY_MS))
    return spells / (hours / 720) if hours else float("nan")


def _change(before: Month, after: Month) -> Figures:
    """Compare what the model before and the new one say on its first day, machine by machine.

    rank_agreement: of all rows' order by what is shown, risk or, without a model, deviation; beside it that
    of the two deviations, which any training changes. shown: share of machines at least `advisory`, or above
    the deviation's limit. worst_quarter_stays: share of the worst quarter that is in the worst quarter after.
    """
    day = _newest_day(after.table)
    # Each model reads rows of its own regimes; those of the day before are the older model's.
    old = predict(before.bundle, before.table.take(_same_rows(before.table, day)).X)
    new = predict(after.bundle, day.take(_same_rows(day, before.table)).X)
    use = new.known & np.isfinite(old.deviation) & np.isfinite(new.deviation)
    (a, a_shown), (b, b_shown) = _told(old), _told(new)
    quarter = max(1, np.count_nonzero(use) // 4)
    worst = np.argsort(-a[use])[:quarter], np.argsort(-b[use])[:quarter]
    return {
        "rows": int(np.count_nonzero(use)),
        "rank_agreement": _agreement(a[use], b[use]),
        "rank_agreement_of_deviations": _agreement(old.deviation[use], new.deviation[use]),
        "worst_quarter_stays": len(np.intersect1d(*worst)) / quarter,
        "shown_before": float(np.mean(a_shown[use])),
        "shown_after": float(np.mean(b_shown[use])),
        "shown_changed": float(np.mean(a_shown[use] != b_shown[use])),
    }


def _told(p: Predictions) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return what machines are ordered by, and which of them a person is shown."""
    if p.curves is None:
        return p.deviation, p.deviation >= 1
    severity = SeveritySettings()
    risk = p.curves.p_fail(severity.horizon_h)[:, 0]
    return risk, risk >= severity.thresholds.advisory


def _agreement(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return Spearman's rank correlation."""
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _same_rows(table: FeatureTable, other: FeatureTable) -> NDArray[np.bool_]:
    """Tell which rows of `table` are of a machine and moment that `other` has too."""
    keys = pd.MultiIndex.from_arrays([other.assets, other.ts_ms])
    mine = pd.MultiIndex.from_arrays([table.assets, table.ts_ms])
    return np.asarray(mine.isin(keys), dtype=bool)


def _ranks(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.argsort(np.argsort(x)).astype(np.float64)


def _commonest(names: list[str]) -> str:
    return max(sorted(set(names)), key=names.count)


def _runs(names: list[str]) -> list[str]:
    """Return the names without repeats in a row."""
    return [n for i, n in enumerate(names) if i == 0 or n != names[i - 1]]

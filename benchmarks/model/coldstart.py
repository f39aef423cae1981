"""A plant from its first day: what it may say while failures accumulate, and how the first model takes over.

Each month everything known so far trains a model, as `vigie train` would, and the newest rows are assessed as
live. Reported: the sequence of statuses; how often healthy machines pass deviation 1; how well the
deviation (before) and the model (after) rank machines on the same month; and what a person sees change on
the day of the hand-over, machine by machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.model.transfer import SIMULATED, Fleet, simulated
from features.table import FeatureTable
from models.bundle import Bundle
from models.labels import Labels, label_rows
from models.metrics import concordance
from models.score import predict, score
from models.settings import ModelSettings
from models.train import train
from plant.times import DAY_MS, HOUR_MS
from serve.settings import SeveritySettings

_STEP_DAYS = 20
_MONTH_MS = 30 * DAY_MS


@dataclass(frozen=True, slots=True, eq=False)
class Month:
    """The rows after one training, and what the models said of them."""

    bundle: Bundle
    table: FeatureTable
    labels: Labels


def run(seed: int, quick: bool) -> Iterator[tuple[str, dict[str, float | str]]]:
    """Yield one line per training, and one of the hand-over."""
    fleet = simulated("cold", 16, 200 if quick else 300, seed, wear=5.0)
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
        day = (cut - began) // DAY_MS
        yield (
            f"day-{day}",
            {"status": status, "failures": month.bundle.lineage["failures"], **_figures(month)},
        )
        if before is not None and status == "ok" and "ok" not in statuses[:-1]:
            yield "hand-over", {"sequence": "→".join(_runs(statuses)), **_hand_over(before, month)}
            if quick:
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
        mean = p.curves.take(use).restricted_mean_h()
        out["c_index_model"] = concordance(mean, ttf, seen, life)
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


def _hand_over(before: Month, after: Month) -> dict[str, float]:
    """Compare what both say on the day the first model takes over, machine by machine.

    shown: share of machines above the deviation's limit before, and at least `advisory` after.
    worst_quarter_stays: share of the quarter that deviates most which is in the riskiest quarter after.
    """
    severity = SeveritySettings()
    day = _newest_day(after.table)
    # Each model reads rows of its own regimes; those of the day before are the older model's.
    old = predict(before.bundle, before.table.take(_same_rows(before.table, day)).X)
    new = predict(after.bundle, day.take(_same_rows(day, before.table)).X)
    if new.curves is None:
        return {}
    risk = new.curves.p_fail(severity.horizon_h)[:, 0]
    use = new.known & np.isfinite(old.deviation) & np.isfinite(new.deviation)
    a, b, r = old.deviation[use], new.deviation[use], risk[use]
    shown = r >= severity.thresholds.advisory
    quarter = max(1, len(a) // 4)
    worst = np.argsort(-a)[:quarter], np.argsort(-r)[:quarter]
    return {
        "rows": len(a),
        "rank_agreement": float(np.corrcoef(_ranks(a), _ranks(r))[0, 1]),
        "worst_quarter_stays": len(np.intersect1d(*worst)) / quarter,
        "deviation_changes_by_median": float(np.median(np.abs(b - a) / np.maximum(a, 0.1))),
        "shown_before": float(np.mean(a >= 1)),
        "shown_after": float(np.mean(shown)),
        "shown_changed": float(np.mean((a >= 1) != shown)),
    }


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

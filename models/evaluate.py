"""Backtest: what would have been said in the past by a model of that time, against what happened.

The past is cut into periods. For each, a model is trained on what was known at its start (`as_of`) and
scores every machine once a day through it; between training and judging lies an embargo. A failure was
*foreseen* when the machine was above the alarm threshold at some time in the `horizon` before it, early
enough to act (`lead`); an alarm that no failure follows within the horizon was false.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.table import FeatureTable
from models.crossfit import Progress
from models.labels import Labels, label_rows
from models.metrics import average_precision, brier, calibration_ratio, concordance, window_coverage
from models.score import predict
from models.settings import ModelSettings
from models.train import train
from models.window import horizon_h as reach_of
from plant.config import Plant
from plant.errors import DataError
from plant.event import Event
from plant.times import DAY_MS, HOUR_MS


@dataclass(frozen=True, slots=True)
class Said:
    """One machine's daily assessment, with what happened afterwards."""

    asset: str
    ts_ms: int
    p_fail: float
    p10_h: float
    p50_h: float
    p90_h: float
    ttf_h: float
    observed: bool


@dataclass(frozen=True, slots=True)
class Backtest:
    """All that would have been said, and the figures."""

    said: tuple[Said, ...]
    figures: dict[str, float | int | None]
    periods: tuple[dict[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able figures; `said` as rows."""
        return {
            "figures": self.figures,
            "periods": list(self.periods),
            "said": [_jsonable(asdict(s)) for s in self.said],
        }


def backtest(
    table: FeatureTable,
    events: Sequence[Event],
    plant: Plant,
    settings: ModelSettings,
    *,
    horizon_h: float = 168.0,
    periods: int = 4,
    first_share: float = 0.5,
    embargo_h: float = 24.0,
    threshold: float = 0.5,
    lead_h: float = 8.0,
    late: Callable[[int], FeatureTable | None] | None = None,
    progress: Progress | None = None,
) -> Backtest:
    """Replay the later part of the history in `periods`, each with a model of its time.

    table: one kind's rows; the first `first_share` of the time is only learned from. late: gives the rows
    of machines as if connected in mid-life that were known before an epoch ms; without it models learn
    from none. Raises DataError when no period has enough failures before it, or `horizon_h` is past what
    the models of that time would have said.
    """
    if not (math.isfinite(horizon_h) and horizon_h > 0):
        raise DataError(f"--horizon {horizon_h:g} is no time ahead.", fix="Give hours above 0.")
    if not (math.isfinite(lead_h) and lead_h >= 0):
        raise DataError(f"--lead {lead_h:g} is no time ahead.", fix="Give hours, 0 or more.")
    first, last = int(table.ts_ms.min()), int(table.ts_ms.max()) + 1
    cuts = np.linspace(first + first_share * (last - first), last, periods + 1).astype(np.int64)
    _check_horizon(horizon_h, table, events, settings, cuts[:-1].tolist())
    truth = label_rows(table.assets, table.ts_ms, events, settings)
    said: list[Said] = []
    told: list[dict[str, Any]] = []
    for k in range(periods):
        if progress is not None:
            progress(f"period {k + 1} of {periods}", k / periods)
        cut, stop = int(cuts[k]), int(cuts[k + 1])
        midlife = None if late is None else late(cut)
        bundle = train(table, events, plant, settings, now_ms=cut, as_of_ms=cut, midlife=midlife)
        rows = _daily(table, truth, cut + round(embargo_h * HOUR_MS), stop)
        told.append(
            {
                "from_ms": cut,
                "to_ms": stop,
                "model_id": bundle.model_id,
                "failures_known": bundle.lineage["failures"],
                "window": bundle.hazard is not None,
                "days": len(rows),
            }
        )
        if bundle.hazard is None or not len(rows):
            continue
        p = predict(bundle, table.X[rows])
        if p.curves is None or p.windows_h is None:
            continue
        risk = p.curves.p_fail(horizon_h)[:, 0]
        for i, row in enumerate(rows.tolist()):
            said.append(
                Said(
                    str(table.assets[row]),
                    int(table.ts_ms[row]),
                    float(risk[i]),
                    float(p.windows_h[i, 0]),
                    float(p.windows_h[i, 1]),
                    float(p.windows_h[i, 2]),
                    float(truth.ttf_h[row]),
                    bool(truth.observed[row]),
                )
            )
    if not said:
        raise DataError(
            "no period of the past has enough failures before it to train on.",
            fix=f"Wait for {settings.min_failures} failures, or lower [model] min_failures.",
        )
    return Backtest(tuple(said), figures(said, horizon_h, threshold, lead_h), tuple(told))


def figures(
    said: Sequence[Said], horizon_h: float, threshold: float, lead_h: float
) -> dict[str, float | int | None]:
    """Return the figures of daily assessments: accuracy, calibration, alarms, lead time."""
    p = np.array([s.p_fail for s in said])
    ttf = np.array([s.ttf_h for s in said])
    observed = np.array([s.observed for s in said])
    windows = np.array([[s.p10_h, s.p50_h, s.p90_h] for s in said])
    names = sorted({s.asset for s in said})
    group = np.array([names.index(s.asset) for s in said], dtype=np.int64)
    known = (observed & (ttf <= horizon_h)) | (ttf > horizon_h)
    coverage, width, _ = window_coverage(windows, ttf, observed)
    out: dict[str, float | int | None] = {
        "days": len(said),
        "machines": len(names),
        "average_precision": average_precision(p[known], (observed & (ttf <= horizon_h))[known]),
        "c_index": concordance(-p, ttf, observed, group),
        "brier": brier(p, ttf, observed, horizon_h),
        "observed_over_expected": calibration_ratio(p, ttf, observed, horizon_h),
        "window_coverage": coverage,
        "window_width_h": width,
    }
    out |= alarms(said, horizon_h, threshold, lead_h)
    return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in out.items()}


def alarms(
    said: Sequence[Said], horizon_h: float, threshold: float, lead_h: float
) -> dict[str, float | int | None]:
    """Count failures foreseen in time, false alarms, and the median lead.

    An alarm is a spell of days above the threshold in one life of a machine; one that goes on is another
    alarm after every horizon, or alarming always would be almost free. It is false when the machine was
    seen to survive the horizon after its first day.
    """
    failures: dict[tuple[str, int], float] = {}
    raised = false = 0
    by_asset: dict[str, list[Said]] = {}
    for s in sorted(said, key=lambda s: (s.asset, s.ts_ms)):
        by_asset.setdefault(s.asset, []).append(s)
    for asset, days in by_asset.items():
        life_ends_ms, until_ms = -1, -1  # of the alarm that is on
        for s in days:
            ends_ms = s.ts_ms + round(s.ttf_h * HOUR_MS)
            if s.observed:
                failures.setdefault((asset, ends_ms), 0.0)
            above = s.p_fail >= threshold
            if above and s.observed and s.ttf_h <= horizon_h:
                key = (asset, ends_ms)
                failures[key] = max(failures[key], s.ttf_h)
            if not above:
                until_ms = -1
            elif s.ts_ms >= until_ms or ends_ms != life_ends_ms:
                raised += 1
                false += s.ttf_h > horizon_h
                life_ends_ms, until_ms = ends_ms, s.ts_ms + round(horizon_h * HOUR_MS)
    leads = [lead for lead in failures.values() if lead >= lead_h]
    months = len(said) / 30.0
    return {
        "failures": len(failures),
        "foreseen": len(leads),
        "recall": len(leads) / len(failures) if failures else None,
        "median_lead_h": float(np.median(leads)) if leads else None,
        "alarms": raised,
        "false_alarms": false,
        "false_alarms_per_machine_month": false / months if months else None,
    }


def _check_horizon(
    horizon_h: float,
    table: FeatureTable,
    events: Sequence[Event],
    settings: ModelSettings,
    cuts: Sequence[int],
) -> None:
    """Refuse a horizon past the curve of a model trained at one of `cuts` (epoch ms), before training any.

    Its risk would be read at the curve's end and judged by what happened later.
    """
    known = [label_rows(table.assets, table.ts_ms, events, settings, cut) for cut in cuts]
    # Below min_failures a period has no curve.
    reach = [reach_of(then, settings) for then in known if then.failures() >= settings.min_failures]
    if reach and horizon_h > min(reach):
        raise DataError(
            f"--horizon {horizon_h:g} is past the {min(reach):.0f} h that models of that time look ahead.",
            fix=f"Use --horizon {int(min(reach))} at most, or set [model] horizon_h.",
        )


def _daily(table: FeatureTable, labels: Labels, start_ms: int, stop_ms: int) -> NDArray[np.int64]:
    """Return the last row of each machine's day in the period, int64[m]."""
    inside = np.flatnonzero((table.ts_ms >= start_ms) & (table.ts_ms < stop_ms) & labels.valid)
    last: dict[tuple[str, int], int] = {}
    for row in inside[np.argsort(table.ts_ms[inside], kind="stable")].tolist():
        last[str(table.assets[row]), int(table.ts_ms[row] // DAY_MS)] = row
    return np.array(sorted(last.values()), dtype=np.int64)


def _jsonable(row: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in row.items()}

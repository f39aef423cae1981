"""Fitting everything a failure window needs: hazard ensemble, recalibration, heads, window levels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.table import FeatureTable
from models.bins import FloatArray, make_edges
from models.calibrate import WindowLevels, fit_window_levels
from models.challengers import challenger_scores
from models.columns import life_age
from models.crossfit import (
    CrossFit,
    Examples,
    Progress,
    at_once,
    calibrated,
    crossfit,
    group_codes,
    joined,
    landmark_rows,
    make_examples,
)
from models.curve import SurvivalCurves
from models.deviation import DeviationModel
from models.found import Findings
from models.hazard import Fit, HazardModel, Landmarks, as_input, fit_member
from models.headfit import fit_all_heads
from models.heads import Heads, head_cap_h
from models.horizons import HorizonBoosters, fit_horizons
from models.labels import Labels
from models.metrics import JUDGED_H, rmse, summary
from models.midlife import late_examples, late_windows
from models.prior import Prior, known_of, learn_prior
from models.repairs import judge_repairs
from models.settings import ModelSettings
from models.sharpness import Sharpness, sharpen
from plant.risk import HORIZONS_H
from plant.times import HOUR_MS

_SHORTEST_H, _LONGEST_H = 200.0, 1440.0


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """One kind's rows with their labels, and how its healthy machines behave."""

    table: FeatureTable
    labels: Labels
    deviation: DeviationModel
    midlife: FeatureTable | None = None


@dataclass(frozen=True, slots=True, eq=False)
class WindowModel:
    """The fitted parts and what the manifest says of them.

    prior: what deviation and age add; None when the trees are best alone. horizons: boosters of single
    horizons; None where they bring nothing. sharpness: how wide curves are; None to leave them.
    late_sharpness, late_windows, late_heads: those of machines with an unknown past; None when there was
    nothing to find them on.
    """

    hazard: HazardModel
    prior: Prior | None
    horizons: HorizonBoosters | None
    sharpness: Sharpness | None
    late_sharpness: Sharpness | None
    windows: WindowLevels
    late_windows: WindowLevels | None
    heads: Heads | None
    late_heads: Heads | None
    lineage: dict[str, Any]


def fit_window_model(data: TrainingData, settings: ModelSettings, tell: Progress) -> WindowModel:
    """Fit the hazard on folds for honesty, then on everything for use."""
    labels = data.labels
    groups, group_events = group_codes(labels, settings)
    edges = make_edges(horizon_h(labels, settings), settings.bins, HORIZONS_H)
    findings, leaning = judge_repairs(data.table, labels, data.deviation, edges, groups, settings)
    rows = landmark_rows(data.table, labels, settings, settings.seed)
    X = as_input(data.table.X[rows])
    examples = make_examples(X, rows, labels, findings, groups, settings)
    late: tuple[Examples, ...] = ()
    if data.midlife is not None:
        late = late_examples(
            data.table, data.midlife, labels, findings, groups, settings, len(rows)
        )
    extra = late[0] if late else None
    judged_X = np.concatenate([X, *(part.landmarks.X for part in late)])
    judged_groups = np.concatenate([groups[rows], *(part.group for part in late)])
    oof = crossfit(examples, extra, judged_X, judged_groups, group_events, edges, settings, tell)
    ttf, observed = labels.ttf_h[rows], labels.observed[rows]
    marks, place = examples.landmarks, np.searchsorted(rows, examples.row)
    every, of = marks, place
    if extra is not None:
        every = joined(marks, extra.landmarks)
        of = np.concatenate([place, len(rows) + np.arange(len(extra.row))])
    life = labels.life[examples.row]
    prior, logits = _with_prior(data, judged_X, oof, every, of, life, edges)
    calibration, curves = calibrated(logits, marks, place, life, edges)
    rounds = oof.rounds_of_all()
    members = _fit_members(data, examples, extra, findings, groups, edges, rounds, settings, tell)
    hazard = HazardModel(
        edges,
        tuple(m.text for m in members),
        np.array([m.offsets for m in members]),
        calibration.intercept,
        calibration.slope,
        calibration.tilt,
    )
    horizons, curves = fit_horizons(
        judged_X,
        oof,
        every,
        of,
        life if extra is None else np.concatenate([life, labels.life[extra.row]]),
        curves,
        settings,
        tell,
    )
    heads, late_heads, curves = fit_all_heads(
        judged_X, ttf, observed, oof, curves, late, settings, tell
    )
    shared = len(rows) + np.arange(len(extra.row) if extra else 0)
    curves, of_late = curves.take(np.arange(len(rows))), curves.take(shared)
    sharpness, curves = sharpen(curves, place, marks, life, head_cap_h(edges, settings))
    windows = fit_window_levels(
        curves.take(place),
        marks.ttf_h,
        marks.event,
        settings.window_coverage,
        marks.weight,
        life,
    )
    late_sharpness, late_levels, late_metrics = late_windows(of_late, extra, settings)
    told = np.flatnonzero(~np.isin(labels.life[rows], list(findings.left_out)))
    rows, curves = rows[told], curves.take(told)
    metrics = _metrics(curves, windows, rows, labels, groups, settings)
    metrics["skill"] = round(1 - oof.loss / oof.crowd_loss, 6) if oof.crowd_loss > 0 else None
    if settings.challengers:
        tell("challengers", 0.97)
        ahead = tuple(h for h in (24.0, 72.0, 168.0) if h <= edges[-1])
        times = data.table.ts_ms
        against = challenger_scores(
            X[told], rows, times, labels, oof.fold[told], curves, ahead, settings
        )
    lineage = {
        "metrics": metrics,
        "challengers_brier": against if settings.challengers else {},
        "horizon_h": float(edges[-1]),
        "rounds": rounds,
        "folds": oof.folds,
        "landmarks": len(rows),
        "midlife_landmarks": 0 if extra is None else len(extra.row),
        "midlife_metrics": late_metrics,
        "midlife_heads": 0 if late_heads is None else len(late_heads.texts),
        "calibration": asdict(calibration),
        "prior": {"share_of_trees": 1.0 if prior is None else round(prior.share, 2)},
        "horizons": {}
        if horizons is None
        else dict(zip(map(str, horizons.hours), horizons.shares, strict=True)),
        "sharpness": None if sharpness is None else list(sharpness.log_slopes),
        "findings": leaning,
    }
    tell("done", 1.0)
    return WindowModel(
        hazard,
        prior,
        horizons,
        sharpness,
        late_sharpness,
        windows,
        late_levels,
        heads,
        late_heads,
        lineage,
    )


def _fit_members(
    data: TrainingData,
    examples: Examples,
    extra: Examples | None,
    findings: Findings,
    groups: NDArray[np.int64],
    edges: FloatArray,
    rounds: int,
    settings: ModelSettings,
    tell: Progress,
) -> list[Fit]:
    """Train the ensemble on everything: the first member on `examples`, others on rows of their own."""

    def fit(m: int) -> Fit:
        own = examples
        if m:
            rows = landmark_rows(data.table, data.labels, settings, settings.seed + m)
            X = as_input(data.table.X[rows])
            own = make_examples(X, rows, data.labels, findings, groups, settings)
        part = own.landmarks if extra is None else joined(own.landmarks, extra.landmarks)
        return fit_member(part, edges, settings, settings.seed + m, rounds)

    count = settings.members
    return at_once(
        fit,
        count,
        settings.threads,
        lambda m: tell(f"member {m} of {count}", 0.7 + 0.25 * m / count),
    )


def _metrics(
    curves: SurvivalCurves,
    windows: WindowLevels,
    rows: NDArray[np.int64],
    labels: Labels,
    groups: NDArray[np.int64],
    settings: ModelSettings,
) -> dict[str, Any]:
    """Return the figures of held-out curves of some rows int64[m]."""
    ttf, observed = labels.ttf_h[rows], labels.observed[rows]
    judged = tuple(h for h in JUDGED_H if h <= curves.edges_h[-1])
    metrics = summary(curves, windows.windows(curves), ttf, observed, groups[rows], judged)
    cap = head_cap_h(curves.edges_h, settings)
    watched = observed | (ttf >= cap)
    metrics["rmse_capped_h"] = (
        round(rmse(curves.restricted_mean_h(cap)[watched], np.minimum(ttf[watched], cap)), 4)
        if watched.any()
        else None
    )
    return metrics


def _with_prior(
    data: TrainingData,
    X: FloatArray,
    oof: CrossFit,
    marks: Landmarks,
    row: NDArray[np.int64],
    life: NDArray[np.int64],
    edges: FloatArray,
) -> tuple[Prior | None, FloatArray]:
    """Fit what is known besides the trees; also return the held-out log-odds of both together.

    marks: the examples, each of a `row` of X; life: that of the first ones, of machines with a known past.
    """
    age = life_age(data.table.catalogue)
    known = known_of(
        data.deviation.score(X), X[:, age] if age is not None else np.full(len(X), np.nan)
    )
    return learn_prior(known, oof.logits, oof.fold, marks, row, life, edges)


def horizon_h(labels: Labels, settings: ModelSettings) -> float:
    """Return how far curves reach: as set, else the median observed life within 200 h to 60 days."""
    if settings.horizon_h is not None:
        return settings.horizon_h
    spans = [
        (life.event_ms - life.start_ms) / HOUR_MS
        for life in labels.lives
        if life.observed and life.rows
    ]
    return float(np.clip(np.median(spans), _SHORTEST_H, _LONGEST_H)) if spans else _SHORTEST_H

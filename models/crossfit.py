"""Predictions for every machine by models that never saw it: the ground of every honest figure."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from features.table import FeatureTable
from models.bins import FloatArray, expand
from models.calibrate import HazardCalibration, fit_hazard_calibration
from models.curve import SurvivalCurves, from_hazards
from models.forest import parse_forest
from models.found import Findings
from models.hazard import Landmarks, Trainee, bin_position
from models.labels import Labels, after_h
from models.settings import ModelSettings
from models.splits import folds_by_group, thin
from plant.times import HOUR_MS

Progress = Callable[[str, float], None]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Landmarks with the row each came from, int64[m], and its machine, int64[m]."""

    landmarks: Landmarks
    row: NDArray[np.int64]
    group: NDArray[np.int64]


def landmark_rows(
    table: FeatureTable, labels: Labels, settings: ModelSettings, seed: int
) -> NDArray[np.int64]:
    """Choose training rows evenly in every life, not too young, int64[m]."""
    start = np.array([life.start_ms for life in labels.lives], dtype=np.int64)
    old = table.ts_ms - start[labels.life] >= settings.min_history_h * HOUR_MS
    life = np.where(labels.valid & old, labels.life, -1)
    lives = len(np.unique(life[life >= 0]))
    limit = min(settings.max_landmarks, max(500, settings.landmarks_per_life * lives))
    return np.flatnonzero(thin(life, table.ts_ms, settings.landmark_every, limit, seed))


def make_examples(
    X: FloatArray,
    rows: NDArray[np.int64],
    labels: Labels,
    findings: Findings,
    groups: NDArray[np.int64],
    settings: ModelSettings,
) -> Examples:
    """Turn chosen rows int64[m] with features X float64[m, F] into examples.

    A row whose repair is unsure gives both outcomes, weighted; one of a life left out gives none.
    """
    p = findings.p[labels.life[rows]]
    reason = np.array([life.reason for life in labels.lives], dtype=object)[labels.life[rows]]
    repaired = np.isin(reason, ("degraded", "sound", "unknown"))
    residual = np.where(repaired, after_h("degraded", settings), 0.0)
    # An unknown finding that nothing could be inferred for says nothing past the repair.
    inferred = repaired & ((reason != "unknown") | (p > 0))
    lasted = np.where(inferred, after_h("sound", settings), 0.0)
    failed, cut = np.flatnonzero(p > 1e-6), np.flatnonzero(p < 1 - 1e-6)
    place = np.concatenate([failed, cut])
    ttf = np.concatenate(
        [(labels.seen_h[rows] + residual)[failed], (labels.seen_h[rows] + lasted)[cut]]
    )
    event = np.concatenate([np.ones(len(failed), bool), np.zeros(len(cut), bool)])
    weight = np.concatenate([p[failed], 1 - p[cut]])
    keep = (ttf > 0) & ~np.isin(labels.life[rows[place]], list(findings.left_out))
    place, ttf, event, weight = place[keep], ttf[keep], event[keep], weight[keep]
    order = np.argsort(place, kind="stable")
    place = place[order]
    row = rows[place]
    return Examples(Landmarks(X[place], ttf[order], event[order], weight[order]), row, groups[row])


def group_codes(labels: Labels, settings: ModelSettings) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the group of every row (-1: none) and the failures of every group.

    A group is a machine; with fewer than two machines per fold, a life.
    """
    lives = labels.lives
    assets = sorted({life.asset for life in lives})
    by_life = len(assets) < 2 * settings.folds
    index = {asset: i for i, asset in enumerate(assets)}
    of_life = np.array(
        [i if by_life else index[life.asset] for i, life in enumerate(lives)], dtype=np.int64
    )
    group = np.where(labels.life >= 0, of_life[labels.life] if len(lives) else -1, -1)
    events = np.zeros(len(lives) if by_life else len(assets))
    for i, life in enumerate(lives):
        events[of_life[i]] += life.observed
    return group, events


@dataclass(frozen=True, slots=True, eq=False)
class CrossFit:
    """Out-of-fold results: logits float64[n, K] for the scored rows, the rounds chosen, losses."""

    logits: FloatArray
    fold: NDArray[np.int64]
    rounds: int
    loss: float
    crowd_loss: float

    @property
    def folds(self) -> int:
        """How many folds there were."""
        return int(self.fold.max()) + 1

    def rounds_of_all(self) -> int:
        """Return the rounds of a model that learns from the machines of all folds.

        It learns from k / (k - 1) times as many as a fold's model did, and can carry so many trees more.
        """
        return round(self.rounds * self.folds / (self.folds - 1))


def crossfit(
    examples: Examples,
    extra: Examples | None,
    X: FloatArray,
    groups: NDArray[np.int64],
    events: FloatArray,
    edges_h: FloatArray,
    settings: ModelSettings,
    progress: Progress,
) -> CrossFit:
    """Train one model per fold and predict its held-out rows X float64[n, F] of `groups` int64[n].

    The folds grow together until their mean held-out loss has not fallen for `patience` rounds, and
    all stop where it was lowest: a fold cannot pick what flatters it, and the curves that windows are
    calibrated on are of one sharpness. `extra` examples train but are not judged.
    """
    fold = folds_by_group(groups, events, settings.folds, settings.seed)
    example_fold = folds_by_group(examples.group, events, settings.folds, settings.seed)
    count = int(fold.max()) + 1
    extra_fold = (
        None
        if extra is None
        else folds_by_group(extra.group, events, settings.folds, settings.seed)
    )

    def begin(k: int) -> Trainee:
        part = examples.landmarks.take(example_fold != k)
        if extra is not None:
            part = joined(part, extra.landmarks.take(np.flatnonzero(extra_fold != k)))
        held_out = examples.landmarks.take(example_fold == k)
        return Trainee(part, edges_h, settings, settings.seed + 1000 + k, held_out)

    # One pool for both: how much LightGBM says is settled for each thread by what it began.
    with ThreadPoolExecutor(min(settings.threads, count)) as pool:
        trainees = list(pool.map(begin, range(count)))
        losses, rounds = _grow_together(trainees, pool, settings, progress)
    logits = np.zeros((len(X), len(edges_h) - 1))
    for k, trainee in enumerate(trainees):
        inside, fitted = fold == k, trainee.fit(rounds)
        forest = parse_forest(fitted.text)
        logits[inside] = forest.predict_bins(X[inside], len(edges_h) - 1)[:, :, 0] + fitted.offsets
    return CrossFit(logits, fold, rounds, float(losses[rounds]), float(losses[0]))


def _grow_together(
    trainees: list[Trainee], pool: Executor, settings: ModelSettings, progress: Progress
) -> tuple[FloatArray, int]:
    """Grow the folds; return their mean loss before and after each round, and the best round."""
    losses, rounds = np.zeros(1), 0
    while len(losses) <= settings.max_rounds and len(losses) - 1 - rounds < settings.patience:
        step = min(settings.patience, settings.max_rounds + 1 - len(losses))
        list(pool.map(Trainee.grow, trainees, repeat(step)))
        losses = np.mean([trainee.losses for trainee in trainees], axis=0)
        rounds = max(1, int(np.argmin(losses)))
        progress(f"folds, {len(losses) - 1} rounds", 0.7 * len(losses) / (settings.max_rounds + 1))
    return losses, rounds


def at_once(
    work: Callable[[int], Result], count: int, threads: int, done: Callable[[int], None]
) -> list[Result]:
    """Fit `count` models, `threads` at a time; results in order. LightGBM works outside Python's lock.

    Each fit uses one core: many small fits side by side beat one fit on many cores, and the number of
    threads then cannot change a result.
    """
    with ThreadPoolExecutor(min(threads, count)) as pool:
        results = []
        for k, result in enumerate(pool.map(work, range(count)), start=1):
            results.append(result)
            done(k)
    return results


def joined(a: Landmarks, b: Landmarks) -> Landmarks:
    """Return the examples of both."""
    return Landmarks(
        np.concatenate([a.X, b.X]),
        np.concatenate([a.ttf_h, b.ttf_h]),
        np.concatenate([a.event, b.event]),
        np.concatenate([a.weight, b.weight]),
    )


def calibrated(
    logits: FloatArray,
    marks: Landmarks,
    place: NDArray[np.int64],
    life: NDArray[np.int64],
    edges_h: FloatArray,
) -> tuple[HazardCalibration, SurvivalCurves]:
    """Fit the recalibration on out-of-fold logits float64[n, K] and return it with their curves.

    marks: the examples, weighted as in training, each of the row `place` of `logits` and of the life
    `life`, both int64[m].
    """
    periods = expand(marks.ttf_h, marks.event, edges_h, marks.weight)
    rows_per_life = float(marks.weight.sum()) / max(len(np.unique(life)), 1)
    calibration = fit_hazard_calibration(logits[place], periods, rows_per_life)
    z = calibration.intercept + calibration.slope * logits
    z += calibration.tilt * bin_position(logits.shape[1])
    return calibration, from_hazards(edges_h, 1.0 / (1.0 + np.exp(-z)))

"""Machines connected in mid-life: how their rows would look, made from machines known from birth.

Most machines join with an unknown past: no age, and a "healthy" baseline taken from a worn machine.
Copies of real lives that begin at random moments, with everything before forgotten, teach the model
to cope. The rows are made by the features package itself, from the same rollups cut at that moment.

What such a machine lets one know grows with the logarithm of its history, so copies of all lengths train,
evenly on a logarithmic scale: otherwise nearly all would be of machines connected long ago.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.assemble import join_rows, renewals_of
from features.backfill import reader, rows_of_asset
from features.plan import KindPlan
from features.rollup import Rolled
from features.sources import Source
from features.table import FeatureTable
from models.calibrate import WindowLevels, fit_window_levels
from models.crossfit import Examples, make_examples
from models.curve import SurvivalCurves
from models.found import Findings
from models.hazard import as_input
from models.heads import head_cap_h
from models.labels import Labels
from models.metrics import JUDGED_H, summary
from models.settings import ModelSettings
from models.sharpness import Sharpness, sharpen
from plant.asset import AssetPath
from plant.config import Plant
from plant.event import Event
from plant.times import HOUR_MS

#: Failures ahead of machines with an unknown past, below which they get no levels of their own.
MIN_LATE = 60
#: The regression of an unknown past learns from so many times the rows that the hazard does: it is cheap.
_MORE = 4


def late_copies(
    plan: KindPlan,
    plant: Plant,
    source: Source,
    assets: Iterable[tuple[AssetPath, Rolled]],
    events: Sequence[Event],
    stop_ms: int,
    *,
    copies: int,
    seed: int,
    keep_h: float | None = None,
    least_h: float = 10.0,
) -> FeatureTable | None:
    """Return rows of `copies` late connections of each asset, each for its first `keep_h` hours.

    assets: path and all rollups. The moment is drawn evenly from the asset's history (`seed`); events
    before it are unknown to the copy. Without `keep_h` the hours are drawn for each copy, evenly on a
    logarithmic scale from `least_h` to all there are. None when nothing can be cut.
    """
    rng = np.random.default_rng(seed)
    bucket_ms = plan.settings.bucket_ms
    least = max(8.0, least_h * HOUR_MS / bucket_ms)
    parts = []
    for asset, (buckets, values) in assets:
        mine = [e for e in events if e.asset == asset]
        for _ in range(copies):
            if len(buckets) < 8:
                continue
            cut = int(rng.integers(1, len(buckets) - 4))
            first = int(buckets[cut])
            rest = max(least, float(buckets[-1] + 1 - first))
            drawn = np.exp(rng.uniform(np.log(least), np.log(rest)))
            window = round(drawn if keep_h is None else keep_h * HOUR_MS / bucket_ms)
            inside = (np.arange(len(buckets)) >= cut) & (buckets < first + window)
            later = [e for e in mine if e.ts_ms >= first * bucket_ms]
            renewals = renewals_of(without_birth(plant), asset, later, plan)
            rows = rows_of_asset(
                plan,
                (buckets[inside], values[inside]),
                renewals,
                reader(source, asset),
                first * bucket_ms,
                min(stop_ms, (first + window) * bucket_ms),
            )
            if len(rows.ts_ms):
                parts.append((asset, plan, rows))
    return join_rows(parts) if parts else None


def choose_late(
    own: FeatureTable,
    late: FeatureTable,
    valid: NDArray[np.bool_],
    limit: int,
    min_history_h: float,
    seed: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return which rows of `late` train, the row of `own` of their moments, and their places in the draw.

    int64[m] each; the rows of the first places are those that a smaller limit would have drawn. valid:
    bool[n], rows of `own` that have a label. At most `limit`, evenly over the logarithm of the history
    (drawn without replacement, Efraimidis & Spirakis 2006, DOI 10.1016/j.ipl.2005.11.003). Once a copy is
    renewed its age is known again, and it has nothing more to teach.
    """
    of_own = pd.MultiIndex.from_arrays([own.assets, own.ts_ms])
    match = of_own.get_indexer(pd.MultiIndex.from_arrays([late.assets, late.ts_ms]))
    history = late.column("asset.connected.age")
    unknown = np.isnan(late.column("asset.life.age"))
    usable = np.flatnonzero((match >= 0) & valid[match] & unknown & (history >= min_history_h))
    arrival = np.random.default_rng(seed).exponential(size=len(usable)) * history[usable]
    drawn = usable[np.argsort(arrival, kind="stable")[:limit]]
    place = np.argsort(drawn)
    chosen = drawn[place]
    return chosen, match[chosen].astype(np.int64), place


def late_examples(
    own: FeatureTable,
    late: FeatureTable,
    labels: Labels,
    findings: Findings,
    groups: NDArray[np.int64],
    settings: ModelSettings,
    landmarks: int,
) -> tuple[Examples, ...]:
    """Turn rows of `late` into examples with the labels of the same moments of `own`.

    Returns what everything learns from, at most `midlife_share` as many as there are `landmarks`, and
    what besides only the regression of an unknown past does; nothing when the share is nothing.
    """
    if settings.midlife_share <= 0:
        return ()
    limit = int(settings.midlife_share * landmarks)
    chosen, rows, place = choose_late(
        own, late, labels.valid, _MORE * limit, settings.min_history_h, settings.seed
    )
    shared = place < limit
    X = as_input(late.take(chosen).select(own.catalogue).X)
    return tuple(
        make_examples(X[part], rows[part], labels, findings, groups, settings)
        for part in (shared, ~shared)
    )


def late_windows(
    curves: SurvivalCurves, extra: Examples | None, settings: ModelSettings
) -> tuple[Sharpness | None, WindowLevels | None, dict[str, Any]]:
    """Find sharpness and levels on held-out machines with an unknown past; also return their figures."""
    if extra is None or np.count_nonzero(extra.landmarks.event) < MIN_LATE:
        return None, None, {}
    late, each = extra.landmarks, np.arange(len(extra.row))
    cap_h = head_cap_h(curves.edges_h, settings)
    sharpness, curves = sharpen(curves, each, late, extra.group, cap_h)
    levels = fit_window_levels(
        curves, late.ttf_h, late.event, settings.window_coverage, late.weight, extra.group
    )
    judged = tuple(h for h in JUDGED_H if h <= curves.horizon_h)
    figures = summary(curves, levels.windows(curves), late.ttf_h, late.event, extra.group, judged)
    return sharpness, levels, figures


def without_birth(plant: Plant) -> Plant:
    """Return the plant with every commissioning date forgotten."""
    assets = tuple(a.model_copy(update={"commissioned": None}) for a in plant.assets)
    return plant.model_copy(update={"assets": assets})

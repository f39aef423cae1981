"""Machines connected in mid-life: how their rows would look, made from machines known from birth.

Most machines join with an unknown past: no age, and a "healthy" baseline taken from a worn machine.
Copies of real lives that begin at random moments, with everything before forgotten, teach the model
to cope. The rows are made by the features package itself, from the same rollups cut at that moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from features.assemble import join_rows, renewals_of
from features.backfill import reader, rows_of_asset
from features.plan import KindPlan
from features.rollup import Rolled
from features.sources import Source
from features.table import FeatureTable
from plant.asset import AssetPath
from plant.config import Plant
from plant.event import Event


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
    keep_h: float = 240.0,
) -> FeatureTable | None:
    """Return rows of `copies` late connections of each asset, each for its first `keep_h` hours.

    assets: path and all rollups. The moment is drawn evenly from the asset's history (`seed`); events
    before it are unknown to the copy. None when nothing can be cut.
    """
    rng = np.random.default_rng(seed)
    bucket_ms = plan.settings.bucket_ms
    window = round(keep_h * 3_600_000 / bucket_ms)
    parts = []
    for asset, (buckets, values) in assets:
        mine = [e for e in events if e.asset == asset]
        for _ in range(copies):
            if len(buckets) < 8:
                continue
            cut = int(rng.integers(1, len(buckets) - 4))
            first = int(buckets[cut])
            inside = (np.arange(len(buckets)) >= cut) & (buckets < first + window)
            later = [e for e in mine if e.ts_ms >= first * bucket_ms]
            renewals = renewals_of(_without_birth(plant), asset, later, plan)
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


def _without_birth(plant: Plant) -> Plant:
    """Return the plant with every commissioning date forgotten."""
    assets = tuple(a.model_copy(update={"commissioned": None}) for a in plant.assets)
    return plant.model_copy(update={"assets": assets})

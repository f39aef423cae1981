"""Rows of many assets, and rows without a store: the parts the job and experiments share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from features.backfill import reader, rows_of_asset
from features.catalogue import Catalogue
from features.engine import Rows
from features.plan import KindPlan, make_plan
from features.regime import RegimeModel
from features.renewal import Renewals, find_renewals
from features.rollup import Rolled, roll
from features.settings import FeatureSettings
from features.sources import Extent, Source
from features.table import FeatureTable
from plant.asset import AssetPath
from plant.config import KindSpec, Plant
from plant.event import Event
from plant.times import DAY_MS

#: Later than any time.
FAR_MS = 1 << 60


def no_rows(plan: KindPlan) -> Rows:
    """Return no rows."""
    return Rows(
        np.empty(0, np.int64),
        np.empty((0, len(plan.catalogue))),
        np.empty((0, len(plan.catalogue.measured)), np.uint8),
    )


def renewals_of(
    plant: Plant, asset: AssetPath, events: Sequence[Event], plan: KindPlan
) -> Renewals:
    """Return the renewals of one asset, its commissioning included."""
    spec = plant.asset(asset)
    since = spec.commissioned if spec is not None else None
    commissioned = None if since is None else round(since.timestamp() * 1000)
    return find_renewals(plan.kind, plan.conditions, events, commissioned)


def join_rows(parts: Sequence[tuple[AssetPath, KindPlan, Rows]]) -> FeatureTable:
    """Return the rows of several assets as one table; kinds share columns of one name."""
    tables = []
    for kind in dict.fromkeys(plan.name for _, plan, _ in parts):
        mine = [(asset, plan, rows) for asset, plan, rows in parts if plan.name == kind]
        counts = [len(rows.ts_ms) for _, _, rows in mine]
        paths = np.array([str(asset) for asset, _, _ in mine], dtype=object)
        tables.append(
            FeatureTable(
                np.repeat(paths, counts),
                np.concatenate([rows.ts_ms for _, _, rows in mine]),
                np.concatenate([rows.X for _, _, rows in mine]),
                mine[0][1].catalogue,
                np.concatenate([rows.faults for _, _, rows in mine]),
                np.full(sum(counts), kind, dtype=object),
            )
        )
    if not tables:
        return FeatureTable.empty(Catalogue(()))
    return FeatureTable.concat(tables)


def build_table(
    source: Source,
    extents: Sequence[Extent],
    plant: Plant,
    settings: FeatureSettings,
    *,
    events: Sequence[Event] = (),
    regimes: Mapping[str, RegimeModel] | None = None,
    start_ms: int = 0,
    stop_ms: int = FAR_MS,
) -> FeatureTable:
    """Return the rows of frames or files, without a store: for experiments and benchmarks."""
    plans = plans_for(plant, settings, extents, regimes)
    parts = []
    for extent in extents:
        plan = plans[plant.kind_of(extent.asset)]
        rolled = roll_all(plan, source, extent, stop_ms)
        mine = [event for event in events if event.asset == extent.asset]
        renewals = renewals_of(plant, extent.asset, mine, plan)
        stop = min(stop_ms, extent.last_ms + 2 * settings.grid)
        rows = rows_of_asset(plan, rolled, renewals, reader(source, extent.asset), start_ms, stop)
        parts.append((extent.asset, plan, rows))
    return join_rows(parts)


def plans_for(
    plant: Plant,
    settings: FeatureSettings,
    extents: Sequence[Extent],
    regimes: Mapping[str, RegimeModel] | None = None,
) -> dict[str, KindPlan]:
    """Return the plan of every kind among the assets."""
    signals: dict[str, set[str]] = {}
    for extent in extents:
        signals.setdefault(plant.kind_of(extent.asset), set()).update(extent.signals)
    return {
        kind: make_plan(
            kind,
            plant.kinds.get(kind) or KindSpec(),
            settings,
            (regimes or {}).get(kind),
            tuple(sorted(names)),
        )
        for kind, names in signals.items()
    }


def roll_all(plan: KindPlan, source: Source, extent: Extent, stop_ms: int = FAR_MS) -> Rolled:
    """Roll up everything a source holds of one asset, thirty days at a time."""
    step = 30 * DAY_MS // plan.settings.bucket_ms * plan.settings.bucket_ms
    start = extent.first_ms // plan.settings.bucket_ms * plan.settings.bucket_ms
    stop = min(stop_ms, extent.last_ms + 1)
    parts = [
        roll(plan, source.read_readings(extent.asset, low, min(low + step, stop)))
        for low in range(start, stop, step)
    ]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

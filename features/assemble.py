"""Rows of many assets, and rows without a store: the parts the job and experiments share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
from features.workers import Here
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
    tasks = source_tasks(
        source, extents, plant, settings, events=events, regimes=regimes,
        start_ms=start_ms, stop_ms=stop_ms,
    )  # fmt: skip
    return join_rows(
        [(task.extent.asset, task.plan, rows) for task, rows in Here().run(run_source, tasks)]
    )


@dataclass(frozen=True, eq=False)
class SourceTask:
    """Make all rows of one asset straight from its readings."""

    extent: Extent
    plan: KindPlan
    renewals: Renewals
    source: Source
    start_ms: int
    stop_ms: int


def run_source(task: SourceTask) -> Rows:
    """Do a SourceTask."""
    settings = task.plan.settings
    rolled = roll_all(task.plan, task.source, task.extent, task.stop_ms)
    stop = min(task.stop_ms, task.extent.last_ms + 2 * settings.grid)
    read = reader(task.source, task.extent.asset)
    return rows_of_asset(task.plan, rolled, task.renewals, read, task.start_ms, stop)


def source_tasks(
    source: Source,
    extents: Sequence[Extent],
    plant: Plant,
    settings: FeatureSettings,
    *,
    events: Sequence[Event] = (),
    regimes: Mapping[str, RegimeModel] | None = None,
    start_ms: int = 0,
    stop_ms: int = FAR_MS,
) -> list[SourceTask]:
    """Return one task per asset, for `run_source` on any workers."""
    plans = plans_for(plant, settings, extents, regimes)
    by_asset: dict[AssetPath, list[Event]] = {}
    for event in events:
        by_asset.setdefault(event.asset, []).append(event)
    tasks = []
    for extent in extents:
        plan = plans[plant.kind_of(extent.asset)]
        renewals = renewals_of(plant, extent.asset, by_asset.get(extent.asset, []), plan)
        tasks.append(SourceTask(extent, plan, renewals, source, start_ms, stop_ms))
    return tasks


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

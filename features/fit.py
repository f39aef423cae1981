"""Fitting a kind's regime model on what rollups say about its history."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.assemble import plans_for, renewals_of, roll_all
from features.plan import KindPlan
from features.regime import RegimeModel
from features.regime_fit import fit_regimes
from features.renewal import Renewals
from features.rollup import Rolled
from features.settings import FeatureSettings
from features.sources import Extent, Source
from features.stats import COUNT, MEAN
from plant.config import Plant
from plant.event import Event


def fit_regimes_of(
    source: Source,
    extents: Sequence[Extent],
    plant: Plant,
    settings: FeatureSettings,
    *,
    events: Sequence[Event] = (),
) -> dict[str, RegimeModel]:
    """Fit the regime model of every kind on frames or files: history only, given by the caller."""
    fitted = {}
    for kind, plan in plans_for(plant, settings, extents).items():
        parts = []
        for extent in extents:
            if plant.kind_of(extent.asset) != kind:
                continue
            mine = [event for event in events if event.asset == extent.asset]
            renewals = renewals_of(plant, extent.asset, mine, plan)
            parts.append((roll_all(plan, source, extent), renewals))
        model = fit_from_rollups(plan, parts)
        if model is not None:
            fitted[kind] = model
    return fitted


def fit_from_rollups(
    plan: KindPlan, parts: Sequence[tuple[Rolled, Renewals]]
) -> RegimeModel | None:
    """Fit a kind's regime model on rollups of its assets; None when there is nothing to fit."""
    settings = plan.settings
    room = settings.baseline_h / settings.bucket_h
    means, ops, healthy, groups = [], [], [], []
    condition_at = [plan.columns.index(name) for name in plan.conditions]
    operating_at = [plan.columns.index(name) for name in plan.operating]
    for number, ((buckets, values), renewals) in enumerate(parts):
        if not len(buckets):
            continue
        mean = np.where(values[:, :, COUNT] > 0, values[:, :, MEAN], np.nan)
        running = np.ones(len(buckets), dtype=bool)
        if plan.running_column >= 0:
            running = ~(mean[:, plan.running_column] < settings.min_duty)
        begins = np.append(renewals.buckets(settings.bucket_ms), int(buckets[0]))
        begins.sort()
        life = np.searchsorted(begins, buckets, side="right") - 1
        since = buckets - begins[np.maximum(life, 0)]
        means.append(mean[running][:, condition_at])
        ops.append(_held(mean[:, operating_at])[running])
        healthy.append((since < room)[running])
        groups.append((number * 100_000 + life)[running])
    if not means or not plan.conditions:
        return None
    return fit_regimes(
        np.concatenate(means),
        np.concatenate(ops),
        plan.conditions,
        plan.operating,
        healthy=np.concatenate(healthy),
        groups=np.concatenate(groups),
        components=settings.components,
        blends=settings.blends,
    )


def _held(ops: NDArray[np.float64]) -> NDArray[np.float64]:
    """Carry the last known value of each operating signal on, as the engine does."""
    out = ops.copy()
    for column in out.T:
        known = np.isfinite(column)
        last = np.maximum.accumulate(np.where(known, np.arange(len(column)), -1))
        column[last >= 0] = column[last[last >= 0]]
    return out

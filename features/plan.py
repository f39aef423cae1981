"""What the kernels must do for one kind of machine, worked out once from the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue, build_catalogue
from features.kernel_digest import CONDITION, COUNTER, NO_MODEL, OPERATING, RUN_ROLE, STATE
from features.kernel_walk import (
    ASSET_COLUMNS,
    C_DEVIATION,
    C_HOURS,
    C_REGIME,
    C_SILENT,
    C_STARTS,
    CHANGE,
    S_CUSUM,
    S_DEVIATION,
    S_EWM,
    S_RATE,
    S_TREND,
)
from features.kernel_window import WINDOW_STATS
from features.regime import RegimeModel
from features.settings import FeatureSettings
from features.stats import RUNNING
from plant.config import KindSpec, SignalSpec
from plant.errors import DataError
from plant.times import HOUR_MS

_ROLES = {"condition": CONDITION, "operating": OPERATING, "counter": COUNTER, "state": STATE}
_EXCESS = {"level": "mean", "scatter": "std", "trend": "slope", "shift": "change"}
#: A slope of bucket excesses over fewer points says nothing.
_LEAST_TREND = 4


@dataclass(frozen=True, eq=False)
class KindPlan:
    """One kind's columns as the kernels need them.

    columns: names of the rollup matrix in order (measured signals, then `running`); conditions and
    operating: their names; series: the condition signals then the components.
    """

    name: str
    kind: KindSpec
    settings: FeatureSettings
    catalogue: Catalogue
    regime: RegimeModel | None
    columns: tuple[str, ...]
    conditions: tuple[str, ...]
    operating: tuple[str, ...]
    series: tuple[str, ...]
    roles: NDArray[np.int64]
    limits: NDArray[np.float64]
    rules: NDArray[np.float64]
    model: tuple[Any, ...]
    reference: NDArray[np.float64]
    windows: NDArray[np.int64]
    begin: NDArray[np.int64]
    stats: NDArray[np.int64]
    asset_columns: NDArray[np.int64]
    sum_columns: NDArray[np.int64]
    series_columns: NDArray[np.int64]
    dev_keep: float
    keeps: NDArray[np.float64]

    @property
    def running_column(self) -> int:
        """Position of `running` in the rollup matrix, -1 without it."""
        return len(self.columns) - 1 if self.kind.running_signal is not None else -1

    @cached_property
    def longest(self) -> int:
        """Buckets a row may look back at most, the window before the longest one included."""
        looks = [1]
        for w, length in enumerate(self.windows[:, 1]):
            before = self.stats[self.begin[w] : self.begin[w + 1], 0] == CHANGE
            looks.append(int(length) * (2 if before.any() else 1))
        return max(looks)


def make_plan(
    name: str,
    kind: KindSpec,
    settings: FeatureSettings,
    regime: RegimeModel | None = None,
    signals: tuple[str, ...] = (),
) -> KindPlan:
    """Work out the plan of a kind. Raises DataError when the regime model is of other signals."""
    specs = dict(kind.signals) or {s: SignalSpec() for s in sorted(signals)}
    if kind.running_signal is not None and kind.running_signal not in specs:
        raise DataError(
            f"the running signal {kind.running_signal!r} of kind {name!r} is not one of its signals.",
            fix=f"Add it to [kinds.{name}.signals].",
        )
    conditions = tuple(s for s, spec in specs.items() if spec.role == "condition")
    operating = tuple(s for s, spec in specs.items() if spec.role == "operating")
    if regime is not None and (regime.conditions, regime.operating) != (conditions, operating):
        raise DataError(
            f"the regime model of kind {name!r} was fitted on other signals.",
            fix="Fit it again: vigie train does.",
        )
    catalogue = build_catalogue(
        kind,
        settings,
        signals=signals,
        regime="" if regime is None else regime.fingerprint,
        components=0 if regime is None else regime.components,
    )
    extra = (RUNNING,) if kind.running_signal is not None else ()
    columns = (*specs, *extra)
    components = 0 if regime is None else regime.components
    series = (*conditions, *(f"health{n}" for n in range(1, components + 1)))
    windows, begin, stats = _windows(catalogue, settings, columns, conditions, series)
    return KindPlan(
        name=name,
        kind=kind,
        settings=settings,
        catalogue=catalogue,
        regime=regime,
        columns=columns,
        conditions=conditions,
        operating=operating,
        series=series,
        roles=np.array([_ROLES[spec.role] for spec in specs.values()] + [RUN_ROLE] * len(extra)),
        limits=_limits(specs, len(extra), settings),
        rules=_rules(settings),
        model=_no_model(len(operating)) if regime is None else regime.arrays(),
        reference=_reference(regime, len(series)),
        windows=windows,
        begin=begin,
        stats=stats,
        asset_columns=_asset_columns(catalogue),
        sum_columns=_sum_columns(catalogue, columns),
        series_columns=_series_columns(catalogue, settings, series),
        dev_keep=_keep(settings.deviation_span, settings),
        keeps=np.array([_keep(span, settings) for span in settings.ewm]),
    )


def _keep(span: str, settings: FeatureSettings) -> float:
    """Return what an exponential mean of this span keeps from one bucket to the next."""
    return 1.0 - 2.0 / (settings.buckets(span) + 1.0)


def _limits(
    specs: dict[str, SignalSpec], extra: int, settings: FeatureSettings
) -> NDArray[np.float64]:
    rows = [
        [
            -np.inf if spec.low is None else spec.low,
            np.inf if spec.high is None else spec.high,
            settings.quality.spike_sigmas if spec.role in {"condition", "operating"} else np.inf,
        ]
        for spec in specs.values()
    ]
    return np.array(rows + [[-np.inf, np.inf, np.inf]] * extra).reshape(-1, 3)


def _rules(settings: FeatureSettings) -> NDArray[np.float64]:
    quality = settings.quality
    hour = max(1, HOUR_MS // settings.bucket_ms)
    return np.array(
        [
            quality.spike_share,
            quality.range_share,
            max(1.0, quality.stuck_h / settings.bucket_h),
            quality.stuck_readings,
            max(1.0, quality.missing_h / settings.bucket_h),
            hour,
            settings.min_duty,
        ]
    )


def _no_model(operating: int) -> tuple[Any, ...]:
    flat, wide, deep = np.zeros(0), np.zeros((0, 0)), np.zeros((0, 0, 0))
    return (NO_MODEL, np.zeros(operating), np.ones(operating), wide, wide, wide, flat, wide, deep)


def _reference(regime: RegimeModel | None, series: int) -> NDArray[np.float64]:
    """Return the scale of each series; 0 where its own baseline must give it."""
    reference = np.zeros(series)
    if regime is not None:
        reference[: len(regime.reference)] = regime.reference
    return reference


def _windows(
    catalogue: Catalogue,
    settings: FeatureSettings,
    columns: tuple[str, ...],
    conditions: tuple[str, ...],
    series: tuple[str, ...],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return each distinct (tree column, buckets, owner) and the statistics read off it."""
    wanted: dict[tuple[int, int, int], list[tuple[int, int, int]]] = {}
    named = {window: settings.buckets(window) for window in settings.all_windows}
    for column, feature in enumerate(catalogue.features):
        if feature.stat == "duty":
            key = (columns.index(RUNNING), named[feature.window], -1)
            wanted.setdefault(key, []).append((0, column, 1))
        elif feature.window in named and feature.stat in _EXCESS:
            owner = series.index(feature.signal)
            key = (len(columns) + owner, named[feature.window], owner)
            stat = WINDOW_STATS.index(_EXCESS[feature.stat])
            least = _LEAST_TREND if feature.stat == "trend" else 1
            wanted.setdefault(key, []).append((stat, column, least))
        elif feature.window in named and feature.stat in WINDOW_STATS:
            owner = conditions.index(feature.signal) if feature.signal in conditions else -1
            key = (columns.index(feature.signal), named[feature.window], owner)
            stat = WINDOW_STATS.index(feature.stat)
            wanted.setdefault(key, []).append((stat, column, 0))
    begin = np.cumsum([0, *(len(stats) for stats in wanted.values())])
    stats = [row for rows in wanted.values() for row in rows]
    return (
        np.array([(*key, _full(found)) for key, found in wanted.items()], dtype=np.int64).reshape(
            -1, 4
        ),
        begin.astype(np.int64),
        np.array(stats, dtype=np.int64).reshape(-1, 3),
    )


def _full(found: list[tuple[int, int, int]]) -> bool:
    """Tell whether a window needs more of its nodes than their core."""
    beyond = {WINDOW_STATS.index(s) for s in ("skewness", "kurtosis", "missing", "gap")}
    return any(stat in beyond for stat, _, _ in found)


def _find(catalogue: Catalogue, name: str) -> int:
    return catalogue.index(name) if name in catalogue.names else -1


def _asset_columns(catalogue: Catalogue) -> NDArray[np.int64]:
    found = np.full(ASSET_COLUMNS, -1)
    found[C_DEVIATION] = _find(catalogue, "asset.deviation.age")
    found[C_REGIME] = _find(catalogue, "asset.regime.code")
    found[C_HOURS] = _find(catalogue, "running.life.hours")
    found[C_STARTS] = _find(catalogue, "running.life.starts")
    found[C_SILENT] = _find(catalogue, "asset.silent.age")
    return found


def _sum_columns(catalogue: Catalogue, columns: tuple[str, ...]) -> NDArray[np.int64]:
    return np.array(
        [
            max(_find(catalogue, f"{c}.life.integral"), _find(catalogue, f"{c}.life.increase"))
            for c in columns
        ]
    )


def _series_columns(
    catalogue: Catalogue, settings: FeatureSettings, series: tuple[str, ...]
) -> NDArray[np.int64]:
    found = np.full((len(series), S_EWM + len(settings.ewm)), -1)
    for p, name in enumerate(series):
        found[p, S_TREND] = _find(catalogue, f"{name}.life.trend")
        found[p, S_DEVIATION] = _find(catalogue, f"{name}.own.deviation")
        found[p, S_RATE] = _find(catalogue, f"{name}.own.rate")
        found[p, S_CUSUM] = _find(catalogue, f"{name}.own.cusum")
        for e, span in enumerate(settings.ewm):
            found[p, S_EWM + e] = _find(catalogue, f"{name}.ewm{span}.level")
    return found

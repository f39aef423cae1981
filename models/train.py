"""Training: from feature rows and the event log to a bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd
import structlog

from features.table import FeatureTable
from models.bins import FloatArray
from models.bundle import Bundle, to_files
from models.columns import views
from models.crossfit import Progress, landmark_rows
from models.deviation import DeviationModel, fit_deviation
from models.hazard import as_input
from models.healthy import healthy_rows, whole_weeks
from models.labels import Labels, label_rows
from models.lifetime import fit_lifetime
from models.modes import fit_modes
from models.settings import ModelSettings
from models.window import TrainingData, fit_window_model
from plant.asset import AssetPath
from plant.config import Plant
from plant.errors import DataError
from plant.event import Event
from plant.times import HOUR_MS, to_iso

log = structlog.get_logger()
#: Healthy rows the deviation learns from, about: they bound its memory and time in a large plant.
_HEALTHY_ROWS = 100_000


def train(
    table: FeatureTable,
    events: Iterable[Event],
    plant: Plant,
    settings: ModelSettings,
    *,
    now_ms: int,
    kind: str | None = None,
    as_of_ms: int | None = None,
    regime_json: str = "",
    midlife: FeatureTable | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Train one kind's model.

    table: feature rows of one kind (`kind` chooses when it holds several). as_of_ms: use nothing later,
    as if it were then. midlife: rows of the same machines as they would look had they been connected
    late; they train, and are not judged. The same arguments give the same bundle, byte for byte.
    Raises DataError when there is nothing to learn from.
    """
    tell = progress or _silent
    table, kind = one_kind(table, kind)
    log_events = [e for e in events if as_of_ms is None or e.ts_ms < as_of_ms]
    labels = label_rows(table.assets, table.ts_ms, log_events, settings, as_of_ms)
    if not np.any(labels.life >= 0):
        raise DataError(
            f"there are no feature rows of kind {kind} to learn from.", fix="Run the features job."
        )
    tell("healthy behaviour", 0.0)
    deviation = _healthy(table, labels, settings)
    lifetime = fit_lifetime(labels.lives, _born(plant, labels))
    lineage = _lineage(table, labels, settings, as_of_ms)
    core = None
    modes = None
    failures = labels.failures()
    why = ""
    if failures < settings.min_failures:
        why = (
            f"{failures} failures of {kind} so far, {settings.min_failures} are needed for a window:"
            " only the deviation from healthy behaviour is given."
        )
    else:
        data = TrainingData(table, labels, deviation, midlife)
        core = fit_window_model(data, settings, tell)
        rows = landmark_rows(table, labels, settings, settings.seed)
        usable = rows[labels.observed[rows]]
        modes = fit_modes(
            as_input(table.X[usable]),
            labels.ttf_h[usable],
            labels.mode[usable],
            labels.life[usable],
            core.hazard.edges_h,
            settings,
        )
        lineage |= core.lineage
        if left_out := lineage["findings"].get("unknown_repairs", {}).get("left_out"):
            log.warning(
                "train.repairs_on_condition",
                kind=kind,
                left_out=left_out,
                fix="let crews write what they find (found: failed, degraded or sound)",
            )
    lineage["modes_pooled"] = list(modes.pooled) if modes else []
    bundle = Bundle(
        kind=kind,
        model_id="",
        trained_ms=now_ms,
        hazard=core.hazard if core else None,
        prior=core.prior if core else None,
        horizons=core.horizons if core else None,
        windows=core.windows if core else None,
        late_windows=core.late_windows if core else None,
        sharpness=core.sharpness if core else None,
        late_sharpness=core.late_sharpness if core else None,
        late_heads=core.late_heads if core else None,
        heads=core.heads if core else None,
        modes=modes,
        deviation=deviation,
        lifetime=lifetime,
        lineage=lineage,
        catalogue=table.catalogue,
        reference=_reference(table, labels, settings),
        regime=regime_json,
        why_no_window=why,
    )
    digest = hashlib.sha256(
        b"".join(data for _, data in sorted(to_files(bundle).items()))
    ).hexdigest()
    stamp = to_iso(now_ms).replace("-", "").replace(":", "")[:13]
    bundle = replace(bundle, model_id=f"{kind}-{stamp}-{digest[:8]}")
    log.info("trained", kind=kind, model=bundle.model_id, failures=failures, rows=len(table))
    return bundle


def one_kind(table: FeatureTable, kind: str | None) -> tuple[FeatureTable, str]:
    """Return the rows of one kind and its name. Raises DataError when the choice is not clear."""
    kinds = sorted({str(k) for k in table.kinds})
    if kind is None:
        if len(kinds) != 1:
            known = ", ".join(kinds) or "none"
            raise DataError(
                f"the rows are of several kinds ({known}).", fix="Name one with --kind."
            )
        return table, kinds[0]
    if kind not in kinds:
        known = ", ".join(kinds) or "none"
        raise DataError(f"there are no feature rows of kind {kind!r} (there are: {known}).")
    return (table if kinds == [kind] else table.of_kind(kind)), kind


def _healthy(table: FeatureTable, labels: Labels, settings: ModelSettings) -> DeviationModel:
    rows = np.flatnonzero(healthy_rows(table, labels, settings))
    groups = pd.factorize(table.assets[rows], sort=True)[0].astype(np.int64)
    kept = whole_weeks(table.ts_ms[rows], groups, _HEALTHY_ROWS)
    rows, groups = rows[kept], groups[kept]
    return fit_deviation(
        as_input(table.X[rows]), table.ts_ms[rows], groups, views(table.catalogue), settings
    )


def _reference(table: FeatureTable, labels: Labels, settings: ModelSettings) -> FloatArray:
    rows = np.flatnonzero(healthy_rows(table, labels, settings))
    part = as_input(table.X[rows[:: max(1, len(rows) // 2_000)]])
    known = np.isfinite(part).any(axis=0)
    out = np.full(table.X.shape[1], np.nan)
    if known.any():
        out[known] = np.nanmedian(part[:, known], axis=0)
    return out


def _born(plant: Plant, labels: Labels) -> dict[str, int]:
    born = {}
    for asset in {life.asset for life in labels.lives}:
        spec = plant.asset(AssetPath.parse(asset))
        if spec is not None and spec.commissioned is not None:
            born[asset] = round(spec.commissioned.timestamp() * 1000)
    return born


def _lineage(
    table: FeatureTable, labels: Labels, settings: ModelSettings, as_of_ms: int | None
) -> dict[str, Any]:
    used = labels.life >= 0
    return {
        "data_from_ms": int(table.ts_ms[used].min()),
        "data_to_ms": int(table.ts_ms[used].max()),
        "as_of_ms": as_of_ms,
        "rows": int(used.sum()),
        "assets": len(set(table.assets[used])),
        "lives": labels.reasons(),
        "failures": labels.failures(),
        "failures_by_mode": labels.failures_by_mode(),
        "asset_hours": round(_hours(labels), 1),
        "seed": settings.seed,
        "settings": settings.model_dump(mode="json", exclude={"threads"}),
        "code_version": _code_version(),
    }


def _hours(labels: Labels) -> float:
    return sum(life.stop_ms - life.start_ms for life in labels.lives) / HOUR_MS


def _code_version() -> str:
    try:
        return version("vigie")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"


def _silent(_step: str, _share: float) -> None:
    pass

"""Letting a new model challenge the champion, on history neither of them was trained on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from features.job import FeatureJob
from features.regime import RegimeModel
from features.settings import FeatureSettings
from features.table import FeatureTable
from models.bundle import Bundle
from models.labels import label_rows
from models.pipeline import train_from_store
from models.promote import Comparison, compare
from models.registry import Registry
from models.settings import ModelSettings
from plant.config import Plant
from plant.errors import DataError, ModelError
from plant.event import Event
from plant.times import DAY_MS, to_iso
from store.port import Store

_NEWEST_DAYS = 30


def enthrone(
    registry: Registry,
    bundle: Bundle,
    store: Store,
    plant: Plant,
    features: FeatureSettings,
    settings: ModelSettings,
    now_ms: int,
) -> str:
    """Promote a model if it may be; return what was decided, and log it as a `model` event."""
    try:
        champion = registry.champion(bundle.kind)
    except ModelError as error:
        champion = None
        problem = f"the champion could not be read ({error})"
    else:
        problem = "it is the first of its kind"
    comparison: Comparison | None = None
    if champion is None:
        promote, why = True, problem
    elif champion.model_id == bundle.model_id:
        return "it is the champion already."
    elif champion.hazard is None or bundle.hazard is None:
        promote = bundle.hazard is not None or champion.hazard is None
        why = (
            "it gives windows"
            if bundle.hazard is not None
            else "neither gives windows; it is newer"
        )
        if not promote:
            why = "the champion gives windows and it does not: a person decides"
    else:
        try:
            comparison = challenge(champion, bundle, store, plant, features, settings, now_ms)
            promote, why = comparison.promote and settings.auto_promote, comparison.reason()
        except (DataError, ModelError) as error:
            promote, why = False, f"the two cannot be compared ({error})"
    if promote:
        registry.promote(bundle.kind, bundle.model_id, now_ms, who="vigie", why=why)
    log_decision(
        store,
        bundle.kind,
        bundle.model_id,
        promoted=promote,
        why=why,
        now_ms=now_ms,
        comparison=comparison,
    )
    return f"promoted: {why}" if promote else f"waits for a person: {why}"


def challenge(
    champion: Bundle,
    challenger: Bundle,
    store: Store,
    plant: Plant,
    features: FeatureSettings,
    settings: ModelSettings,
    now_ms: int,
    days: int = _NEWEST_DAYS,
) -> Comparison:
    """Compare both on the newest `days`.

    The challenger has seen them; so it is trained once more without them, and that stand-in is
    judged in its place. The champion is judged as it is, on days after its own training only.
    Raises ModelError when one of them gives no window, DataError when there are too few such rows.
    """
    for one in (champion, challenger):
        if one.hazard is None:
            raise ModelError(f"{one.model_id} gives no window: there is nothing to compare.")
    stop_ms = int(challenger.lineage["data_to_ms"]) + 1
    start_ms = max(stop_ms - days * DAY_MS, int(champion.lineage["data_to_ms"]) + 1)
    if start_ms >= stop_ms:
        raise DataError(
            f"the champion has seen every day up to {to_iso(stop_ms)[:10]}, where the other's data end."
        )
    (stand_in,) = train_from_store(
        store,
        plant,
        features,
        settings,
        now_ms=now_ms,
        kinds=[challenger.kind],
        as_of_ms=start_ms,
    )
    if stand_in.hazard is None:
        raise DataError(
            "without the newest period the challenger has too few failures to judge it."
        )
    stand_in = replace(stand_in, model_id=f"{challenger.model_id}-without-newest")
    tables = {
        b.model_id: _rows(b, store, plant, features, start_ms, stop_ms)
        for b in (champion, stand_in)
    }
    first = tables[stand_in.model_id]
    events = store.read_events(0, stop_ms)
    labels = label_rows(first.assets, first.ts_ms, events, settings, stop_ms)
    rows = np.flatnonzero(labels.valid)
    if len(rows) < 50:
        raise DataError("the newest period has too few rows to judge a model.")
    return compare(champion, stand_in, tables, labels, rows, settings)


def _rows(
    bundle: Bundle,
    store: Store,
    plant: Plant,
    features: FeatureSettings,
    start_ms: int,
    stop_ms: int,
) -> FeatureTable:
    regimes = (
        {bundle.kind: RegimeModel.from_json(json.loads(bundle.regime))} if bundle.regime else {}
    )
    job = FeatureJob(store, plant, features, regimes=regimes)
    assets = [e.asset for e in store.assets() if plant.kind_of(e.asset) == bundle.kind]
    return job.backfill(start_ms, stop_ms, assets=assets)


def log_decision(
    store: Store,
    kind: str,
    model_id: str,
    *,
    promoted: bool,
    why: str,
    now_ms: int,
    who: str = "vigie",
    comparison: Comparison | None = None,
) -> None:
    """Write the decision to the audit trail, at one machine of the kind (events belong to machines)."""
    asset = next((e.asset for e in store.assets()), None)
    if asset is None:
        return
    detail = {"kind": kind, "model_id": model_id, "promoted": promoted, "why": why}
    if comparison is not None:
        detail["comparison"] = comparison.to_dict()
    store.write_events(
        [
            Event(
                asset,
                now_ms,
                "model",
                key=model_id,
                note=why[:200],
                who=who,
                detail=detail,
            )
        ]
    )

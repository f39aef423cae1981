"""Which model judges which machine: the champion of its kind, loaded again when it changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from features.regime import RegimeModel
from features.table import FeatureTable
from models.bundle import Bundle
from models.registry import Registry
from models.score import Assessment, newest, score
from models.settings import ModelSettings
from plant.asset import AssetPath
from plant.errors import ModelError
from plant.times import to_iso

log = structlog.get_logger()

_NO_MODEL = "No model for this kind of machine yet: run `vigie train`."


@dataclass(frozen=True, slots=True)
class Scored:
    """The newest assessment of a machine; without one, `note` says why."""

    assessment: Assessment | None
    faults: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


class Scorer:
    """Scores feature rows of any kinds with the registry's champions."""

    def __init__(self, registry: Registry, settings: ModelSettings) -> None:
        self._registry = registry
        self._settings = settings
        self._bundles: dict[str, Bundle] = {}
        self._problems: dict[str, str] = {}

    def refresh(self) -> bool:
        """Load the champions that were promoted since; tell whether there were any.

        A model that cannot be read leaves its kind without one; the reason is kept for the notes.
        """
        changed = False
        for kind in self._registry.kinds():
            try:
                model_id = self._registry.champion_id(kind)
                held = self._bundles.get(kind)
                if model_id is None or (held is not None and held.model_id == model_id):
                    continue
                self._bundles[kind] = self._registry.load(kind, model_id)
                self._problems.pop(kind, None)
                changed = True
                log.info("model in use", kind=kind, model=model_id)
            except ModelError as error:
                self._bundles.pop(kind, None)
                self._note(kind, str(error))
        return changed

    def regimes(self) -> dict[str, RegimeModel]:
        """Return how the champions' features see operating regimes; feature rows must be made so."""
        return {
            kind: RegimeModel.from_json(json.loads(bundle.regime))
            for kind, bundle in self._bundles.items()
            if bundle.regime
        }

    def score(self, table: FeatureTable) -> dict[AssetPath, Scored]:
        """Return every machine's newest assessment.

        A kind whose model is damaged or foreign is reported in the notes, and keeps nobody else
        from being judged.
        """
        found: dict[AssetPath, Scored] = {}
        if not len(table):
            return found
        table = newest(table)
        faults = {str(table.assets[row]): table.faulty(row) for row in range(len(table))}
        for kind in sorted({str(kind) for kind in table.kinds}):
            rows = table.of_kind(kind)
            bundle = self._bundles.get(kind)
            assessed: dict[str, Assessment] = {}
            if bundle is not None:
                try:
                    assessed = {a.asset: a for a in score(bundle, rows, self._settings)}
                except ModelError as error:
                    self._note(kind, str(error))
            note = self._problems.get(kind, _NO_MODEL)
            for name in map(str, rows.assets):
                assessment = assessed.get(name)
                found[AssetPath.parse(name)] = Scored(
                    assessment, faults[name], "" if assessment is not None else note
                )
        return found

    def models(self) -> list[dict[str, Any]]:
        """Return the models in use, as `bridge/info` shows them."""
        return [
            {"kind": kind, "id": bundle.model_id, "trained": to_iso(bundle.trained_ms)}
            for kind, bundle in sorted(self._bundles.items())
        ]

    def _note(self, kind: str, problem: str) -> None:
        if self._problems.get(kind) != problem:
            log.warning("model refused", kind=kind, problem=problem)
        self._problems[kind] = problem

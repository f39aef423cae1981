"""Which model judges which machine: the champion of its kind, loaded again when it changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import structlog

from features.table import FeatureTable
from models.bundle import Bundle
from models.registry import Registry
from models.score import Assessment, newest, score
from models.settings import ModelSettings
from plant.asset import AssetPath
from plant.errors import ModelError
from plant.times import to_iso

log = structlog.get_logger()

_NO_FAULTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Scored:
    """The newest assessment of a machine; without one, `note` says why."""

    assessment: Assessment | None
    faults: Mapping[str, str] = _NO_FAULTS
    note: str = ""


class Scorer:
    """Scores feature rows of any kinds with the registry's champions."""

    def __init__(self, registry: Registry, settings: ModelSettings) -> None:
        self._registry = registry
        self._settings = settings
        self._bundles: dict[str, Bundle] = {}
        self._problems: dict[str, str] = {}

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
            note = "No model for this kind of machine yet: run `vigie train`."
            assessed: dict[str, Assessment] = {}
            try:
                bundle = self._champion(kind)
                if bundle is not None:
                    assessed = {a.asset: a for a in score(bundle, rows, self._settings)}
                self._problems.pop(kind, None)
            except ModelError as error:
                note = str(error)
                if self._problems.get(kind) != note:
                    log.warning("model refused", kind=kind, problem=note)
                self._problems[kind] = note
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

    def _champion(self, kind: str) -> Bundle | None:
        """Return the kind's champion, read from disk only when another one was promoted."""
        model_id = self._registry.champion_id(kind)
        if model_id is None:
            self._bundles.pop(kind, None)
            return None
        held = self._bundles.get(kind)
        if held is None or held.model_id != model_id:
            held = self._registry.load(kind, model_id)
            self._bundles[kind] = held
            log.info("model in use", kind=kind, model=model_id)
        return held

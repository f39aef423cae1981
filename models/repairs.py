"""What the repairs of the past say: findings, how they are inferred, and which lives say nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.table import FeatureTable
from models.bins import FloatArray
from models.crossfit import landmark_rows, make_examples
from models.dependence import dependence
from models.deviation import DeviationModel
from models.found import Findings, infer_findings, last_rows
from models.hazard import HazardModel, as_input, fit_member
from models.labels import Labels, after_h
from models.settings import ModelSettings

_FIRST_ROUNDS = 60
_LEAST_FAILED = 5


def judge_repairs(
    table: FeatureTable,
    labels: Labels,
    deviation: DeviationModel,
    edges: FloatArray,
    groups: NDArray[np.int64],
    settings: ModelSettings,
) -> tuple[Findings, dict[str, Any]]:
    """Judge every repair; also say, for the manifest, how much the model leans on it.

    Where codes can teach, missing ones are inferred. Where they cannot, and machines were repaired because
    of how they looked, the lives that ended so are left out.
    """
    findings = _inferred(table, labels, deviation, edges, groups, settings)
    silent = [i for i, life in enumerate(labels.lives) if life.reason == "unknown"]
    if findings.learned or not silent:
        return findings, _leaning(labels, findings)
    made = dependence(labels, table.ts_ms, deviation.score(as_input(table.X)))
    if made.on_condition:
        findings = replace(findings, left_out=frozenset(silent))
    return findings, _leaning(labels, findings) | {
        "unknown_repairs": {
            "compared": made.repairs,
            "percentile_of_looks": round(made.percentile, 3),
            "standard_errors": round(made.z, 1),
            "left_out": len(findings.left_out),
        }
    }


def _inferred(
    table: FeatureTable,
    labels: Labels,
    deviation: DeviationModel,
    edges: FloatArray,
    groups: NDArray[np.int64],
    settings: ModelSettings,
) -> Findings:
    """Infer findings from how the machine looked: its deviation, and the risk of a model of failures only."""
    last = last_rows(labels, table.ts_ms)
    X = as_input(table.X[last])
    looks = np.log(np.maximum(deviation.score(X), 1e-3))[:, None]
    failed = np.array([1.0 if life.reason == "failed" else 0.0 for life in labels.lives])
    repairs = sum(life.reason in {"degraded", "sound", "unknown"} for life in labels.lives)
    if repairs and failed.sum() >= _LEAST_FAILED and settings.degraded_residual_h > 0:
        rows = landmark_rows(table, labels, settings, settings.seed)
        plain = labels.as_watched()
        marks = make_examples(
            as_input(table.X[rows]), rows, plain, Findings(failed, 0), groups, settings
        ).landmarks
        fit = fit_member(marks, edges, settings, settings.seed + 500, _FIRST_ROUNDS)
        first = HazardModel(edges, (fit.text,), fit.offsets[None, :])
        soon = min(after_h("sound", settings), float(edges[-1]))
        p = np.clip(first.curves(X).p_fail(soon)[:, 0], 1e-4, 1 - 1e-4)
        looks = np.column_stack([looks, np.log(p / (1 - p))])
    return infer_findings(labels, last, looks, settings)


def _leaning(labels: Labels, findings: Findings) -> dict[str, Any]:
    reasons = Counter(life.reason for life in labels.lives)
    events = float(sum(findings.p))
    failed = float(reasons["failed"])
    return {
        "repairs": {r: reasons[r] for r in ("degraded", "sound", "unknown") if reasons[r]},
        "codes_learned_from": findings.learned,
        "share_of_events_from_findings": round(1 - failed / events, 4) if events else 0.0,
    }

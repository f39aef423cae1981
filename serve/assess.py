"""From what the model found to what the plant is told: severity, sentence, action, validity. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from models.score import Assessment
from plant.asset import AssetPath
from plant.config import KindSpec, Plant
from plant.risk import ModeRisk, Risk, Severity, Status, Window
from plant.times import HOUR_MS, MINUTE_MS
from serve import wording
from serve.settings import ServeSettings
from serve.severity import grade_risk, p_within

NO_FAULTS: Mapping[str, str] = MappingProxyType({})


def to_risk(
    assessment: Assessment,
    plant: Plant,
    settings: ServeSettings,
    *,
    previous: Risk | None = None,
    faults: Mapping[str, str] = NO_FAULTS,
    simulated: bool = False,
    run_id: str = "",
) -> Risk:
    """Return the risk of an assessment.

    `faults` are the signals whose sensors are at fault, and how. `previous` is the asset's risk before
    this one: its severity decides which side of a threshold's hysteresis counts. An `ok` without a
    finite probability becomes `insufficient_data`: never a confident zero.
    """
    asset = AssetPath.parse(assessment.asset)
    kind = plant.kind_spec(asset)
    p_fail = _finite(assessment.p_fail)
    status: Status = assessment.status
    if status == "ok" and not p_fail:
        status = "insufficient_data"
    if status in {"ok", "deviation_only"} and _is_blind(assessment, faults, kind):
        status = "sensor_fault"
    known = status == "ok"
    mode = None
    if assessment.mode is not None and known:
        code, p = assessment.mode
        mode = ModeRisk(code, kind.modes[code].label if code in kind.modes else code, _unit(p))
    risk = Risk(
        asset=asset,
        ts_ms=assessment.ts_ms,
        valid_until_ms=assessment.ts_ms + round(settings.publish.valid_min * MINUTE_MS),
        status=status,
        severity="normal",
        p_fail=p_fail if known else None,
        window=_window(assessment) if known else None,
        mode=mode,
        drivers=tuple(assessment.drivers) if status != "sensor_fault" else (),
        deviation=_finite_or_none(assessment.deviation),
        sentence="",
        action="",
        alarm_id="",
        model_id=assessment.model_id,
        model_trained_ms=assessment.trained_ms,
        simulated=simulated,
        run_id=run_id,
        curve=assessment.curve() if known else (),
    )
    held = previous.severity if previous is not None else "normal"
    severity = grade_risk(risk, settings.severity, plant.kind_of(asset), held) or "normal"
    return _worded(risk, severity, kind, last_ms=None, faults=faults, note=assessment.note)


def without_assessment(
    asset: AssetPath,
    ts_ms: int,
    status: Status,
    plant: Plant,
    settings: ServeSettings,
    *,
    last_ms: int | None = None,
    previous: Risk | None = None,
    note: str = "",
    simulated: bool = False,
    run_id: str = "",
) -> Risk:
    """Return the risk of a machine that could not be judged: silent, or being worked on."""
    risk = Risk(
        asset=asset,
        ts_ms=ts_ms,
        valid_until_ms=ts_ms + round(settings.publish.valid_min * MINUTE_MS),
        status=status,
        severity="normal",
        p_fail=None,
        window=None,
        mode=None,
        drivers=(),
        deviation=None,
        sentence="",
        action="",
        alarm_id="",
        model_id=previous.model_id if previous is not None else "",
        model_trained_ms=previous.model_trained_ms if previous is not None else None,
        simulated=simulated,
        run_id=run_id,
    )
    return _worded(risk, risk.severity, plant.kind_spec(risk.asset), last_ms=last_ms, note=note)


def _worded(
    risk: Risk,
    severity: Severity,
    kind: KindSpec,
    *,
    last_ms: int | None,
    faults: Mapping[str, str] = NO_FAULTS,
    note: str = "",
) -> Risk:
    """Fill in the severity, the sentence and the action."""
    p50_h: float | None = None
    if risk.p_fail is not None and risk.window is not None:
        hours = _telling_horizon(risk)
        sentence = wording.risk_sentence(
            p_within(risk, hours), hours, risk.mode, risk.drivers, severity
        )
        if risk.window.p50_ms is not None:
            p50_h = (risk.window.p50_ms - risk.ts_ms) / HOUR_MS
    elif risk.status == "deviation_only" and risk.deviation is not None:
        sentence = wording.deviation_sentence(risk.deviation, risk.drivers, severity)
    else:
        sentence = wording.status_sentence(risk.status, risk.ts_ms, last_ms, faults)
    sentence = wording.with_note(sentence, note, faults if risk.status == "ok" else {})
    action = wording.action_for(risk.status, severity, risk.mode, kind, p50_h)
    return replace(risk, severity=severity, sentence=sentence, action=action)


def _telling_horizon(risk: Risk) -> int:
    """Return the shortest published horizon by which failure is likelier than not, else the longest."""
    if risk.p_fail is None:
        raise ValueError("a risk without p_fail has no horizon")
    likely = [hours for hours, p in sorted(risk.p_fail.items()) if p >= 0.5]
    return likely[0] if likely else max(risk.p_fail)


def _window(assessment: Assessment) -> Window:
    quantiles = assessment.quantiles_h or (None, None, None)
    p10, p50, p90 = (
        None
        if hours is None or not math.isfinite(hours)
        else assessment.ts_ms + round(hours * HOUR_MS)
        for hours in quantiles
    )
    return Window(p10, p50, p90, beyond_horizon=assessment.beyond_horizon)


def _is_blind(assessment: Assessment, faults: Mapping[str, str], kind: KindSpec) -> bool:
    """Tell whether sensors at fault leave nothing to go by.

    So it is when one of them drives the risk, or when half of what shows the condition is at fault.
    """
    if not faults:
        return False
    if any(driver.signal in faults and driver.contribution > 0 for driver in assessment.drivers):
        return True
    condition = [name for name, spec in kind.signals.items() if spec.role == "condition"]
    return bool(condition) and 2 * sum(name in faults for name in condition) >= len(condition)


def _finite(p_fail: dict[int, float] | None) -> dict[int, float] | None:
    """Keep the horizons the model can speak of; past its last edge it gives NaN."""
    if p_fail is None:
        return None
    return {int(h): _unit(p) for h, p in sorted(p_fail.items()) if math.isfinite(p)}


def _finite_or_none(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _unit(p: float) -> float:
    """Keep a probability in [0, 1] despite rounding."""
    return min(max(float(p), 0.0), 1.0)

"""From a probability to a severity: thresholds, hysteresis, lead time. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from plant.risk import SEVERITIES, Risk, Severity
from plant.times import HOUR_MS
from serve.settings import SeveritySettings, Thresholds

_ORDER = {severity: rank for rank, severity in enumerate(SEVERITIES)}


def rank(severity: Severity) -> int:
    """Return 0 for normal up to 3 for critical."""
    return _ORDER[severity]


def grade(
    p: float,
    p50_h: float | None,
    thresholds: Thresholds,
    *,
    hysteresis: float,
    lead_time_h: float,
    held: Severity = "normal",
) -> Severity:
    """Return the severity of a failure probability `p` within the horizon.

    `p50_h` is hours until the median failure time (None: beyond what the model sees). `held` is the
    severity so far: it ends only below its threshold times (1 - hysteresis), so noise around a
    threshold does not flap.
    """
    if p50_h is not None and p50_h < lead_time_h:
        return "critical"
    steps: tuple[tuple[Severity, float], ...] = (
        ("critical", thresholds.critical),
        ("warning", thresholds.warning),
        ("advisory", thresholds.advisory),
    )
    return _first_reached(p, steps, hysteresis, held)


def grade_risk(
    risk: Risk, settings: SeveritySettings, kind: str, held: Severity = "normal"
) -> Severity | None:
    """Return the severity of a risk as the settings see it; None where it cannot be known.

    Stale, faulty or missing data say nothing about the machine, neither good nor bad.
    """
    if risk.p_fail is not None and risk.window is not None and risk.status == "ok":
        p50_ms = risk.window.p50_ms
        return grade(
            p_within(risk, settings.horizon_h),
            None if p50_ms is None else (p50_ms - risk.ts_ms) / HOUR_MS,
            settings.of_kind(kind),
            hysteresis=settings.hysteresis,
            lead_time_h=settings.lead_time_h,
            held=held,
        )
    if risk.status == "deviation_only" and risk.deviation is not None:
        return grade_deviation(risk.deviation, settings, held)
    return None


def grade_deviation(
    deviation: float, settings: SeveritySettings, held: Severity = "normal"
) -> Severity:
    """Return the severity of a distance from healthy behaviour; never critical without a model."""
    steps: tuple[tuple[Severity, float], ...] = (
        ("warning", settings.deviation_warning),
        ("advisory", settings.deviation_advisory),
    )
    return _first_reached(deviation, steps, settings.hysteresis, held)


def _first_reached(
    value: float, steps: tuple[tuple[Severity, float], ...], hysteresis: float, held: Severity
) -> Severity:
    """Return the highest severity whose threshold is reached; held ones keep a lower threshold."""
    for severity, threshold in steps:
        factor = 1.0 - hysteresis if rank(severity) <= rank(held) else 1.0
        if value >= threshold * factor:
            return severity
    return "normal"


def p_within(risk: Risk, hours: float) -> float:
    """Return the probability of failing within `hours`: as published, or else from the curve.

    Between known points the probability is interpolated; past the last one it is the last one's,
    which is a lower bound. Zero for a risk without any.
    """
    if risk.p_fail is not None and hours in risk.p_fail:
        return risk.p_fail[int(hours)]
    known = sorted(risk.p_fail.items()) if risk.p_fail is not None else []
    points = [(0.0, 0.0)]
    points += (
        [(h, 1.0 - s) for h, s in risk.curve if h > 0]
        if risk.curve
        else [(float(h), p) for h, p in known]
    )
    return interpolate(points, hours)


def interpolate(points: Sequence[tuple[float, float]], x: float) -> float:
    """Interpolate linearly between ascending points, constant outside them."""
    previous = points[0]
    for point in points:
        if point[0] >= x:
            if point[0] == previous[0]:
                return point[1]
            share = (x - previous[0]) / (point[0] - previous[0])
            return previous[1] + share * (point[1] - previous[1])
        previous = point
    return previous[1]

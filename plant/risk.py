"""The risk message `vigie.risk.v1`: what Vigie says about one machine at one moment.

Never a confident zero: without enough data `p_fail` and `window` are None and `status` says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from plant.asset import AssetPath
from plant.errors import DataError
from plant.times import from_iso, to_iso

SCHEMA = "vigie.risk.v1"
Status = Literal[
    "ok", "insufficient_data", "stale", "sensor_fault", "maintenance", "deviation_only"
]
Severity = Literal["normal", "advisory", "warning", "critical"]
STATUSES: tuple[str, ...] = get_args(Status)
SEVERITIES: tuple[str, ...] = get_args(Severity)
HORIZONS_H = (8, 24, 72, 168)


@dataclass(frozen=True, slots=True)
class Window:
    """When it is likely to fail: 10 %, 50 %, 90 % points, epoch ms; None past what the model sees."""

    p10_ms: int | None
    p50_ms: int | None
    p90_ms: int | None
    beyond_horizon: bool = False


@dataclass(frozen=True, slots=True)
class ModeRisk:
    """The most likely failure mode and its probability given that the asset fails."""

    code: str
    label: str
    p: float


@dataclass(frozen=True, slots=True)
class Driver:
    """A signal that pushes the risk. `contribution` is in log-odds of the hazard, signed."""

    signal: str
    feature: str
    value: float | None
    unit: str
    contribution: float
    direction: Literal["rising", "falling", "high", "low", "other"]


@dataclass(frozen=True, slots=True)
class Risk:
    """One assessment. `p_fail` maps hours to probabilities.

    `curve` holds (hours, survival probability) pairs for the store and the schedule; it is not
    part of the published message.
    """

    asset: AssetPath
    ts_ms: int
    valid_until_ms: int
    status: Status
    severity: Severity
    p_fail: Mapping[int, float] | None
    window: Window | None
    mode: ModeRisk | None
    drivers: tuple[Driver, ...]
    deviation: float | None
    sentence: str
    action: str
    alarm_id: str
    model_id: str
    model_trained_ms: int | None
    simulated: bool = False
    run_id: str = ""
    curve: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if (self.p_fail is None) != (self.window is None):
            raise DataError("a risk needs both p_fail and window, or neither.")
        if self.status == "ok" and self.p_fail is None:
            raise DataError(
                "a risk with status ok needs p_fail; use another status to say why not."
            )


def risk_to_dict(risk: Risk) -> dict[str, Any]:
    """Write the message of the contract, ready for JSON."""
    window = risk.window
    return {
        "schema": SCHEMA,
        "asset": str(risk.asset),
        "ts": to_iso(risk.ts_ms),
        "valid_until": to_iso(risk.valid_until_ms),
        "status": risk.status,
        "severity": risk.severity,
        "p_fail": None if risk.p_fail is None else {f"{h}h": p for h, p in risk.p_fail.items()},
        "window": None
        if window is None
        else {
            "p10": _iso_or_none(window.p10_ms),
            "p50": _iso_or_none(window.p50_ms),
            "p90": _iso_or_none(window.p90_ms),
            "beyond_horizon": window.beyond_horizon,
        },
        "mode": None
        if risk.mode is None
        else {"code": risk.mode.code, "label": risk.mode.label, "p": risk.mode.p},
        "drivers": [
            {
                "signal": d.signal,
                "feature": d.feature,
                "value": d.value,
                "unit": d.unit,
                "contribution": d.contribution,
                "direction": d.direction,
            }
            for d in risk.drivers
        ],
        "deviation": risk.deviation,
        "sentence": risk.sentence,
        "action": risk.action,
        "alarm_id": risk.alarm_id,
        "model": {"id": risk.model_id, "trained": _iso_or_none(risk.model_trained_ms)},
        "simulated": risk.simulated,
        "run_id": risk.run_id,
    }


def risk_from_dict(message: Mapping[str, Any], curve: tuple[tuple[float, float], ...] = ()) -> Risk:
    """Read a message written by `risk_to_dict`. Raises DataError when it is not one."""
    if message.get("schema") != SCHEMA:
        raise DataError(f"the message's schema is {message.get('schema')!r}, not {SCHEMA}.")
    window, mode, p_fail = message["window"], message["mode"], message["p_fail"]
    return Risk(
        asset=AssetPath.parse(message["asset"]),
        ts_ms=from_iso(message["ts"]),
        valid_until_ms=from_iso(message["valid_until"]),
        status=message["status"],
        severity=message["severity"],
        p_fail=None if p_fail is None else {int(h.rstrip("h")): p for h, p in p_fail.items()},
        window=None
        if window is None
        else Window(
            _ms_or_none(window["p10"]),
            _ms_or_none(window["p50"]),
            _ms_or_none(window["p90"]),
            window["beyond_horizon"],
        ),
        mode=None if mode is None else ModeRisk(mode["code"], mode["label"], mode["p"]),
        drivers=tuple(Driver(**driver) for driver in message["drivers"]),
        deviation=message["deviation"],
        sentence=message["sentence"],
        action=message["action"],
        alarm_id=message["alarm_id"],
        model_id=message["model"]["id"],
        model_trained_ms=_ms_or_none(message["model"]["trained"]),
        simulated=message["simulated"],
        run_id=message["run_id"],
        curve=curve,
    )


def _iso_or_none(ts_ms: int | None) -> str | None:
    return None if ts_ms is None else to_iso(ts_ms)


def _ms_or_none(text: str | None) -> int | None:
    return None if text is None else from_iso(text)

"""A small plant and risks of it, shared by the tests of serve."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from models.score import Assessment
from plant.asset import AssetPath
from plant.config import Plant, parse_plant
from plant.risk import (
    HORIZONS_H,
    SEVERITIES,
    STATUSES,
    Driver,
    ModeRisk,
    Risk,
    Window,
)
from plant.times import HOUR_MS

T0 = 1_763_800_000_000
PUMP = AssetPath("lyon", "l1", "pump-3")

PLANT: Plant = parse_plant(
    """
name = "works"
[sites.lyon]
timezone = "Europe/Paris"
[sites.lyon.lines.l1]
stoppage_cost_per_h = 2000
[sites.lyon.lines.l2]
[kinds.pump]
label = "centrifugal pump"
[kinds.pump.signals.vibration_rms]
unit = "mm/s"
[kinds.pump.signals.temperature]
unit = "°C"
[kinds.pump.signals.flow]
unit = "m3/h"
role = "operating"
[kinds.pump.modes.BRD]
label = "bearing wear"
action = "Replace the bearing"
duration_h = 6
planned_cost = 1800
unplanned_cost = 9000
[kinds.pump.modes.SEAL]
label = "seal leak"
skill = "fitter"
duration_h = 4
[[assets]]
path = "lyon/l1/pump-3"
kind = "pump"
[[assets]]
path = "lyon/l1/pump-4"
kind = "pump"
[[assets]]
path = "lyon/l2/pump-9"
kind = "pump"
[[crews]]
name = "lyon-mech"
site = "lyon"
skills = ["mechanic"]
alarm_budget_per_week = 6
"""
)


def curve_of(p_by_hour: dict[int, float]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return edges and survival of a curve that goes through the given points."""
    hours = sorted(p_by_hour)
    return np.array([0.0, *hours]), np.array([1.0, *(1 - p_by_hour[h] for h in hours)])


def assessment(
    p: float = 0.62,
    *,
    asset: AssetPath = PUMP,
    ts_ms: int = T0,
    quantiles_h: tuple[float, float, float] | None = (30.0, 120.0, float("inf")),
    **changes: Any,
) -> Assessment:
    """Return an assessment whose probability within 168 h is `p`."""
    p_fail = {8: p / 20, 24: p / 7, 72: p / 2, 168: p}
    edges, survival = curve_of(p_fail)
    fields: dict[str, Any] = {
        "asset": str(asset),
        "ts_ms": ts_ms,
        "status": "ok",
        "edges_h": edges,
        "survival": survival,
        "p_fail": p_fail,
        "quantiles_h": quantiles_h,
        "beyond_horizon": False,
        "mode": ("BRD", 0.71),
        "drivers": (
            Driver("vibration_rms", "vibration_rms.24h.slope", 0.11, "mm/s/h", 0.42, "rising"),
        ),
        "deviation": 2.7,
        "model_id": "pump-20261101-abc",
        "trained_ms": T0 - 1000 * HOUR_MS,
    }
    return Assessment(**(fields | changes))


def risk_at(
    ts_ms: int,
    p72: float | None,
    *,
    asset: AssetPath = PUMP,
    mode: str = "BRD",
    mode_p: float = 0.8,
    status: str = "ok",
    p50_h: float | None = None,
) -> Risk:
    """Return a risk with a given probability within 72 h."""
    known = p72 is not None and status == "ok"
    return Risk(
        asset=asset,
        ts_ms=ts_ms,
        valid_until_ms=ts_ms + HOUR_MS,
        status=status,  # type: ignore[arg-type]
        severity="normal",
        p_fail={24: p72 / 2, 72: p72, 168: min(1.0, 1.5 * p72)}
        if known and p72 is not None
        else None,
        window=Window(
            None, None if p50_h is None else ts_ms + round(p50_h * HOUR_MS), None, p50_h is None
        )
        if known
        else None,
        mode=ModeRisk(mode, mode.lower(), mode_p) if known and mode else None,
        drivers=(),
        deviation=None,
        sentence=f"p72 {p72}",
        action="",
        alarm_id="",
        model_id="m",
        model_trained_ms=None,
    )


segments = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True).filter(
    lambda s: s not in {".", ".."}
)
paths = st.builds(AssetPath, segments, segments, segments)
moments = st.integers(min_value=0, max_value=4_000_000_000_000)
probabilities = st.floats(min_value=0, max_value=1)
finite = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def risks(draw: st.DrawFn) -> Risk:
    """Draw any risk the type allows."""
    status = draw(st.sampled_from(STATUSES))
    known = status == "ok" or draw(st.booleans())
    return Risk(
        asset=draw(paths),
        ts_ms=draw(moments),
        valid_until_ms=draw(moments),
        status=status,  # type: ignore[arg-type]
        severity=draw(st.sampled_from(SEVERITIES)),  # type: ignore[arg-type]
        p_fail={h: draw(probabilities) for h in HORIZONS_H[: draw(st.integers(1, 4))]}
        if known
        else None,
        window=draw(
            st.builds(
                Window,
                st.none() | moments,
                st.none() | moments,
                st.none() | moments,
                st.booleans(),
            )
        )
        if known
        else None,
        mode=draw(st.none() | st.builds(ModeRisk, segments, st.text(max_size=40), probabilities)),
        drivers=tuple(
            draw(
                st.lists(
                    st.builds(
                        Driver,
                        st.text(max_size=20),
                        st.text(max_size=40),
                        st.none() | finite,
                        st.text(max_size=10),
                        finite,
                        st.sampled_from(["rising", "falling", "high", "low", "other"]),
                    ),
                    max_size=3,
                )
            )
        ),
        deviation=draw(st.none() | finite),
        sentence=draw(st.text(max_size=80)),
        action=draw(st.text(max_size=40)),
        alarm_id=draw(st.text(max_size=20)),
        model_id=draw(st.text(max_size=20)),
        model_trained_ms=draw(st.none() | moments),
        simulated=draw(st.booleans()),
        run_id=draw(st.text(max_size=20)),
    )

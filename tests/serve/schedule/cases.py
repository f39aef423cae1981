"""A small plant with two lines, crews, breaks and parts, and risks for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from plant.asset import AssetPath
from plant.config import Plant
from plant.risk import ModeRisk, Risk, Window
from plant.times import HOUR_MS, from_iso

NOW = from_iso("2026-03-23T06:00:00Z")  # a Monday; the clocks change on the 29th

TOML: dict[str, Any] = {
    "name": "Acme",
    "sites": {
        "lyon": {
            "timezone": "Europe/Paris",
            "lines": {
                "l1": {"stoppage_cost_per_h": 1000, "max_concurrent": 1},
                "l2": {"stoppage_cost_per_h": 500, "max_concurrent": 2},
            },
        }
    },
    "kinds": {
        "pump": {
            "modes": {
                "BRG": {
                    "label": "bearing wear",
                    "action": "Replace the bearing.",
                    "duration_h": 4,
                    "planned_cost": 1200,
                    "unplanned_cost": 9000,
                    "parts": {"bearing": 1},
                },
                "CAV": {
                    "label": "cavitation",
                    "action": "Change the impeller.",
                    "skill": "hydraulics",
                    "duration_h": 2,
                    "planned_cost": 900,
                    "unplanned_cost": 6000,
                },
            }
        }
    },
    "assets": [{"path": f"lyon/l{1 + n // 3}/pump-{n}", "kind": "pump"} for n in range(6)],
    "crews": [
        {
            "name": "early",
            "site": "lyon",
            "skills": ["mechanic", "hydraulics"],
            "size": 1,
            "shifts": [
                {"days": ["mon", "tue", "wed", "thu", "fri"], "start": "06:00", "end": "14:00"}
            ],
        },
        {
            "name": "weekend",
            "site": "lyon",
            "skills": ["mechanic"],
            "size": 2,
            "cost_per_h": 60,
            "shifts": [{"days": ["sat", "sun"], "start": "06:00", "end": "14:00"}],
        },
    ],
    "breaks": [{"site": "lyon", "days": ["sat", "sun"], "start": "00:00", "end": "00:00"}],
    "parts": {"bearing": {"stock": 3, "lead_time_d": 10, "cost": 150}},
}


def plant(**changes: Any) -> Plant:
    """Return the plant, some of its tables replaced."""
    return Plant.model_validate(TOML | changes)


def curve(median_h: float, shape: float = 2.5) -> tuple[tuple[float, float], ...]:
    """Return a Weibull survival curve with this median, as a model publishes it."""
    hours = np.array([1, 4, 8, 24, 48, 72, 120, 168, 240, 336, 504, 672, 1000])
    survival = np.exp(-np.log(2) * (hours / median_h) ** shape)
    return tuple((float(h), float(s)) for h, s in zip(hours, survival, strict=True))


def risk(
    asset: str, median_h: float, mode: str = "BRG", *, ts_ms: int = NOW, **changes: Any
) -> Risk:
    """Return an assessment of one machine."""
    points = curve(median_h)
    table = {h: float(1 - np.interp(h, *zip(*points, strict=True))) for h in (8, 24, 72, 168)}
    values: dict[str, Any] = {
        "asset": AssetPath.parse(asset),
        "ts_ms": ts_ms,
        "valid_until_ms": ts_ms + HOUR_MS,
        "status": "ok",
        "severity": "warning",
        "p_fail": table,
        "window": Window(None, None, None, beyond_horizon=True),
        "mode": ModeRisk(mode, "bearing wear" if mode == "BRG" else "cavitation", 0.8),
        "drivers": (),
        "deviation": 1.0,
        "sentence": "Vibration has risen 0.11 mm/s/h for a day.",
        "action": "",
        "alarm_id": "",
        "model_id": "m1",
        "model_trained_ms": NOW,
        "curve": points,
    }
    return Risk(**(values | changes))


def risks() -> list[Risk]:
    """Return risks of all six pumps, from urgent to healthy."""
    medians = (90, 200, 400, 150, 160, 5000)
    modes = ("BRG", "CAV", "BRG", "BRG", "BRG", "CAV")
    return [
        risk(f"lyon/l{1 + n // 3}/pump-{n}", m, mode)
        for n, (m, mode) in enumerate(zip(medians, modes, strict=True))
    ]

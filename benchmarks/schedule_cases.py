"""Seeded planning questions: plants, crews, breaks, parts and survival curves of any size."""

from __future__ import annotations

from datetime import datetime, time
from typing import Any

import numpy as np

from plant.asset import AssetPath
from plant.config import Plant
from plant.times import HOUR_MS, from_iso
from serve.schedule.curve import Survival
from serve.schedule.job import Job, Request
from serve.schedule.settings import ScheduleSettings

NOW_MS = from_iso("2026-03-23T06:00:00Z")  # the clocks change in Europe on the 29th
SKILLS = ("mechanic", "electrician", "hydraulics")


def make_request(
    seed: int,
    *,
    jobs: int = 200,
    crews: int = 5,
    per_line: int = 10,
    horizon_d: float = 28.0,
    limit: int = 2,
    crew_size: int = 3,
    median_h: float = 450.0,
    **settings: Any,
) -> Request:
    """Return a planning question: `jobs` machines on lines of `per_line`, weekend and night breaks."""
    rng = np.random.default_rng(seed)
    n_lines = max(1, -(-jobs // per_line))
    plant = _plant(rng, n_lines, crews, limit, crew_size)
    curves = [_curve(rng, median_h) for _ in range(jobs)]
    items = []
    for index in range(jobs):
        asset = AssetPath("lyon", f"l{index // per_line}", f"m{index}")
        duration = float(rng.choice([1, 2, 3, 4, 6, 8], p=[0.1, 0.25, 0.2, 0.25, 0.15, 0.05]))
        planned = float(rng.uniform(400, 3000))
        items.append(
            Job(
                asset=asset,
                mode="BRG",
                label="bearing wear",
                action="Replace the bearing.",
                skill=str(rng.choice(SKILLS[: max(1, min(3, crews))], p=None)),
                crew_size=int(rng.choice([1, 1, 2])) if crew_size > 1 else 1,
                duration_h=duration,
                corrective_duration_h=2 * duration,
                planned_cost=planned,
                unplanned_cost=planned * float(rng.uniform(3, 10)),
                parts={"seal": 1} if rng.random() < 0.15 else {},
                stoppage_cost_per_h=plant.line_spec(asset).stoppage_cost_per_h,
                survival=curves[index],
                key=f"VG-{index:04d}",
            )
        )
    return Request(
        plant=plant,
        settings=ScheduleSettings(horizon_d=horizon_d, **settings),
        now_ms=NOW_MS,
        jobs=tuple(items),
    )


def _plant(
    rng: np.random.Generator, n_lines: int, n_crews: int, limit: int, crew_size: int
) -> Plant:
    lines = {
        f"l{k}": {
            "stoppage_cost_per_h": float(rng.uniform(200, 1500)),
            "max_concurrent": int(rng.integers(1, limit + 1)),
        }
        for k in range(n_lines)
    }
    crews = []
    for k in range(n_crews):
        start = (6, 14, 22)[k % 3]
        days: tuple[str, ...] = ("mon", "tue", "wed", "thu", "fri")
        if k == n_crews - 1:
            days = ("wed", "thu", "fri", "sat", "sun")
        skills = {SKILLS[k % len(SKILLS)], "mechanic"} if n_crews > 1 else set(SKILLS)
        if n_crews > 1 and k >= n_crews - 2:
            skills = set(SKILLS)
        crews.append(
            {
                "name": f"crew-{k}",
                "site": "lyon",
                "skills": tuple(sorted(skills)),
                "size": int(rng.integers(1, crew_size + 1)) if crew_size > 1 else 1,
                "cost_per_h": float(rng.choice([0, 40, 60])),
                "shifts": ({"days": days, "start": time(start), "end": time((start + 8) % 24)},),
            }
        )
    crews[-1]["size"] = crew_size  # somebody can do every job
    return Plant.model_validate(
        {
            "sites": {"lyon": {"timezone": "Europe/Paris", "lines": lines}},
            "crews": crews,
            "breaks": [
                {"site": "lyon", "days": ("sat", "sun"), "start": time(0), "end": time(0)},
                {
                    "site": "lyon",
                    "line": "l0",
                    "days": ("wed",),
                    "start": time(12),
                    "end": time(16),
                },
                {
                    "site": "lyon",
                    "from": datetime.fromisoformat("2026-04-03T00:00:00+02:00"),
                    "to": datetime.fromisoformat("2026-04-04T00:00:00+02:00"),
                    "note": "Good Friday",
                },
            ],
            "parts": {"seal": {"stock": max(2, n_lines // 2), "lead_time_d": 10.0, "cost": 80.0}},
        }
    )


def _curve(rng: np.random.Generator, median_h: float) -> Survival:
    """Return a Weibull survival curve, tabulated as a model would publish it."""
    shape = rng.uniform(1.2, 4.0)
    scale_h = float(rng.lognormal(np.log(median_h), 0.8))
    hours = np.array([1, 4, 8, 24, 48, 72, 120, 168, 336, 504, 672, 1000])
    survival = np.exp(-((hours / scale_h) ** shape))
    return Survival(list(zip(hours, survival, strict=True)), 0.0, 180 * 24)


HOUR = HOUR_MS

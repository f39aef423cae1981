"""What a start costs: the formulas of docs/schedule.md, used by the optimiser (the verifier has its own)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plant.config import CrewSpec
from plant.times import HOUR_MS
from serve.schedule.job import Job, Request

Floats = NDArray[np.float64]


def repair_costs(request: Request, job: Job) -> tuple[float, float]:
    """Return (repair by plan, repair after a failure).

    By plan: the mode's planned cost and its parts. After a failure: the mode's unplanned cost, its
    parts, and the line standing still for the corrective duration.
    """
    known = request.plant.parts
    parts = sum(known[name].cost * count for name, count in job.parts.items() if name in known)
    stopped = job.corrective_duration_h * job.stoppage_cost_per_h
    return job.planned_cost + parts, job.unplanned_cost + parts + stopped


def start_cost(request: Request, job: Job, start_ms: NDArray[np.int64]) -> Floats:
    """Return what starting at each moment costs, without labour and the planned stoppage.

    repair by plan + P(fails before the start) · repair after a failure + life thrown away; an hour
    of life is worth the planned repair divided by the life a repair usually buys.
    """
    planned, unplanned = repair_costs(request, job)
    t_h = (start_ms - request.now_ms) / HOUR_MS
    an_hour = planned / (request.settings.typical_life_d * 24)
    cost: Floats = (
        planned + job.survival.p_fail(t_h) * unplanned + an_hour * job.survival.life_left(t_h)
    )
    return cost


def labour_cost(crew: CrewSpec, job: Job) -> float:
    """Return what the crew's hours cost."""
    return crew.cost_per_h * job.crew_size * job.duration_h


def later_cost(request: Request, job: Job, producing_share: float) -> float:
    """Return what giving a job no slot costs: failing within the horizon, or an average stop later."""
    planned, unplanned = repair_costs(request, job)
    wages = [labour_cost(crew, job) for crew in request.plant.crews if can_do(crew, job)]
    stop = job.duration_h * job.stoppage_cost_per_h * producing_share
    p_fail = float(job.survival.p_fail(request.settings.horizon_d * 24))
    return planned + min(wages, default=0.0) + stop + p_fail * unplanned


def can_do(crew: CrewSpec, job: Job) -> bool:
    """Tell whether a crew has the skill, the people and the site for a job."""
    return (
        job.skill in crew.skills
        and crew.size >= job.crew_size
        and crew.site in {None, job.asset.site}
    )

"""The work to plan: one job per asset and failure mode, with what it takes and what it saves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from plant.asset import AssetPath
from plant.config import ModeSpec, Plant
from plant.risk import Risk
from plant.times import HOUR_MS
from serve.schedule.curve import Survival
from serve.schedule.settings import ScheduleSettings

JobId = tuple[str, str]
"""(asset path, mode code): what a job is about, however often it is planned anew."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One repair that may be planned. Costs in the plant's currency, durations in hours.

    `survival` is the machine's curve from the planning moment on. `stoppage_cost_per_h` is its
    line's. `key` is the external key that every export carries.
    """

    asset: AssetPath
    mode: str
    label: str
    action: str
    skill: str
    crew_size: int
    duration_h: float
    corrective_duration_h: float
    planned_cost: float
    unplanned_cost: float
    parts: Mapping[str, int]
    stoppage_cost_per_h: float
    survival: Survival
    key: str
    simulated: bool = False
    run_id: str = ""
    evidence: str = ""

    @property
    def id(self) -> JobId:
        """What the job is about."""
        return (str(self.asset), self.mode)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the planner asked for: a fixed start (with a crew or any), or to stay away until then."""

    job: JobId
    pinned_ms: int | None = None
    crew: str = ""
    not_before_ms: int | None = None
    who: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a job stood in the plan before: it moves from there only for a gain."""

    crew: str
    start_ms: int
    key: str = ""
    opened_ms: int = 0


@dataclass(frozen=True, slots=True)
class UnderWay:
    """Work that has begun or begins within the notice: it takes people and place, and stays."""

    crew: str
    line_path: str
    start_ms: int
    stop_ms: int
    crew_size: int
    parts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One planning question, self-contained: whoever holds it can solve it or check an answer."""

    plant: Plant
    settings: ScheduleSettings
    now_ms: int
    jobs: tuple[Job, ...]
    wishes: Mapping[JobId, Wish] = field(default_factory=dict)
    before: Mapping[JobId, Slot] = field(default_factory=dict)
    under_way: tuple[UnderWay, ...] = ()

    def stock(self, part: str) -> int:
        """Return how many of a part work under way leaves in stock."""
        spec = self.plant.parts.get(part)
        used = sum(work.parts.get(part, 0) for work in self.under_way)
        return max(spec.stock - used, 0) if spec is not None else 0


def job_key(asset: AssetPath, mode: str, opened_ms: int) -> str:
    """Return the external key of a need for repair: the same until that need is met."""
    text = f"{asset}|{mode}|{opened_ms}"
    return "VG-" + hashlib.sha256(text.encode()).hexdigest()[:12].upper()


def make_jobs(
    plant: Plant,
    risks: Iterable[Risk],
    now_ms: int,
    settings: ScheduleSettings,
    before: Mapping[JobId, Slot] | None = None,
) -> tuple[Job, ...]:
    """Return a job for each machine likely enough to fail within the horizon, in path order.

    A machine without a failure probability (too little data, stale, under maintenance) gets none:
    the plan never rests on a guess.
    """
    before = before or {}
    jobs = []
    for risk in sorted(risks, key=lambda r: str(r.asset)):
        curve = risk.curve or _coarse(risk)
        if not curve or risk.status in {"stale", "maintenance", "insufficient_data"}:
            continue
        longest_h = settings.typical_life_d * 24
        survival = Survival(curve, max(now_ms - risk.ts_ms, 0) / HOUR_MS, longest_h)
        if float(survival.p_fail(settings.horizon_d * 24)) < settings.min_p_fail:
            continue
        mode, spec = _mode(plant, risk)
        slot = before.get((str(risk.asset), mode))
        jobs.append(
            Job(
                asset=risk.asset,
                mode=mode,
                label=spec.label,
                action=risk.action or spec.action,
                skill=spec.skill,
                crew_size=spec.crew_size,
                duration_h=spec.duration_h,
                corrective_duration_h=spec.corrective_duration_h,
                planned_cost=spec.planned_cost,
                unplanned_cost=spec.unplanned_cost,
                parts=dict(spec.parts),
                stoppage_cost_per_h=plant.line_spec(risk.asset).stoppage_cost_per_h,
                survival=survival,
                key=slot.key if slot and slot.key else job_key(risk.asset, mode, now_ms),
                simulated=risk.simulated,
                run_id=risk.run_id,
                evidence=risk.sentence,
            )
        )
    return tuple(jobs)


def _coarse(risk: Risk) -> tuple[tuple[float, float], ...]:
    """Return the published probabilities as a curve, for a risk that came without one."""
    return tuple((float(h), 1.0 - p) for h, p in sorted((risk.p_fail or {}).items()))


def _mode(plant: Plant, risk: Risk) -> tuple[str, ModeSpec]:
    """Return the mode's code and description; a general repair when the mode is not configured."""
    modes = plant.kind_spec(risk.asset).modes
    if risk.mode is not None:
        code = risk.mode.code
        return code, modes.get(code) or ModeSpec(label=risk.mode.label or code)
    if len(modes) == 1:
        return next(iter(modes.items()))
    return "", ModeSpec(label="repair")

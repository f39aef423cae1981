"""The plan as people and exports see it, and as the event log keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from plant.asset import AssetPath
from plant.errors import DataError
from plant.times import from_iso, to_iso

#: proposed: Vigie's own choice; pinned: fixed by the planner; later: no slot in the horizon;
#: cancelled: was planned, is not needed any more; done: the work was reported.
State = Literal["proposed", "pinned", "later", "cancelled", "done"]


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """One line of the plan. Times are epoch ms, costs in the plant's currency.

    `key` stays the same until the need is met; `revision` rises whenever slot, crew or state change.
    `wait_cost` is what starting a week later would cost more; `reason` names why this slot was taken
    (see `serve.schedule.words`); `displaced` and `displaced_by` hold asset paths; `moved_from_ms` and
    `gain` tell where a moved job stood and what the move gains.
    """

    key: str
    asset: AssetPath
    mode: str
    label: str
    action: str
    state: State
    revision: int
    opened_ms: int
    crew: str
    start_ms: int | None
    stop_ms: int | None
    duration_h: float
    skill: str
    crew_size: int
    parts: Mapping[str, int]
    planned_cost: float
    expected_cost: float
    stoppage_h: float
    break_h: float
    p_fail_before: float
    p_fail_week_later: float
    wait_cost: float
    reason: str
    together_with: tuple[str, ...] = ()
    displaced: tuple[str, ...] = ()
    displaced_by: tuple[str, ...] = ()
    displaced_cost: float = 0.0
    moved_from_ms: int | None = None
    gain: float = 0.0
    evidence: str = ""
    note: str = ""
    simulated: bool = False
    run_id: str = ""

    @property
    def id(self) -> tuple[str, str]:
        """What the job is about: (asset path, mode)."""
        return (str(self.asset), self.mode)

    @property
    def open(self) -> bool:
        """Whether the work is still to be done."""
        return self.state in {"proposed", "pinned", "later"}


@dataclass(frozen=True, slots=True)
class Plan:
    """All jobs, and how good the plan is.

    `cost` is the expected cost of the open jobs; `bound`: no plan can cost less; `gap` = (cost -
    bound) / cost; `greedy_cost` for comparison; `method` is `optimiser` or `greedy`; `orders` the
    parts to order now; `violations` what the independent verifier objects to (empty in health).
    """

    made_ms: int
    start_ms: int
    stop_ms: int
    currency: str
    jobs: tuple[PlannedJob, ...]
    cost: float
    bound: float
    gap: float
    greedy_cost: float
    method: str
    seconds: float
    orders: Mapping[str, int]
    notes: tuple[str, ...] = ()
    violations: tuple[str, ...] = ()

    def job(self, key: str) -> PlannedJob | None:
        """Return the job with this key, if there is one."""
        return next((job for job in self.jobs if job.key == key), None)


def in_order(jobs: Iterable[PlannedJob]) -> tuple[PlannedJob, ...]:
    """Return open jobs by start, those without a slot, then closed ones."""
    rank = {"pinned": 0, "proposed": 0, "later": 1, "cancelled": 2, "done": 2}
    return tuple(sorted(jobs, key=lambda j: (rank[j.state], j.start_ms or 0, j.key)))


def job_to_dict(job: PlannedJob) -> dict[str, Any]:
    """Write a job for JSON and for the event log."""
    values = asdict(job) | {"asset": str(job.asset), "parts": dict(job.parts)}
    for name in ("start", "stop", "opened", "moved_from"):
        ts_ms = values.pop(f"{name}_ms")
        values[name] = None if ts_ms is None else to_iso(ts_ms)
    for name in ("together_with", "displaced", "displaced_by"):
        values[name] = list(values[name])
    return values


def job_from_dict(values: Mapping[str, Any]) -> PlannedJob:
    """Read what `job_to_dict` wrote. Raises DataError when it is something else."""
    try:
        copy = dict(values)
        for name in ("start", "stop", "opened", "moved_from"):
            text = copy.pop(name)
            copy[f"{name}_ms"] = None if text is None else from_iso(text)
        for name in ("together_with", "displaced", "displaced_by"):
            copy[name] = tuple(copy[name])
        copy["asset"] = AssetPath.parse(copy["asset"])
        known = {field.name for field in fields(PlannedJob)}
        return PlannedJob(**{name: value for name, value in copy.items() if name in known})
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"a stored job of the plan cannot be read ({error!r}).") from error


def plan_to_dict(plan: Plan) -> dict[str, Any]:
    """Write the plan for JSON."""
    return plan_head(plan) | {"jobs": [job_to_dict(job) for job in plan.jobs]}


def plan_head(plan: Plan) -> dict[str, Any]:
    """Write what is said of the plan as a whole."""
    finite = plan.bound > float("-inf")
    return {
        "made": to_iso(plan.made_ms),
        "start": to_iso(plan.start_ms),
        "stop": to_iso(plan.stop_ms),
        "currency": plan.currency,
        "cost": plan.cost,
        "bound": plan.bound if finite else None,
        "gap": plan.gap if finite else None,
        "greedy_cost": plan.greedy_cost,
        "method": plan.method,
        "seconds": plan.seconds,
        "orders": dict(plan.orders),
        "notes": list(plan.notes),
        "violations": list(plan.violations),
    }


def plan_from_parts(head: Mapping[str, Any], jobs: tuple[PlannedJob, ...]) -> Plan:
    """Put a plan together again from its head and its jobs."""
    bound, gap = head["bound"], head["gap"]
    return Plan(
        made_ms=from_iso(head["made"]),
        start_ms=from_iso(head["start"]),
        stop_ms=from_iso(head["stop"]),
        currency=head["currency"],
        jobs=jobs,
        cost=head["cost"],
        bound=float("-inf") if bound is None else bound,
        gap=float("inf") if gap is None else gap,
        greedy_cost=head["greedy_cost"],
        method=head["method"],
        seconds=head["seconds"],
        orders=dict(head["orders"]),
        notes=tuple(head["notes"]),
        violations=tuple(head["violations"]),
    )

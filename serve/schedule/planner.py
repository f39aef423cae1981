"""One planning round: jobs from risks, slots from the solver, continuity with the plan before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from plant.config import Plant
from plant.event import Event
from plant.risk import Risk
from plant.times import DAY_MS, HOUR_MS
from serve.schedule.explain import explain
from serve.schedule.job import JobId, Request, Slot, UnderWay, Wish, make_jobs
from serve.schedule.plan import Plan, PlannedJob, in_order
from serve.schedule.settings import ScheduleSettings
from serve.schedule.solve import solve_request
from serve.schedule.verify import Placed, verify

KEEP_CLOSED_MS = 30 * DAY_MS


def plan(
    plant: Plant,
    risks: Iterable[Risk],
    now_ms: int,
    settings: ScheduleSettings,
    *,
    previous: Plan | None = None,
    wishes: Mapping[JobId, Wish] | None = None,
    events: Iterable[Event] = (),
) -> Plan:
    """Return the plan from now on. Pure: the same arguments give the same plan.

    `previous` gives keys, revisions and the slots that are only left for a gain; `events` tell which
    of its jobs were done (maintenance) or came too late (failure).
    """
    soon_ms = now_ms + round(settings.notice_h * HOUR_MS)
    closed, running, slots = _carry_over(previous, tuple(events), now_ms, soon_ms)
    busy = {job.id for job in running}
    jobs = tuple(
        job for job in make_jobs(plant, risks, now_ms, settings, slots) if job.id not in busy
    )
    request = Request(
        plant=plant,
        settings=settings,
        now_ms=now_ms,
        jobs=jobs,
        wishes=dict(wishes or {}),
        before={job_id: slot for job_id, slot in slots.items() if slot.crew},
        under_way=tuple(
            UnderWay(j.crew, j.asset.line_path, j.start_ms, j.stop_ms, j.crew_size, j.parts)
            for j in running
            if j.start_ms is not None and j.stop_ms is not None
        ),
    )
    solution = solve_request(request)
    board = solution.board
    lines = explain(solution.request, board)
    placed = [
        Placed(line.id, line.crew, line.start_ms, line.stop_ms)
        for line in lines
        if line.start_ms is not None and line.stop_ms is not None
    ]
    checked = verify(solution.request, placed)
    fresh = tuple(_with_revision(line, previous) for line in lines)
    cost = board.total(stability=False)
    return Plan(
        made_ms=now_ms,
        start_ms=solution.options.grid.start_ms,
        stop_ms=solution.options.grid.stop_ms,
        currency=plant.currency,
        jobs=in_order((*fresh, *running, *_gone(previous, fresh, closed, busy, now_ms))),
        cost=cost,
        bound=solution.bound,
        gap=solution.gap,
        greedy_cost=solution.greedy_cost,
        method=solution.method,
        seconds=solution.seconds,
        orders=_orders(plant, (*fresh, *running)),
        notes=solution.notes,
        violations=tuple(v.sentence for v in checked.violations),
    )


def _carry_over(
    previous: Plan | None, events: tuple[Event, ...], now_ms: int, soon_ms: int
) -> tuple[dict[str, str], tuple[PlannedJob, ...], dict[JobId, Slot]]:
    """Sort the old plan's open jobs: closed (key → state), under way, and to plan again.

    What starts within the notice counts as under way: the crew has been told.
    """
    closed: dict[str, str] = {}
    running: list[PlannedJob] = []
    slots: dict[JobId, Slot] = {}
    for job in previous.jobs if previous else ():
        if not job.open:
            continue
        state = _closed_by(job, events)
        if state:
            closed[job.key] = state
        elif job.start_ms is not None and job.stop_ms is not None and job.start_ms < soon_ms:
            if now_ms < job.stop_ms:
                running.append(job)
            else:
                slots[job.id] = Slot("", 0, job.key, job.opened_ms)
        else:
            slots[job.id] = Slot(job.crew, job.start_ms or 0, job.key, job.opened_ms)
    return closed, tuple(running), slots


def _closed_by(job: PlannedJob, events: tuple[Event, ...]) -> str:
    """Return `done` or `cancelled` when an event since the job was opened met its need, else empty."""
    for event in events:
        about = not job.mode or event.mode in {"", job.mode} or job.mode in event.scope
        if event.asset != job.asset or event.ts_ms < job.opened_ms:
            continue
        if event.kind == "maintenance" and (about or event.detail.get("job") == job.key):
            return "done"
        if event.kind == "failure" and about:
            return "cancelled"
    return ""


def _with_revision(line: PlannedJob, previous: Plan | None) -> PlannedJob:
    old = previous.job(line.key) if previous else None
    if old is None:
        return line
    same = (old.start_ms, old.stop_ms, old.crew, old.state) == (
        line.start_ms,
        line.stop_ms,
        line.crew,
        line.state,
    )
    if line.state == "later":  # calendars go on showing where it was cancelled
        line = replace(line, moved_from_ms=old.start_ms or old.moved_from_ms)
    return replace(line, revision=old.revision + (0 if same else 1))


def _gone(
    previous: Plan | None,
    fresh: tuple[PlannedJob, ...],
    closed: Mapping[str, str],
    busy: set[JobId],
    now_ms: int,
) -> list[PlannedJob]:
    """Return the old jobs that are not open any more, for as long as calendars should show them."""
    if previous is None:
        return []
    kept = {line.key for line in fresh}
    gone = []
    for job in previous.jobs:
        if job.key in kept or (job.id in busy and job.open):
            continue
        if not job.open:
            if (job.stop_ms or 0) > now_ms - KEEP_CLOSED_MS:
                gone.append(job)
            continue
        if job.start_ms is None:
            continue
        state = "done" if closed.get(job.key) == "done" else "cancelled"
        reason = {"done": "done", "cancelled": "failed_before"}.get(
            closed.get(job.key, ""), "not_needed"
        )
        gone.append(
            replace(
                job,
                state="done" if state == "done" else "cancelled",
                reason=reason,
                revision=job.revision + 1,
                displaced=(),
                displaced_by=(),
                moved_from_ms=None,
                gain=0.0,
            )
        )
    return gone


def _orders(plant: Plant, lines: tuple[PlannedJob, ...]) -> dict[str, int]:
    """Return the parts that planned jobs need beyond the stock."""
    need: dict[str, int] = {}
    for line in lines:
        if line.start_ms is not None:
            for name, count in line.parts.items():
                need[name] = need.get(name, 0) + count
    return {
        name: count - plant.parts[name].stock
        for name, count in sorted(need.items())
        if name in plant.parts and count > plant.parts[name].stock
    }

"""Why this slot: each job's facts beside the alternatives it had."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from plant.times import DAY_MS, HOUR_MS
from serve.schedule.costs import repair_costs, start_cost
from serve.schedule.job import Job, Request
from serve.schedule.options import Options
from serve.schedule.plan import PlannedJob
from serve.schedule.score import Board


def explain(request: Request, board: Board) -> tuple[PlannedJob, ...]:
    """Return the plan's lines, with reason, price of waiting, and who made room for whom."""
    options = board.options
    wanted = [_favourite(board, j) for j in range(len(options.jobs))]
    lines = [_line(request, board, j, wanted[j]) for j in range(len(options.jobs))]
    blockers = [_blockers(board, j, wanted[j]) for j in range(len(options.jobs))]
    for j, mine in enumerate(blockers):
        loss = 0.0 if not mine else _loss(board, j, wanted[j])
        if loss <= 0.01 * options.jobs[j].planned_cost:  # nobody is displaced by a rounding error
            continue
        lines[j] = replace(
            lines[j],
            displaced_by=tuple(str(options.jobs[k].asset) for k in mine),
            displaced_cost=loss,
        )
        for k in mine:
            lines[k] = replace(
                lines[k], displaced=(*lines[k].displaced, str(options.jobs[j].asset))
            )
    return tuple(lines)


def _favourite(board: Board, job: int) -> int:
    """Return the option a job would take on an empty board, or -1."""
    options = board.options
    mine = options.of_job(job)
    if not len(mine):
        return -1
    line = options.line_of[job]
    rate = options.lines.rate[line]
    restart = board.request.settings.restart_h
    cost = options.cost[mine] + rate * (options.stop_h[mine] + restart * (options.stop_h[mine] > 0))
    return int(mine[np.argmin(cost)])


def _blockers(board: Board, job: int, wanted: int) -> list[int]:
    """Return the jobs that stand where this one would have liked to be."""
    options, chosen = board.options, int(board.chosen[job])
    if wanted < 0 or chosen == wanted:
        return []
    busy = set(options.worked(wanted).tolist())
    item = options.jobs[job]
    found = []
    for k, other in enumerate(board.chosen):
        if k == job or other < 0:
            continue
        same_crew = options.crew[other] == options.crew[wanted] and not busy.isdisjoint(
            options.worked(int(other)).tolist()
        )
        same_line = (
            options.line_of[k] == options.line_of[job]
            and options.start[other] < options.stop[wanted]
            and options.stop[other] > options.start[wanted]
        )
        crew_full = options.crews[options.crew[wanted]].size < (
            item.crew_size + options.jobs[k].crew_size
        )
        line_full = options.lines.limit[options.line_of[job]] < 2
        if (same_crew and crew_full) or (same_line and line_full):
            found.append(k)
    return found


def _loss(board: Board, job: int, wanted: int) -> float:
    """Return what a job pays for not having its favourite slot."""
    options, chosen = board.options, int(board.chosen[job])
    rate = options.lines.rate[options.line_of[job]]
    best = float(options.cost[wanted] + rate * options.stop_h[wanted])
    if chosen < 0:
        return float(options.later_cost[job]) - best
    return float(options.cost[chosen] + rate * options.stop_h[chosen]) - best


def _line(request: Request, board: Board, j: int, wanted: int) -> PlannedJob:
    options, job = board.options, board.options.jobs[j]
    option = int(board.chosen[j])
    before, wish = request.before.get(job.id), request.wishes.get(job.id)
    pinned = wish is not None and wish.pinned_ms is not None and option >= 0
    common: dict[str, Any] = {
        "key": job.key,
        "asset": job.asset,
        "mode": job.mode,
        "label": job.label,
        "action": job.action,
        "revision": 0,
        "opened_ms": before.opened_ms if before and before.opened_ms else request.now_ms,
        "duration_h": job.duration_h,
        "skill": job.skill,
        "crew_size": job.crew_size,
        "parts": dict(job.parts),
        "planned_cost": repair_costs(request, job)[0],
        "evidence": job.evidence,
        "note": wish.why if wish else "",
        "simulated": job.simulated,
        "run_id": job.run_id,
    }
    horizon_h = request.settings.horizon_d * 24
    if option < 0:
        p_fail = float(job.survival.p_fail(horizon_h))
        return PlannedJob(
            **common,
            state="later",
            crew="",
            start_ms=None,
            stop_ms=None,
            expected_cost=float(options.later_cost[j]),
            stoppage_h=0.0,
            break_h=0.0,
            p_fail_before=p_fail,
            p_fail_week_later=float(job.survival.p_fail(horizon_h + 168)),
            wait_cost=0.0,
            reason="no_crew" if wanted < 0 else "later",
        )
    start_ms = options.grid.at(int(options.start[option]))
    stop_ms = options.grid.at(int(options.stop[option]))
    line = options.line_of[j]
    shared = _together(board, j, option)
    week = np.array([start_ms, start_ms + 7 * DAY_MS])
    now_cost, later_cost = start_cost(request, job, week)
    p_now, p_later = job.survival.p_fail((week - request.now_ms) / HOUR_MS)
    stop_h = float(options.stop_h[option])
    moved = before is not None and (before.start_ms != start_ms)
    return PlannedJob(
        **common,
        state="pinned" if pinned else "proposed",
        crew=options.crews[options.crew[option]].name,
        start_ms=start_ms,
        stop_ms=stop_ms,
        expected_cost=float(options.cost[option] + options.lines.rate[line] * stop_h),
        stoppage_h=stop_h,
        break_h=(stop_ms - start_ms) / HOUR_MS - stop_h,
        p_fail_before=float(p_now),
        p_fail_week_later=float(p_later),
        wait_cost=float(later_cost - now_cost),
        reason=_reason(request, options, job, option, wanted, shared, pinned=pinned),
        together_with=shared,
        moved_from_ms=before.start_ms if moved and before is not None else None,
        gain=_gain(board, j, option, before.start_ms, before.crew) if moved and before else 0.0,
    )


def _together(board: Board, job: int, option: int) -> tuple[str, ...]:
    """Return the machines of the line that share this stop: the same local day, outside breaks."""
    options, line = board.options, board.options.line_of[job]
    if options.stop_h[option] <= 0:
        return ()
    day = options.lines.day[line]
    return tuple(
        str(options.jobs[k].asset)
        for k, other in enumerate(board.chosen)
        if k != job
        and other >= 0
        and options.line_of[k] == line
        and options.stop_h[other] > 0
        and day[options.start[other]] == day[options.start[option]]
    )


def _reason(
    request: Request,
    options: Options,
    job: Job,
    option: int,
    wanted: int,
    shared: tuple[str, ...],
    *,
    pinned: bool,
) -> str:
    """Return the strongest reason for the slot, as a word of `serve.schedule.words`."""
    wish = request.wishes.get(job.id)
    if pinned:
        return "pinned"
    if options.stop_h[option] <= 1e-9:
        return "break"
    if shared:
        return "together"
    lacking = [
        n
        for n, c in job.parts.items()
        if n in request.plant.parts and c > request.plant.parts[n].stock
    ]
    if lacking:
        return "parts"
    if wish is not None and wish.not_before_ms is not None:
        return "after_rejection"
    return "cheapest" if option == wanted else "crowded"


def _gain(board: Board, job: int, option: int, old_ms: int, old_crew: str) -> float:
    """Return what the job itself gains by leaving its old slot (negative: it made room)."""
    options = board.options
    cell = (old_ms - options.grid.start_ms) // options.grid.slot_ms
    mine = options.of_job(job)
    names = np.array([crew.name for crew in options.crews])
    old = mine[(options.start[mine] == cell) & (names[options.crew[mine]] == old_crew)]
    if not len(old):
        return 0.0
    rate = options.lines.rate[options.line_of[job]]
    both = np.array([int(old[0]), option])
    cost = options.cost[both] + rate * options.stop_h[both]
    return float(cost[0] - cost[1])

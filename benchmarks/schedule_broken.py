"""Plans broken on purpose, one rule at a time: each must be illegal, whoever looks at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from plant.times import DAY_MS, HOUR_MS
from serve.schedule.job import Request, Wish
from serve.schedule.verify import Placed

Broken = tuple[Request, list[Placed]]


def broken_plans(
    request: Request, placed: list[Placed], rng: np.random.Generator
) -> list[tuple[str, Broken]]:
    """Return every way of breaking this plan that applies to it, with the rule it breaks."""
    if not placed:
        return []
    item = placed[int(rng.integers(len(placed)))]
    rest = [p for p in placed if p is not item]
    found = []
    for name, breaker in _BREAKERS.items():
        broken = breaker(request, item, rest)
        if broken is not None:
            found.append((name, broken))
    return found


def _twice(request: Request, item: Placed, rest: list[Placed]) -> Broken:
    return request, [*rest, item, replace(item, start_ms=item.start_ms + 7 * DAY_MS)]


def _nobody(request: Request, item: Placed, rest: list[Placed]) -> Broken:
    return request, [*rest, replace(item, crew="nobody")]


def _not_asked(request: Request, item: Placed, rest: list[Placed]) -> Broken:
    return request, [*rest, item, replace(item, job=("lyon/l0/ghost", "BRG"))]


def _too_short(request: Request, item: Placed, rest: list[Placed]) -> Broken:
    return request, [*rest, replace(item, stop_ms=item.stop_ms - HOUR_MS)]


def _in_the_past(request: Request, item: Placed, rest: list[Placed]) -> Broken:
    length = item.stop_ms - item.start_ms
    start = request.now_ms - length
    return request, [*rest, replace(item, start_ms=start, stop_ms=start + length)]


def _too_late(request: Request, item: Placed, rest: list[Placed]) -> Broken:
    weeks = round(request.settings.horizon_d / 7 + 1) * 7 * DAY_MS
    return request, [
        *rest,
        replace(item, start_ms=item.start_ms + weeks, stop_ms=item.stop_ms + weeks),
    ]


def _off_shift(request: Request, item: Placed, rest: list[Placed]) -> Broken | None:
    crew = next(c for c in request.plant.crews if c.name == item.crew)
    if not crew.shifts or (item.stop_ms - item.start_ms) > 12 * HOUR_MS:
        return None
    moved = 12 * HOUR_MS  # all shifts here are shorter than twelve hours
    return request, [
        *rest,
        replace(item, start_ms=item.start_ms + moved, stop_ms=item.stop_ms + moved),
    ]


def _no_skill(request: Request, item: Placed, rest: list[Placed]) -> Broken | None:
    job = next(j for j in request.jobs if j.id == item.job)
    unable = [c.name for c in request.plant.crews if job.skill not in c.skills]
    return (request, [*rest, replace(item, crew=unable[0])]) if unable else None


def _two_places(request: Request, item: Placed, rest: list[Placed]) -> Broken | None:
    jobs = {j.id: j for j in request.jobs}
    crew = next(c for c in request.plant.crews if c.name == item.crew)
    for other in rest:
        too_many = jobs[other.job].crew_size + jobs[item.job].crew_size > crew.size
        if other.crew == item.crew and too_many:
            moved = replace(
                other,
                start_ms=item.start_ms,
                stop_ms=item.start_ms + other.stop_ms - other.start_ms,
            )
            return request, [*(p for p in rest if p is not other), item, moved]
    return None


def _line_down(request: Request, item: Placed, rest: list[Placed]) -> Broken | None:
    line = item.job[0].rsplit("/", 1)[0]
    jobs = {j.id: j for j in request.jobs}
    limit = request.plant.line_spec(jobs[item.job].asset).max_concurrent
    same = [p for p in rest if p.job[0].rsplit("/", 1)[0] == line]
    if len(same) < limit:
        return None
    moved = [
        replace(p, start_ms=item.start_ms, stop_ms=item.start_ms + p.stop_ms - p.start_ms)
        for p in same[:limit]
    ]
    return request, [*(p for p in rest if p not in same[:limit]), item, *moved]


def _no_part(request: Request, item: Placed, rest: list[Placed]) -> Broken | None:
    job = next(j for j in request.jobs if j.id == item.job)
    parts = {**request.plant.parts}
    if not job.parts:
        job = replace(job, parts={"seal": 1})
    lead_d = (item.start_ms - request.now_ms) / DAY_MS + 1
    parts["seal"] = parts["seal"].model_copy(update={"stock": 0, "lead_time_d": lead_d})
    plant = request.plant.model_copy(update={"parts": parts})
    jobs = tuple(job if j.id == job.id else j for j in request.jobs)
    return replace(request, plant=plant, jobs=jobs), [*rest, item]


def _pin_ignored(request: Request, item: Placed, rest: list[Placed]) -> Broken:
    wish = Wish(item.job, pinned_ms=item.start_ms + HOUR_MS)
    return replace(request, wishes={item.job: wish}), [*rest, item]


def _rejection_ignored(request: Request, item: Placed, rest: list[Placed]) -> Broken:
    wish = Wish(item.job, not_before_ms=item.start_ms + HOUR_MS)
    return replace(request, wishes={item.job: wish}), [*rest, item]


def _too_few_people(request: Request, item: Placed, rest: list[Placed]) -> Broken:
    crew = next(c for c in request.plant.crews if c.name == item.crew)
    jobs = tuple(
        replace(j, crew_size=crew.size + 1) if j.id == item.job else j for j in request.jobs
    )
    return replace(request, jobs=jobs), [*rest, item]


_BREAKERS: dict[str, Callable[[Request, Placed, list[Placed]], Broken | None]] = {
    "twice": _twice,
    "unknown_crew": _nobody,
    "unknown_job": _not_asked,
    "hours": _too_short,
    "notice": _in_the_past,
    "horizon": _too_late,
    "edges": _off_shift,
    "skill": _no_skill,
    "crew_hours": _two_places,
    "line": _line_down,
    "parts": _no_part,
    "pin": _pin_ignored,
    "rejected": _rejection_ignored,
    "crew_size": _too_few_people,
}

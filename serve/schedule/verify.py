"""Checks a plan against the plant's own words, without anything the optimiser is built from.

The optimiser works with a grid, masks and sparse rows; this file asks the calendar minute by minute, in
local time, what a foreman would ask: is the crew at work, does it have the skill and the people, how many
machines of the line are out, is the part there. It also adds up the cost on its own.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from plant.config import WEEKDAYS, BreakSpec, CrewSpec, Plant
from serve.schedule.job import Job, JobId, Request

HOUR = 3_600_000
STEP = 900_000  # shifts, breaks and slots are whole quarters of an hour


@dataclass(frozen=True, slots=True)
class Placed:
    """One job of a plan: who works on it and from when to when its machine is out (epoch ms)."""

    job: JobId
    crew: str
    start_ms: int
    stop_ms: int


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that a plan breaks: a short code and a sentence."""

    rule: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a plan (nothing, if it is right), and what it costs."""

    violations: tuple[Violation, ...]
    cost: float


def verify(request: Request, placed: Sequence[Placed]) -> Verdict:
    """Check every rule and add up the expected cost, jobs without a slot included."""
    jobs = {job.id: job for job in request.jobs}
    crews = {crew.name: crew for crew in request.plant.crews}
    found: list[Violation] = []
    seen: set[JobId] = set()
    sound: list[tuple[Placed, Job, CrewSpec]] = []
    for item in placed:
        if item.job in seen:
            found.append(Violation("twice", f"{item.job} is planned twice."))
        elif item.job not in jobs:
            found.append(Violation("unknown_job", f"{item.job} was not asked for."))
        elif item.crew not in crews:
            found.append(Violation("unknown_crew", f"there is no crew {item.crew!r}."))
        else:
            sound.append((item, jobs[item.job], crews[item.crew]))
        seen.add(item.job)
    work = {item.job: _working_steps(request.plant, crew, item) for item, _, crew in sound}
    for item, job, crew in sound:
        found += _alone(request, item, job, crew, work[item.job])
    found += _people(request, sound, work) + _out_at_once(request, sound) + _parts(request, sound)
    return Verdict(tuple(found), _cost(request, sound))


def _alone(
    request: Request, item: Placed, job: Job, crew: CrewSpec, work: list[int]
) -> list[Violation]:
    """Rules that concern one job by itself."""
    found = []
    name = f"{job.asset} {job.mode}"
    if job.skill not in crew.skills:
        found.append(Violation("skill", f"{name}: {crew.name} has no {job.skill}."))
    if crew.site is not None and crew.site != job.asset.site:
        found.append(Violation("site", f"{name}: {crew.name} works at {crew.site}."))
    if job.crew_size > crew.size:
        found.append(Violation("crew_size", f"{name}: needs {job.crew_size} of {crew.name}."))
    if item.start_ms < request.now_ms + request.settings.notice_h * HOUR:
        found.append(Violation("notice", f"{name}: starts too soon."))
    if item.stop_ms > request.now_ms + request.settings.horizon_d * 24 * HOUR:
        found.append(Violation("horizon", f"{name}: ends after the horizon."))
    hours = len(work) * STEP / HOUR
    if hours < job.duration_h - 1e-9:
        found.append(
            Violation(
                "hours", f"{name}: {crew.name} works {hours:g} of {job.duration_h:g} h on it."
            )
        )
    slot_h = max(request.settings.slot_minutes or 60, 15) / 60
    fits = job.duration_h + slot_h <= _longest_shift_h(crew)
    if fits and (item.stop_ms - item.start_ms) / HOUR - hours > 1e-9:
        found.append(Violation("in_one_go", f"{name}: is interrupted without need."))
    if work and (work[0] != item.start_ms or work[-1] + STEP != item.stop_ms):
        found.append(Violation("edges", f"{name}: starts or ends when {crew.name} is away."))
    if hours >= job.duration_h + max(slot_h, 0.25):
        found.append(Violation("too_long", f"{name}: takes {hours:g} h for {job.duration_h:g} h."))
    wish = request.wishes.get(job.id)
    if (
        wish is not None
        and wish.pinned_ms is not None
        and (item.start_ms != wish.pinned_ms or wish.crew not in {"", crew.name})
    ):
        found.append(Violation("pin", f"{name}: is not where the planner pinned it."))
    if wish is not None and wish.not_before_ms is not None and item.start_ms < wish.not_before_ms:
        found.append(Violation("rejected", f"{name}: was rejected until later."))
    return found


def _people(
    request: Request, sound: list[tuple[Placed, Job, CrewSpec]], work: dict[JobId, list[int]]
) -> list[Violation]:
    used: dict[tuple[str, int], int] = defaultdict(int)
    sizes = {crew.name: crew.size for _, _, crew in sound}
    for begun in request.under_way:
        for step in range(begun.start_ms, begun.stop_ms, STEP):
            used[begun.crew, step] += begun.crew_size
    for item, job, crew in sound:
        for step in work[item.job]:
            used[crew.name, step] += job.crew_size
    worked = {(crew.name, step) for item, _, crew in sound for step in work[item.job]}
    over = sorted({name for name, step in worked if used[name, step] > sizes[name]})
    return [Violation("crew_hours", f"{name} would have to be in two places.") for name in over]


def _out_at_once(request: Request, sound: list[tuple[Placed, Job, CrewSpec]]) -> list[Violation]:
    plant = request.plant
    out: dict[tuple[str, int], int] = defaultdict(int)
    limits = {job.asset.line_path: plant.line_spec(job.asset).max_concurrent for _, job, _ in sound}
    asked: set[tuple[str, int]] = set()
    for item, job, _ in sound:
        for step in range(item.start_ms, item.stop_ms, STEP):
            out[job.asset.line_path, step] += 1
            asked.add((job.asset.line_path, step))
    for begun in request.under_way:
        for step in range(begun.start_ms, begun.stop_ms, STEP):
            out[begun.line_path, step] += 1
    over = sorted({line for line, step in asked if out[line, step] > limits[line]})
    return [Violation("line", f"{line} would have too many machines out at once.") for line in over]


def _parts(request: Request, sound: list[tuple[Placed, Job, CrewSpec]]) -> list[Violation]:
    found = []
    for name, part in request.plant.parts.items():
        arrival = request.now_ms + part.lead_time_d * 24 * HOUR
        early = sum(j.parts.get(name, 0) for p, j, _ in sound if p.start_ms < arrival)
        gone = sum(begun.parts.get(name, 0) for begun in request.under_way)
        if early and early + gone > part.stock:
            found.append(
                Violation(
                    "parts", f"{early} × {name} before new ones can come, {part.stock} there."
                )
            )
    return found


def _cost(request: Request, sound: list[tuple[Placed, Job, CrewSpec]]) -> float:
    """Add up docs/schedule.md's cost: repairs, risk, life thrown away, stoppage, restarts, the rest."""
    plant, settings = request.plant, request.settings
    total = 0.0
    planned = {item.job for item, _, _ in sound}
    stopped: dict[str, set[int]] = defaultdict(set)
    down: dict[str, set[str]] = defaultdict(set)
    for item, job, crew in sound:
        repair, failure = _repairs(plant, job)
        wait_h = (item.start_ms - request.now_ms) / HOUR
        total += repair + crew.cost_per_h * job.crew_size * job.duration_h
        total += (1.0 - _alive(job, wait_h)) * failure
        total += repair / (settings.typical_life_d * 24) * float(job.survival.life_left(wait_h))
        producing = [
            s for s in range(item.start_ms, item.stop_ms, STEP) if not _pause(plant, job, s)
        ]
        stopped[job.asset.line_path].update(producing)
        if producing:
            zone = plant.timezone(job.asset.site)
            day = datetime.fromtimestamp(item.start_ms / 1000, UTC).astimezone(zone).date()
            down[job.asset.line_path].add(day.isoformat())
    shares: dict[str, float] = {}
    for job in request.jobs:
        rate = job.stoppage_cost_per_h
        line = job.asset.line_path
        if line in stopped:
            total += rate * (
                len(stopped.pop(line)) * STEP / HOUR + settings.restart_h * len(down[line])
            )
        if job.id not in planned:
            total += _later(request, job, shares)
    return total


def _later(request: Request, job: Job, shares: dict[str, float]) -> float:
    repair, failure = _repairs(request.plant, job)
    horizon_h = request.settings.horizon_d * 24
    wages = [
        c.cost_per_h * job.crew_size * job.duration_h
        for c in request.plant.crews
        if job.skill in c.skills and job.crew_size <= c.size and c.site in {None, job.asset.site}
    ]
    line = job.asset.line_path
    if line not in shares:
        first = -(-request.now_ms // HOUR) * HOUR
        steps = range(first, first + round(horizon_h * HOUR), STEP)
        shares[line] = 1.0 - _pauses(request.plant, line, steps) / len(steps)
    stop = job.duration_h * job.stoppage_cost_per_h * shares[line]
    return repair + min(wages, default=0.0) + stop + (1 - _alive(job, horizon_h)) * failure


def _repairs(plant: Plant, job: Job) -> tuple[float, float]:
    parts = sum(plant.parts[n].cost * k for n, k in job.parts.items() if n in plant.parts)
    stop = job.corrective_duration_h * job.stoppage_cost_per_h
    return job.planned_cost + parts, job.unplanned_cost + parts + stop


def _alive(job: Job, t_h: float) -> float:
    """Return survival at t by walking along the curve's points."""
    points = list(zip(job.survival.hours, job.survival.survival, strict=True))
    for (h0, s0), (h1, s1) in pairwise(points):
        if h0 <= t_h <= h1:
            return float(s0 + (s1 - s0) * (t_h - h0) / (h1 - h0))
    return float(job.survival.alive(t_h))


def _working_steps(plant: Plant, crew: CrewSpec, item: Placed) -> list[int]:
    if (item.stop_ms - item.start_ms) // STEP > 100_000 or item.start_ms % STEP:
        return []
    return [s for s in range(item.start_ms, item.stop_ms, STEP) if _at_work(plant, crew, s)]


def _at_work(plant: Plant, crew: CrewSpec, ms: int) -> bool:
    if not crew.shifts:
        return True
    site = crew.site or next(iter(plant.sites), "")
    here = _local(ms, plant.timezone(site))
    return any(_within(here, s.days, s.start, s.end) for s in crew.shifts)


def _pause(plant: Plant, job: Job, ms: int) -> bool:
    return _line_paused(plant.breaks, plant.timezone(job.asset.site), job.asset.line_path, ms)


def _pauses(plant: Plant, line: str, steps: range) -> int:
    zone = plant.timezone(line.split("/", maxsplit=1)[0])
    return sum(_line_paused(plant.breaks, zone, line, step) for step in steps)


def _line_paused(breaks: tuple[BreakSpec, ...], zone: ZoneInfo, line_path: str, ms: int) -> bool:
    site, line = line_path.split("/")
    return any(
        _paused(pause, _local(ms, zone), ms)
        for pause in breaks
        if pause.site in {None, site} and pause.line in {None, line}
    )


def _paused(pause: BreakSpec, here: datetime, ms: int) -> bool:
    if pause.from_ is not None and pause.to is not None:
        return pause.from_.timestamp() * 1000 <= ms < pause.to.timestamp() * 1000
    if pause.start is None or pause.end is None:
        return False
    return _within(here, pause.days, pause.start, pause.end)


def _longest_shift_h(crew: CrewSpec) -> float:
    hours = []
    for shift in crew.shifts:
        minutes = (shift.end.hour - shift.start.hour) * 60 + shift.end.minute - shift.start.minute
        hours.append((minutes if minutes > 0 else minutes + 1440) / 60)
    return max(hours, default=math.inf)


def _within(here: datetime, days: Sequence[str], start: time, end: time) -> bool:
    """Tell whether a local moment lies in weekly hours; after midnight they belong to the day before."""
    now = here.time()
    today, yesterday = WEEKDAYS[here.weekday()], WEEKDAYS[(here - timedelta(days=1)).weekday()]
    if end > start:
        return today in days and start <= now < end
    return (today in days and now >= start) or (yesterday in days and now < end)


@lru_cache(maxsize=200_000)
def _local(ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone)

"""Every slot a job could take, and what it would cost there.

The calendar becomes cells of a grid; an option is one job by one crew from one start cell. Work keeps
to the crew's hours. A job that fits into one shift is done in one go; a longer one goes on at the crew's
next hours, and the machine is out all the while. What options share (a line's stoppage, its restart) is
not in their own cost: the solver adds it once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from plant.config import CrewSpec
from plant.times import DAY_MS, HOUR_MS, MINUTE_MS
from serve.schedule.calendar import Grid, crew_hours, fitting_slot_minutes, line_breaks
from serve.schedule.costs import can_do, labour_cost, later_cost, start_cost
from serve.schedule.job import Job, Request

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """The L lines that have jobs.

    limit: int64[L], machines out at once; rate: float64[L], cost of an hour of stoppage;
    producing_h: float64[L, cells], hours of each cell outside breaks; day: int64[L, cells], the
    local day (ordinal) of each cell.
    """

    names: tuple[str, ...]
    limit: Ints
    rate: Floats
    producing_h: Floats
    day: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """N options of J jobs; the machine is out in cells [start, stop).

    job, crew, start, stop: int64[N]; cost: float64[N], repair, labour, risk and life thrown away;
    stop_h: float64[N], hours of stoppage outside breaks; stay: float64[N], what leaving the job's old
    slot must gain; later_cost: float64[J], of giving a job no slot (inf for a pinned one);
    line_of: int64[J]; carried: cells worked by options whose work is interrupted (all others work
    from start to stop); people: int64[crews, cells] and room: int64[L, cells], what work under way
    leaves of each crew and of each line's limit; unpinned: jobs whose pinned start is impossible.
    """

    grid: Grid
    jobs: tuple[Job, ...]
    crews: tuple[CrewSpec, ...]
    lines: Lines
    line_of: Ints
    job: Ints
    crew: Ints
    start: Ints
    stop: Ints
    cost: Floats
    stop_h: Floats
    stay: Floats
    stay_later: Floats
    later_cost: Floats
    carried: Mapping[int, Ints]
    people: Ints
    room: Ints
    unpinned: tuple[int, ...]

    def of_job(self, index: int) -> Ints:
        """Return the options of one job."""
        return np.flatnonzero(self.job == index)

    def worked(self, option: int) -> Ints:
        """Return the cells in which the crew works."""
        cells = self.carried.get(option)
        return np.arange(self.start[option], self.stop[option]) if cells is None else cells


@dataclass(slots=True)
class _Batch:
    """The options of one job with one crew; `cells` when work is carried over several shifts."""

    job: int
    crew: int
    start: Ints
    stop: Ints
    cells: list[Ints] = field(default_factory=list)

    def keep(self, mask: NDArray[np.bool_]) -> None:
        self.start, self.stop = self.start[mask], self.stop[mask]
        self.cells = [c for c, kept in zip(self.cells, mask, strict=False) if kept]


def make_options(request: Request) -> Options:
    """Return all options of all jobs, with costs."""
    grid = make_grid(request)
    lines = _lines(request, grid)
    line_of = np.array([lines.names.index(job.asset.line_path) for job in request.jobs], np.int64)
    batches, unpinned = _batches(request, grid)
    sizes = np.array([len(batch.start) for batch in batches], np.int64)
    job = np.repeat(np.array([batch.job for batch in batches], np.int64), sizes)
    crew = np.repeat(np.array([batch.crew for batch in batches], np.int64), sizes)
    start = _joined([batch.start for batch in batches])
    stop = _joined([batch.stop for batch in batches])
    before = np.pad(np.cumsum(lines.producing_h, axis=1), ((0, 0), (1, 0)))
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    share = [producing_share(request, name) for name in lines.names]
    later = np.array(
        [later_cost(request, j, share[line_of[i]]) for i, j in enumerate(request.jobs)]
    )
    for index, item in enumerate(request.jobs):
        wish = request.wishes.get(item.id)
        if wish is not None and wish.pinned_ms is not None and index not in unpinned:
            later[index] = math.inf
    stay = _stay(request, grid, job, crew, start)
    people, room = _left(request, grid, lines)
    return Options(
        grid=grid,
        jobs=request.jobs,
        crews=request.plant.crews,
        lines=lines,
        line_of=line_of,
        job=job,
        crew=crew,
        start=start,
        stop=stop,
        cost=np.concatenate([_cost(request, grid, b) for b in batches]) if batches else np.zeros(0),
        stop_h=before[line_of[job], stop] - before[line_of[job], start]
        if len(job)
        else np.zeros(0),
        stay=stay,
        stay_later=np.array([stay[job == i].max(initial=0.0) for i in range(len(line_of))]),
        later_cost=later,
        carried={
            int(offsets[b]) + k: cells
            for b, batch in enumerate(batches)
            for k, cells in enumerate(batch.cells)
        },
        people=people,
        room=room,
        unpinned=tuple(sorted(unpinned)),
    )


def producing_share(request: Request, line_path: str) -> float:
    """Return the share of the horizon in which a line is not in a planned break."""
    first = -(-request.now_ms // HOUR_MS) * HOUR_MS
    length = round(request.settings.horizon_d * DAY_MS)
    breaks = line_breaks(request.plant, *_split(line_path), first, first + length)
    paused = sum(min(b, first + length) - max(a, first) for a, b in breaks)
    return 1.0 - paused / length


def make_grid(request: Request) -> Grid:
    """Return the grid of starts: from the first whole slot after the notice to the horizon's end."""
    settings, plant = request.settings, request.plant
    earliest = request.now_ms + round(settings.notice_h * HOUR_MS)
    latest = request.now_ms + round(settings.horizon_d * DAY_MS)
    minutes: int = settings.slot_minutes or 0
    if not minutes:
        spans = [
            span
            for crew in plant.crews
            if crew.shifts
            for span in crew_hours(plant, crew, earliest, latest)
        ]
        for line in {job.asset.line_path for job in request.jobs}:
            spans += line_breaks(plant, *_split(line), earliest, latest)
        minutes = fitting_slot_minutes(edge for span in spans for edge in span)
    slot_ms = minutes * MINUTE_MS
    start = -(-earliest // slot_ms) * slot_ms
    return Grid(start, slot_ms, max((latest - start) // slot_ms, 1))


def _lines(request: Request, grid: Grid) -> Lines:
    names = sorted({job.asset.line_path for job in request.jobs})
    specs = {job.asset.line_path: request.plant.line_spec(job.asset) for job in request.jobs}
    producing, days = [], []
    for name in names:
        site, line = _split(name)
        breaks = line_breaks(request.plant, site, line, grid.start_ms, grid.stop_ms)
        producing.append(np.maximum(grid.slot_h - grid.covered_h(breaks), 0.0))
        days.append(_local_days(grid, request.plant.timezone(site)))
    shape = (len(names), grid.cells)
    return Lines(
        names=tuple(names),
        limit=np.array([specs[name].max_concurrent for name in names], np.int64),
        rate=np.array([specs[name].stoppage_cost_per_h for name in names]),
        producing_h=np.array(producing).reshape(shape),
        day=np.array(days, np.int64).reshape(shape),
    )


def _split(line_path: str) -> tuple[str, str]:
    site, line = line_path.split("/")
    return site, line


def _local_days(grid: Grid, zone: ZoneInfo) -> list[int]:
    return [
        datetime.fromtimestamp(grid.at(cell) / 1000, UTC).astimezone(zone).toordinal()
        for cell in range(grid.cells)
    ]


def _batches(request: Request, grid: Grid) -> tuple[list[_Batch], set[int]]:
    crews = request.plant.crews
    hours = [grid.inside(crew_hours(request.plant, c, grid.start_ms, grid.stop_ms)) for c in crews]
    batches: list[_Batch] = []
    unpinned: set[int] = set()
    for index, job in enumerate(request.jobs):
        slots = math.ceil(job.duration_h / grid.slot_h - 1e-9)
        first = _first_cell(request, job, grid)
        found = []
        for number, crew in enumerate(crews):
            if can_do(crew, job):
                batch = _starts(index, number, hours[number], slots)
                batch.keep(batch.start >= first)
                found.append(batch)
        kept = _pinned(request, job, grid, found)
        if kept is None:
            unpinned.add(index)
        batches += found if kept is None else kept
    return batches, unpinned


def _starts(job: int, crew: int, hours: NDArray[np.bool_], slots: int) -> _Batch:
    """Return the starts at which `slots` cells of work fit into a crew's hours."""
    cells = len(hours)
    off = np.flatnonzero(~hours)
    following = np.append(off, cells)[np.searchsorted(off, np.arange(cells))]
    ahead = following - np.arange(cells)  # hours in a row from each cell on
    if hours.any() and ahead.max() >= slots:
        start = np.flatnonzero(ahead >= slots)
        return _Batch(job, crew, start, start + slots)
    on = np.flatnonzero(hours)
    count = max(len(on) - slots + 1, 0)
    worked = [on[k : k + slots] for k in range(count)]
    return _Batch(job, crew, on[:count], np.array([w[-1] + 1 for w in worked], np.int64), worked)


def _first_cell(request: Request, job: Job, grid: Grid) -> int:
    """Return the first cell a job may start in: after its rejection ends and its parts can be there."""
    earliest = grid.start_ms
    wish = request.wishes.get(job.id)
    if wish is not None and wish.not_before_ms is not None:
        earliest = max(earliest, wish.not_before_ms)
    for name, count in job.parts.items():
        part = request.plant.parts.get(name)
        if part is not None and count > request.stock(name):
            earliest = max(earliest, request.now_ms + round(part.lead_time_d * DAY_MS))
    return -(-(earliest - grid.start_ms) // grid.slot_ms)


def _pinned(request: Request, job: Job, grid: Grid, found: list[_Batch]) -> list[_Batch] | None:
    """Return only the pinned slot of a pinned job; None when no crew could do it there."""
    wish = request.wishes.get(job.id)
    if wish is None or wish.pinned_ms is None:
        return found
    cell, rest = divmod(wish.pinned_ms - grid.start_ms, grid.slot_ms)
    masks = [
        (b.start == cell) & (wish.crew in {"", request.plant.crews[b.crew].name}) for b in found
    ]
    if rest or not any(mask.any() for mask in masks):
        return None
    for batch, mask in zip(found, masks, strict=True):
        batch.keep(mask)
    return found


def _cost(request: Request, grid: Grid, batch: _Batch) -> Floats:
    job, crew = request.jobs[batch.job], request.plant.crews[batch.crew]
    start_ms = grid.start_ms + batch.start * grid.slot_ms
    return start_cost(request, job, start_ms) + labour_cost(crew, job)


def _left(request: Request, grid: Grid, lines: Lines) -> tuple[Ints, Ints]:
    """Return what work under way leaves: people of each crew, machines out of each line, by cell."""
    sizes = np.array([c.size for c in request.plant.crews], np.int64)
    people = np.repeat(sizes[:, None], grid.cells, 1)
    people = people.reshape(len(request.plant.crews), grid.cells)
    room = np.repeat(lines.limit[:, None], grid.cells, 1)
    crews = {crew.name: number for number, crew in enumerate(request.plant.crews)}
    for work in request.under_way:
        first = max((work.start_ms - grid.start_ms) // grid.slot_ms, 0)
        last = max(-((grid.start_ms - work.stop_ms) // grid.slot_ms), 0)
        if work.crew in crews:
            people[crews[work.crew], first:last] -= work.crew_size
        if work.line_path in lines.names:
            room[lines.names.index(work.line_path), first:last] -= 1
    return np.maximum(people, 0), np.maximum(room, 0)


def _stay(request: Request, grid: Grid, job: Ints, crew: Ints, start: Ints) -> Floats:
    """Return what each option must gain over the job's old slot: nothing for the old slot itself."""
    stay = np.zeros(len(job))
    numbers = {crew.name: number for number, crew in enumerate(request.plant.crews)}
    for index, item in enumerate(request.jobs):
        slot = request.before.get(item.id)
        if slot is None:
            continue
        mine = job == index
        cell = (slot.start_ms - grid.start_ms) // grid.slot_ms
        same = mine & (start == cell) & (crew == numbers.get(slot.crew, -1))
        if same.any():
            stay[mine] = request.settings.move_gain_share * item.planned_cost
            stay[same] = 0.0
    return stay


def _joined(arrays: list[Ints]) -> Ints:
    return np.concatenate(arrays).astype(np.int64) if arrays else np.zeros(0, np.int64)

"""The best plan by trying everything: slow, obvious, and built on the verifier's view of the calendar."""

from __future__ import annotations

from dataclasses import dataclass

from plant.times import HOUR_MS
from serve.schedule.job import Request
from serve.schedule.verify import STEP, Placed, verify


@dataclass(frozen=True)
class _Choice:
    placed: Placed
    base: float  # cost without what jobs of a line share
    producing: frozenset[int]
    day: str


def brute_force(request: Request) -> tuple[float, tuple[Placed, ...]]:
    """Return (least cost, a plan that has it). Only for a handful of jobs and days."""
    later = {job.id: verify(_only(request, job.id), ()).cost for job in request.jobs}
    choices = [_choices(request, index) for index in range(len(request.jobs))]
    least = [
        min([later[job.id], *(c.base for c in mine)])
        for job, mine in zip(request.jobs, choices, strict=True)
    ]
    tail = [sum(least[k:]) for k in range(len(least) + 1)]
    best: list[float] = [float("inf")]
    found: list[tuple[Placed, ...]] = [()]

    def descend(k: int, taken: tuple[_Choice, ...], base: float) -> None:
        if base + _shared(request, taken) + tail[k] >= best[0] - 1e-9:
            return
        if k == len(request.jobs):
            best[0], found[0] = base + _shared(request, taken), tuple(c.placed for c in taken)
            return
        for choice in choices[k]:
            together = (*taken, choice)
            if not verify(request, [c.placed for c in together]).violations:
                descend(k + 1, together, base + choice.base)
        descend(k + 1, taken, base + later[request.jobs[k].id])

    descend(0, (), 0.0)
    return best[0], found[0]


def _choices(request: Request, index: int) -> list[_Choice]:
    """Try each crew from each whole hour on, until the work is done or the horizon ends."""
    job = request.jobs[index]
    alone = _only(request, job.id)
    found = []
    first = -(-(request.now_ms + request.settings.notice_h * HOUR_MS) // HOUR_MS) * HOUR_MS
    last = request.now_ms + request.settings.horizon_d * 24 * HOUR_MS
    hours = -(-job.duration_h // 1)
    for crew in request.plant.crews:
        for start in range(int(first), int(last), HOUR_MS):
            placed = Placed(job.id, crew.name, start, int(start + hours * HOUR_MS))
            verdict = verify(alone, (placed,))
            if verdict.violations:
                continue
            producing, day = _producing(request, placed)
            shared = _shared(request, (_Choice(placed, 0.0, producing, day),))
            found.append(_Choice(placed, verdict.cost - shared, producing, day))
    return sorted(found, key=lambda c: c.base)


def _producing(request: Request, placed: Placed) -> tuple[frozenset[int], str]:
    from datetime import UTC, datetime

    from serve.schedule.verify import _line_paused

    site, line, _ = placed.job[0].split("/")
    zone = request.plant.timezone(site)
    steps = frozenset(
        step
        for step in range(placed.start_ms, placed.stop_ms, STEP)
        if not _line_paused(request.plant.breaks, zone, f"{site}/{line}", step)
    )
    day = datetime.fromtimestamp(placed.start_ms / 1000, UTC).astimezone(zone).date().isoformat()
    return steps, day


def _shared(request: Request, taken: tuple[_Choice, ...]) -> float:
    total = 0.0
    for line in {c.placed.job[0].rsplit("/", 1)[0] for c in taken}:
        mine = [c for c in taken if c.placed.job[0].rsplit("/", 1)[0] == line and c.producing]
        rate = next(j.stoppage_cost_per_h for j in request.jobs if j.asset.line_path == line)
        steps = frozenset[int]().union(*(c.producing for c in mine))
        days = {c.day for c in mine}
        total += rate * (len(steps) * STEP / HOUR_MS + request.settings.restart_h * len(days))
    return total


def _only(request: Request, job: tuple[str, str]) -> Request:
    from dataclasses import replace

    return replace(request, jobs=tuple(j for j in request.jobs if j.id == job))

"""From a request to chosen options: greedy first, then HiGHS, and the better of the two."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from serve.schedule.greedy import greedy, improve
from serve.schedule.job import Job, JobId, Request, Wish
from serve.schedule.options import Options, make_options
from serve.schedule.score import Board


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """A board with its proof: `bound` is below the cost (stability included) of any plan."""

    request: Request
    options: Options
    board: Board
    bound: float
    greedy_cost: float
    method: str
    seconds: float
    notes: tuple[str, ...]

    @property
    def gap(self) -> float:
        """(cost − bound) / cost: how far from the best the plan can be at most."""
        cost = self.board.total()
        return 0.0 if cost <= 0 else max(cost - self.bound, 0.0) / cost


def solve_request(request: Request) -> Solution:
    """Return the best plan found within the time limit, never worse than greedy."""
    started = time.monotonic()
    request, options, by_hand, notes = _with_possible_pins(request)
    greedy_cost = by_hand.total()
    board, bound, method = by_hand, -np.inf, "greedy"
    if request.settings.optimise and len(options.job):
        from serve.schedule.search import search  # noqa: PLC0415 - scipy waits until it is needed

        board, bound = search(request, options, by_hand, request.settings.time_limit_s)
        method = "optimiser"
    elif not len(options.job):
        bound = board.total()
    return Solution(
        request=request,
        options=options,
        board=board,
        bound=min(bound, board.total()),
        greedy_cost=greedy_cost,
        method=method,
        seconds=time.monotonic() - started,
        notes=tuple(notes),
    )


def _with_possible_pins(request: Request) -> tuple[Request, Options, Board, list[str]]:
    """Drop pins that cannot stand beside earlier ones, so that a plan exists."""
    notes: list[str] = []
    while True:
        options = make_options(request)
        if options.unpinned:
            why = (
                "the pinned start is outside the hours of every crew that could do it, off the "
                "plan's grid, or its parts are not there by then"
            )
            request = _drop(request, options.jobs[options.unpinned[0]], why, notes)
            continue
        board = greedy(request, options)
        stuck = [
            options.jobs[j]
            for j in np.flatnonzero(board.chosen < 0)
            if not np.isfinite(options.later_cost[j])
        ]
        if not stuck:
            return request, options, improve(board), notes
        why = "the pinned start collides with another pinned job (crew, line or parts)"
        request = _drop(request, stuck[0], why, notes)


def _drop(request: Request, job: Job, why: str, notes: list[str]) -> Request:
    notes.append(f"{job.asset} {job.mode}: {why}; it was planned freely.")
    return replace(request, wishes=_without_pin(request.wishes, job.id))


def _without_pin(wishes: Mapping[JobId, Wish], job: JobId) -> dict[JobId, Wish]:
    return {key: replace(w, pinned_ms=None) if key == job else w for key, w in wishes.items()}

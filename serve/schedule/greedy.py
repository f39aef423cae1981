"""The plan a good planner makes by hand: dearest to leave first, each in its cheapest free slot.

It is the fallback when the solver finds nothing in time, the least the optimiser must reach, and, by
`improve`, the last polish of either answer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from serve.schedule.job import Request
from serve.schedule.options import Options
from serve.schedule.score import Board


def greedy(request: Request, options: Options) -> Board:
    """Return a plan: pinned jobs first, then by what leaving the job for later would cost."""
    board = Board(request, options)
    pinned = {
        index
        for index, job in enumerate(options.jobs)
        if (wish := request.wishes.get(job.id)) is not None and wish.pinned_ms is not None
    }
    urgency = np.where(np.isfinite(options.later_cost), options.later_cost, 0.0)
    for index, mine in ((i, options.of_job(i)) for i in range(len(options.jobs))):
        if len(mine):
            urgency[index] -= float(options.cost[mine].min())
    for index in sorted(range(len(options.jobs)), key=lambda i: (i not in pinned, -urgency[i], i)):
        _place(board, index)
    return board


def improve(board: Board, rounds: int = 20) -> Board:
    """Take each job out and put it where it is cheapest now, until nothing gains any more."""
    for _ in range(rounds):
        before = board.total()
        for index in range(len(board.options.jobs)):
            board.take(index)
            _place(board, index)
        if board.total() > before - 1e-6:
            break
    return board


def board_of(request: Request, options: Options, chosen: NDArray[np.int64]) -> Board:
    """Return the board on which these options stand."""
    board = Board(request, options)
    for option in chosen[chosen >= 0]:
        board.put(int(option))
    return board


def _place(board: Board, job: int) -> None:
    which = board.free(job)
    if not len(which):
        return
    costs = board.cost(job, which)
    best = int(np.argmin(costs))
    if costs[best] < board.options.later_cost[job] + board.options.stay_later[job]:
        board.put(int(which[best]))

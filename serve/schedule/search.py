"""The optimiser's strategy: the whole program when it is small, relaxation and neighbourhoods when not."""

from __future__ import annotations

import time

from serve.schedule.greedy import board_of, improve
from serve.schedule.job import Request
from serve.schedule.options import Options
from serve.schedule.program import build, solve
from serve.schedule.score import Board


def search(request: Request, options: Options, start: Board, seconds: float) -> tuple[Board, float]:
    """Return (the best plan found, a bound below every plan's cost)."""
    deadline = time.monotonic() + seconds
    program = build(request, options)
    answer = solve(program, options, deadline - time.monotonic(), request.settings.gap)
    best = start
    if answer.chosen is not None:
        best = better(best, improve(board_of(request, options, answer.chosen)))
    return best, answer.bound


def better(one: Board, other: Board) -> Board:
    """Return the cheaper plan; the first when they cost the same."""
    return other if other.total() < one.total() - 1e-9 else one

"""The optimiser's strategy: the whole program when it is small, relaxation and neighbourhoods when not.

A large program is too much for a branch and bound at once. Its relaxation gives the bound and prices;
the options that the prices show to be promising make a small program; and its answer is improved by
freeing some jobs at a time and solving for them exactly (large neighbourhood search, Shaw 1998).
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

from serve.schedule.greedy import board_of, improve
from serve.schedule.job import Request
from serve.schedule.options import Options
from serve.schedule.program import Program, build, solve
from serve.schedule.relax import Relaxation, relax
from serve.schedule.score import Board

#: Up to this many options HiGHS takes the whole program.
SMALL = 6_000


def search(request: Request, options: Options, start: Board, seconds: float) -> tuple[Board, float]:
    """Return (the best plan found, a bound below every plan's cost)."""
    deadline = time.monotonic() + seconds
    program = build(request, options)
    easy = _easy_bound(program, options)
    if len(options.job) <= SMALL:
        answer = solve(program, options, seconds, request.settings.gap)
        best = start
        if answer.chosen is not None:
            best = better(best, improve(board_of(request, options, answer.chosen)))
        return best, max(answer.bound, easy)
    relaxed = relax(program, options, start.chosen, time.monotonic() + 0.6 * seconds)
    if relaxed is None:
        return start, easy
    best = better(start, improve(_rounded(request, options, relaxed)))
    return _neighbourhoods(request, options, program, relaxed, best, deadline), relaxed.bound


def _easy_bound(program: Program, options: Options) -> float:
    """Return what the plan costs if no job ever meets another: a bound when the solver has none."""
    n = len(options.job)
    least = np.where(
        np.isfinite(options.later_cost), program.cost[n : n + len(options.jobs)], np.inf
    )
    np.minimum.at(least, options.job, program.cost[:n])
    return float(least.sum())


def better(one: Board, other: Board) -> Board:
    """Return the cheaper plan; the first when they cost the same."""
    return other if other.total() < one.total() - 1e-9 else one


def _rounded(request: Request, options: Options, relaxed: Relaxation) -> Board:
    """Place jobs by the relaxation's shares, the surest first; the rest where it is cheapest."""
    board = Board(request, options)
    shares = relaxed.x[: len(options.job)]
    order = np.argsort(-shares, kind="stable")
    for option in order[shares[order] > 0.01]:
        job = int(options.job[option])
        if board.chosen[job] < 0 and option in board.free(job):
            board.put(int(option))
    later = relaxed.reduced[len(options.job) :]
    for job in np.flatnonzero(board.chosen < 0).tolist():
        free = board.free(job)
        if len(free):  # by its price, which knows what others would pay for the place
            cheapest = free[np.argmin(relaxed.reduced[free])]
            if relaxed.reduced[cheapest] < max(later[job], 0.0) + 1e-6 or np.isinf(
                options.later_cost[job]
            ):
                board.put(int(cheapest))
    return board


def _neighbourhoods(
    request: Request,
    options: Options,
    program: Program,
    relaxed: Relaxation,
    best: Board,
    deadline: float,
) -> Board:
    """Free some lines or one crew's jobs at a time and solve for them, until time or gap is reached."""
    rng = np.random.default_rng(0)  # the same request gives the same plan
    promising = _promising(options, relaxed)
    free_jobs, misses = 30, 0
    while time.monotonic() < deadline:
        cost = best.total()
        if cost - relaxed.bound <= request.settings.gap * cost:
            break
        jobs = _some_jobs(options, best, relaxed, rng, free_jobs)
        tried = _reoptimise(
            request, options, program, promising, best, jobs,
            min(deadline - time.monotonic(), 3.0), relaxed,
        )  # fmt: skip
        if tried.total() < cost - 1e-6:
            best, misses = tried, 0
            continue
        misses += 1
        if misses % 4 == 0:  # small neighbourhoods are spent: larger ones
            free_jobs = min(free_jobs + 5, len(options.jobs))
    return improve(best)


def _promising(options: Options, relaxed: Relaxation, each: int = 40) -> NDArray[np.bool_]:
    """Return which options the prices favour: the `each` best of every job."""
    found = np.zeros(len(options.job), np.bool_)
    for job in range(len(options.jobs)):
        mine = options.of_job(job)
        found[mine[np.argsort(relaxed.reduced[mine], kind="stable")[:each]]] = True
    return found


def _some_jobs(
    options: Options, board: Board, relaxed: Relaxation, rng: np.random.Generator, count: int
) -> NDArray[np.int64]:
    """Return jobs that compete: around a dear one, those of its line, its crew and its time."""
    chosen = board.chosen
    price = np.where(chosen >= 0, relaxed.reduced[np.maximum(chosen, 0)], 0.0)
    later = relaxed.reduced[len(options.job) : len(options.job) + len(chosen)]
    price = np.maximum(np.where(chosen >= 0, price, later), 0.0) + 1e-9
    seed = int(rng.choice(len(chosen), p=price / price.sum()))
    if rng.random() < 0.4:
        return _whole_lines(options, price, seed, rng, count)
    mine = options.of_job(seed)
    wanted = mine[np.argmin(relaxed.reduced[mine])] if len(mine) else -1
    line = options.line_of == options.line_of[seed]
    start = np.where(chosen >= 0, options.start[np.maximum(chosen, 0)], 10**9)
    near = np.full(len(chosen), 10.0**9)
    for option in (wanted, chosen[seed]):
        if option < 0:
            continue
        same = (options.crew[np.maximum(chosen, 0)] == options.crew[option]) & (chosen >= 0)
        distance = np.abs(start - options.start[option]).astype(np.float64)
        near = np.minimum(near, distance + np.where(same | line, 0.0, 72.0))
    near += rng.uniform(0, 36, len(chosen)) - 24 * np.minimum(price / price.mean(), 4.0)
    near[seed] = -1e9
    return np.argsort(near)[:count]


def _whole_lines(
    options: Options, price: NDArray[np.float64], seed: int, rng: np.random.Generator, count: int
) -> NDArray[np.int64]:
    """Return the jobs of the seed's line and of further lines, the dearest the likeliest."""
    dear = np.bincount(options.line_of, price) + price.mean()
    order = rng.permutation(len(dear))
    order = order[np.argsort(-dear[order] * rng.exponential(size=len(order)), kind="stable")]
    lines = [int(options.line_of[seed]), *(int(line) for line in order)]
    jobs: list[int] = []
    for line in dict.fromkeys(lines):
        jobs += np.flatnonzero(options.line_of == line).tolist()
        if len(jobs) >= count:
            break
    return np.array(jobs[: 2 * count], np.int64)


def _reoptimise(
    request: Request,
    options: Options,
    program: Program,
    promising: NDArray[np.bool_],
    board: Board,
    jobs: NDArray[np.int64],
    seconds: float,
    relaxed: Relaxation,
) -> Board:
    """Solve for some jobs exactly, all others staying where they are."""
    n, width = len(options.job), len(program.cost)
    is_free = np.zeros(len(options.jobs), np.bool_)
    is_free[jobs] = True
    chosen = board.chosen
    fixed = np.concatenate(
        [chosen[~is_free & (chosen >= 0)], n + np.flatnonzero(~is_free & (chosen < 0))]
    )
    columns = np.zeros(width, np.bool_)
    columns[:n] = is_free[options.job] & promising
    columns[chosen[is_free & (chosen >= 0)]] = True
    columns[n : n + len(is_free)] = is_free
    matrix = program.matrix
    binary = np.flatnonzero(columns)
    touched = np.zeros(matrix.shape[0], np.bool_)
    touched[matrix[:, binary].indices] = True
    rows = program.by_row[np.flatnonzero(touched)]
    columns[program.binary :] |= np.isin(np.arange(program.binary, width), rows.indices)
    kept = np.flatnonzero(columns)
    touched[matrix[:, kept].indices] = True
    row_numbers = np.flatnonzero(touched)
    part = program.by_row[row_numbers]
    taken = np.asarray(part[:, fixed].sum(axis=1)).ravel()
    integrality = (kept < program.binary).astype(np.int64)
    result = milp(
        program.cost[kept],
        integrality=integrality,
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(
            part[:, kept],
            program.lower[row_numbers] - taken,
            program.upper[row_numbers] - taken,
        ),
        options={"time_limit": max(seconds, 0.1), "mip_rel_gap": 1e-3},
    )
    if result.x is None:
        return board
    answer = chosen.copy()
    answer[is_free] = -1
    picked = kept[(result.x > 0.5) & (kept < n)]
    answer[options.job[picked]] = picked
    return board_of(request, options, answer)

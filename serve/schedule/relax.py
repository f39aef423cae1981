"""The linear relaxation of a large program by column generation: a bound, prices and promising options.

Only some options enter the linear program; its prices (dual values) tell what every other option would
be worth, and those that would help are added until none is left. The optimum is then that of the whole
relaxation, at a fraction of its size (Dantzig & Wolfe 1960; Desrosiers & Lübbecke 2005).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csc_array, csr_array

from serve.schedule.options import Options
from serve.schedule.program import Program


@dataclass(frozen=True, slots=True, eq=False)
class Relaxation:
    """bound: no plan costs less; x: float64[columns]; reduced: float64[columns], reduced costs."""

    bound: float
    x: NDArray[np.float64]
    reduced: NDArray[np.float64]
    finished: bool


def relax(
    program: Program,
    options: Options,
    start: NDArray[np.int64],
    deadline: float,
    tolerance: float = 4e-4,
) -> Relaxation | None:
    """Solve the relaxation, beginning with each job's cheapest options and those of `start`.

    It ends when the bound is within `tolerance` of the relaxation's optimum. Returns None when not
    even a first round fits into the time.
    """
    n = len(options.job)
    active = _first_columns(program, options, start)
    by_column, by_row = program.matrix, program.by_row
    best: Relaxation | None = None
    bound, before = -np.inf, np.inf
    while time.monotonic() < deadline:
        found = _solve(program, by_row, by_column, active, deadline - time.monotonic())
        if found is None:
            break
        x, dual, value = found
        reduced = program.cost - by_column.T @ dual
        # Each job takes at most one more option, so this is a bound before the end, too.
        gains = np.zeros(len(options.jobs))
        np.minimum.at(gains, options.job, reduced[:n])
        bound = max(bound, value + gains.sum())
        missing = ~active[:n] & (reduced[:n] < -1e-6)
        best = Relaxation(bound, x, reduced, finished=not missing.any())
        if not missing.any() or value - bound < tolerance * abs(value):
            return Relaxation(bound, x, reduced, finished=True)
        if before - value < 1e-6 * abs(value) and value - bound < 2 * tolerance * abs(value):
            return best  # the rest would only polish the bound
        before = value
        active[:n] |= _most_useful(options, reduced[:n], missing)
    return best


def _first_columns(
    program: Program, options: Options, start: NDArray[np.int64], each: int = 25
) -> NDArray[np.bool_]:
    """Return which columns begin: the cheapest of each job, the start's, and all that are no options."""
    active = np.zeros(len(program.cost), np.bool_)
    active[len(options.job) :] = True
    active[start[start >= 0]] = True
    for job in range(len(options.jobs)):
        mine = options.of_job(job)
        pinned = not np.isfinite(options.later_cost[job])
        cheapest = np.argsort(program.cost[mine], kind="stable")
        active[mine if pinned else mine[cheapest[:each]]] = True
    return active


def _most_useful(
    options: Options, reduced: NDArray[np.float64], missing: NDArray[np.bool_], each: int = 15
) -> NDArray[np.bool_]:
    """Return the missing options with the lowest reduced costs, a few of each job."""
    chosen = np.zeros(len(reduced), np.bool_)
    which = np.flatnonzero(missing)
    order = which[np.lexsort((reduced[which], options.job[which]))]
    jobs = options.job[order]
    first = np.searchsorted(jobs, jobs, side="left")
    chosen[order[np.arange(len(order)) - first < each]] = True
    return chosen


def _solve(
    program: Program,
    by_row: csr_array,
    by_column: csc_array,
    active: NDArray[np.bool_],
    seconds: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float] | None:
    """Solve the linear program of the active columns: (x, dual, value), or None without an answer."""
    n_free = int(active[: program.binary].sum())
    columns = np.flatnonzero(active)
    binary = columns[:n_free]
    touched = np.zeros(by_row.shape[0], np.bool_)
    touched[by_column[:, binary].indices] = True
    rows = np.flatnonzero(touched)
    part = by_row[rows][:, columns]
    equal = program.lower[rows] == program.upper[rows]
    result = linprog(
        program.cost[columns],
        A_ub=part[~equal],
        b_ub=program.upper[rows][~equal],
        A_eq=part[equal],
        b_eq=program.upper[rows][equal],
        bounds=(0, 1),
        method="highs-ds",
        options={"time_limit": max(seconds, 0.1)},
    )
    if result.status != 0 or result.fun is None:
        return None
    x = np.zeros(len(program.cost))
    x[columns] = result.x
    dual = np.zeros(by_row.shape[0])
    dual[rows[equal]] = result.eqlin.marginals
    dual[rows[~equal]] = np.minimum(result.ineqlin.marginals, 0.0)
    return x, dual, float(result.fun)

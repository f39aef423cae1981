"""The plan as a mixed-integer program, solved by HiGHS through scipy.

Columns: x[option] ∈ {0,1}; n[job] = 1 when a job gets no slot; y[line, cell] = 1 when a line that
allows several machines out at once stands still; z[line, day] = 1 when a line is run down that day.
y and z need no integrality: they are the largest of the x that force them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array, csc_array, csr_array

from serve.schedule.job import Request
from serve.schedule.options import Options


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """min cost·v, lower ≤ A v ≤ upper, 0 ≤ v ≤ 1; the first `binary` columns are binary.

    `matrix` and `by_row` are the same A, by column and by row.
    """

    cost: NDArray[np.float64]
    matrix: csc_array
    by_row: csr_array
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    binary: int


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """chosen: option of each job or -1; bound: no plan costs less; done: the solver finished."""

    chosen: NDArray[np.int64] | None
    bound: float
    done: bool


class _Rows:
    """Collects the entries of a sparse matrix row by row."""

    def __init__(self) -> None:
        self.rows: list[NDArray[np.int64]] = []
        self.columns: list[NDArray[np.int64]] = []
        self.values: list[NDArray[np.float64]] = []
        self.lower: list[NDArray[np.float64]] = []
        self.upper: list[NDArray[np.float64]] = []
        self.count = 0

    def block(self, count: int, lower: float, upper: NDArray[np.float64] | float) -> int:
        """Open `count` rows with these limits; return the number of the first."""
        first = self.count
        self.count += count
        self.lower.append(np.full(count, lower))
        self.upper.append(np.broadcast_to(np.asarray(upper, np.float64), (count,)))
        return first

    def put(
        self,
        rows: NDArray[np.int64],
        columns: NDArray[np.int64],
        values: NDArray[np.float64] | float,
    ) -> None:
        """Add entries; a scalar stands for all of them."""
        self.rows.append(np.asarray(rows, np.int64))
        self.columns.append(np.asarray(columns, np.int64))
        self.values.append(np.broadcast_to(np.asarray(values, np.float64), rows.shape))


def build(request: Request, options: Options) -> Program:
    """Write the program down."""
    n_options, n_jobs, cells = len(options.job), len(options.jobs), options.grid.cells
    can_wait = np.flatnonzero(np.isfinite(options.later_cost))
    rows = _Rows()
    each = rows.block(n_jobs, 1.0, 1.0)
    rows.put(each + options.job, np.arange(n_options), 1.0)
    rows.put(each + can_wait, n_options + can_wait, 1.0)
    option, cell = worked_cells(options)
    size = np.array([job.crew_size for job in options.jobs], np.float64)
    people = options.people.ravel().astype(np.float64)
    crews = rows.block(len(people), -np.inf, people)
    rows.put(crews + options.crew[option] * cells + cell, option, size[options.job[option]])
    _parts(request, options, rows)
    own, shared = _line_rows(request, options, rows, n_options + n_jobs)
    width = n_options + n_jobs + len(shared)
    matrix = coo_array(
        (np.concatenate(rows.values), (np.concatenate(rows.rows), np.concatenate(rows.columns))),
        shape=(rows.count, width),
    ).tocsr()
    used = np.diff(matrix.indptr) > 0
    later = np.where(np.isfinite(options.later_cost), options.later_cost + options.stay_later, 0.0)
    return Program(
        cost=np.concatenate([options.cost + options.stay + own, later, shared]),
        matrix=csc_array(matrix[used]),
        by_row=csr_array(matrix[used]),
        lower=np.concatenate(rows.lower)[used],
        upper=np.concatenate(rows.upper)[used],
        binary=n_options + n_jobs,
    )


def solve(program: Program, options: Options, seconds: float, gap: float) -> Answer:
    """Run HiGHS. `chosen` is None when no plan was found in time."""
    width = len(program.cost)
    integrality = np.zeros(width, np.int64)
    integrality[: program.binary] = 1
    result = milp(
        program.cost,
        integrality=integrality,
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(program.matrix, program.lower, program.upper),
        options={"time_limit": seconds, "mip_rel_gap": gap},
    )
    finished = bool(result.success)
    bound = getattr(result, "mip_dual_bound", None)
    bound = -np.inf if bound is None else float(bound)
    if result.x is None:
        return Answer(None, bound, finished)
    chosen = np.full(len(options.jobs), -1, np.int64)
    picked = np.flatnonzero(result.x[: len(options.job)] > 0.5)
    chosen[options.job[picked]] = picked
    return Answer(chosen, bound, finished)


def worked_cells(options: Options) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (option, cell) for every cell in which a crew works."""
    option, cell = out_cells(options)
    if not options.carried:
        return option, cell
    plain = ~np.isin(option, np.array(list(options.carried), np.int64))
    pieces = [(np.full(len(c), o, np.int64), c) for o, c in options.carried.items()]
    return (
        np.concatenate([option[plain], *[o for o, _ in pieces]]),
        np.concatenate([cell[plain], *[c for _, c in pieces]]),
    )


def out_cells(options: Options) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (option, cell) for every cell in which a machine is out."""
    lengths = options.stop - options.start
    option = np.repeat(np.arange(len(options.job)), lengths)
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return option, np.arange(len(option)) - first + options.start[option]


def _parts(request: Request, options: Options, rows: _Rows) -> None:
    """Until a part ordered today can be here, no more are used than there are in stock."""
    start_ms = options.grid.start_ms + options.start * options.grid.slot_ms
    for name, part in request.plant.parts.items():
        need = np.array([job.parts.get(name, 0) for job in options.jobs], np.float64)
        stock = request.stock(name)
        if need.sum() <= stock:
            continue
        early = start_ms < request.now_ms + round(part.lead_time_d * 86_400_000)
        uses = np.flatnonzero(early & (need[options.job] > 0))
        row = rows.block(1, -np.inf, float(stock))
        rows.put(np.full(len(uses), row), uses, need[options.job[uses]])


def _line_rows(
    request: Request, options: Options, rows: _Rows, first_column: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Add the lines' limits and what their jobs share.

    Returns (own cost of each option where nothing can be shared, costs of the columns y and z).
    """
    lines = options.lines
    line = options.line_of[options.job]
    jobs_on = np.bincount(options.line_of, minlength=len(lines.names))
    restart = request.settings.restart_h * lines.rate
    stops = options.stop_h > 0
    parallel = (lines.limit > 1) & (jobs_on > 1)
    shares_restart = (jobs_on > 1) & (restart > 0)
    own = np.where(parallel[line], 0.0, lines.rate[line] * options.stop_h)
    own += np.where(stops & ~shares_restart[line], restart[line], 0.0)
    option, cell = out_cells(options)
    out_line = line[option]
    cells = options.grid.cells
    crowded = (jobs_on > options.room.min(axis=1, initial=10**6))[out_line]
    limits = rows.block(len(lines.names) * cells, -np.inf, options.room.ravel().astype(np.float64))
    rows.put(limits + out_line[crowded] * cells + cell[crowded], option[crowded], 1.0)
    costs = []
    counts = parallel[out_line] & (lines.producing_h[out_line, cell] > 0)
    if counts.any():
        hour = out_line[counts] * cells + cell[counts]
        price = (lines.rate[:, None] * lines.producing_h).ravel()
        costs.append(
            _largest(rows, hour, options.job[option[counts]], option[counts], first_column, price)
        )
        first_column += len(costs[-1])
    day_stop = stops & shares_restart[line]
    if day_stop.any():
        which = np.flatnonzero(day_stop)
        base = int(lines.day.min())
        span = int(lines.day.max()) - base + 1
        day = line[which] * span + lines.day[line[which], options.start[which]] - base
        price = np.repeat(restart, span)
        costs.append(_largest(rows, day, options.job[which], which, first_column, price))
    return own, np.concatenate(costs) if costs else np.zeros(0)


def _largest(
    rows: _Rows,
    group: NDArray[np.int64],
    job: NDArray[np.int64],
    option: NDArray[np.int64],
    first_column: int,
    price: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Add a column per group that is at least the share of every job in it; return their costs."""
    groups, column = np.unique(group, return_inverse=True)
    pairs, row = np.unique(column * (int(job.max()) + 1) + job, return_inverse=True)
    first = rows.block(len(pairs), -np.inf, 0.0)
    rows.put(first + row, option, 1.0)
    owner = pairs // (int(job.max()) + 1)
    rows.put(first + np.arange(len(pairs)), first_column + owner, -1.0)
    return price[groups]

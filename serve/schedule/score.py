"""A set of chosen options: is it allowed beside others, what does it cost together.

Keeps occupancy by cell, so that the greedy planner and the explanation can ask for one job at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plant.times import DAY_MS
from serve.schedule.job import Request
from serve.schedule.options import Options


class Board:
    """The plan as pieces on a board: `put` and `take` jobs, ask which options of a job are free."""

    def __init__(self, request: Request, options: Options) -> None:
        self.request, self.options = request, options
        cells = options.grid.cells
        lines = options.lines
        self.people = options.people.copy()
        self.out = np.zeros((len(lines.names), cells), np.int64)
        self.day0 = int(lines.day.min()) if lines.day.size else 0
        days = int(lines.day.max()) - self.day0 + 1 if lines.day.size else 1
        self.run_down = np.zeros((len(lines.names), days), np.int64)
        self.early_parts = {name: request.stock(name) for name in request.plant.parts}
        self.chosen = np.full(len(options.jobs), -1, np.int64)
        self._by_job = [options.of_job(j) for j in range(len(options.jobs))]
        self._arrival = {
            name: request.now_ms + round(part.lead_time_d * DAY_MS)
            for name, part in request.plant.parts.items()
        }

    def put(self, option: int) -> None:
        """Give a job its option."""
        self._change(option, 1)
        self.chosen[self.options.job[option]] = option

    def take(self, job: int) -> int:
        """Remove a job; return the option it had, or -1."""
        option = int(self.chosen[job])
        if option >= 0:
            self._change(option, -1)
            self.chosen[job] = -1
        return option

    def free(self, job: int) -> NDArray[np.int64]:
        """Return the options of a job that fit beside what stands."""
        options, mine = self.options, self._by_job[job]
        if not len(mine):
            return mine
        item = options.jobs[job]
        no_people = _before(self.people < item.crew_size)
        start, stop, crew = options.start[mine], options.stop[mine], options.crew[mine]
        line = options.line_of[job]
        full = _before((self.out[line] >= options.room[line])[None])[0]
        fits = full[stop] == full[start]
        if int(mine[0]) in options.carried:
            fits &= np.array(
                [
                    (self.people[options.crew[o], options.worked(o)] >= item.crew_size).all()
                    for o in mine
                ]
            )
        else:
            fits &= no_people[crew, stop] == no_people[crew, start]
        at = options.grid.start_ms + start * options.grid.slot_ms
        for name, count in item.parts.items():
            if name in self.early_parts and self.early_parts[name] < count:
                fits &= at >= self._arrival[name]
        free: NDArray[np.int64] = mine[fits]
        return free

    def cost(self, job: int, which: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what each of a job's options would add to the plan, stability included."""
        options, lines = self.options, self.options.lines
        line = options.line_of[job]
        still = np.where(self.out[line] > 0, 0.0, lines.producing_h[line])
        before = np.concatenate([[0.0], np.cumsum(still)])
        start, stop = options.start[which], options.stop[which]
        stopped = before[stop] - before[start]
        day = lines.day[line, start] - self.day0
        restart = (options.stop_h[which] > 0) & (self.run_down[line, day] == 0)
        added: NDArray[np.float64] = (
            options.cost[which]
            + options.stay[which]
            + lines.rate[line] * (stopped + self.request.settings.restart_h * restart)
        )
        return added

    def total(self, *, stability: bool = True) -> float:
        """Return the cost of the whole plan, jobs without a slot included."""
        options, lines = self.options, self.options.lines
        placed = self.chosen[self.chosen >= 0]
        waiting = np.flatnonzero(self.chosen < 0)
        stopped = ((self.out > 0) * lines.producing_h).sum(axis=1)
        restarts = self.request.settings.restart_h * (self.run_down > 0).sum(axis=1)
        return float(
            options.cost[placed].sum()
            + stability * (options.stay[placed].sum() + options.stay_later[waiting].sum())
            + options.later_cost[waiting].sum()
            + (lines.rate * (stopped + restarts)).sum()
        )

    def _change(self, option: int, sign: int) -> None:
        options = self.options
        job = int(options.job[option])
        item, line = options.jobs[job], options.line_of[job]
        start, stop = options.start[option], options.stop[option]
        self.people[options.crew[option], options.worked(option)] -= sign * item.crew_size
        self.out[line, start:stop] += sign
        if options.stop_h[option] > 0:
            self.run_down[line, options.lines.day[line, start] - self.day0] += sign
        at = options.grid.at(int(start))
        for name, count in item.parts.items():
            if name in self.early_parts and at < self._arrival[name]:
                self.early_parts[name] -= sign * count


def _before(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many marked cells lie before each cell: int64[rows, cells + 1]."""
    return np.pad(np.cumsum(mask, axis=1), ((0, 0), (1, 0)))

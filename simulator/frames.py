"""From hidden state to readings: whole histories at once, or any window of samples, the same bits.

Sample k of a machine is taken at start + k intervals. Noise comes in blocks keyed by (seed, machine,
block), and `Machine.measure` uses only operations that IEEE 754 rounds exactly, so a value depends
on its index alone and not on the window it was computed in.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from plant.asset import AssetPath
from plant.reading import Reading
from plant.times import DAY_MS, HOUR_MS
from simulator.machine import State
from simulator.rng import keyed
from simulator.trace import Array, Trace
from simulator.unit import Unit

if TYPE_CHECKING:
    from simulator.plant import PlantSimulation

#: Samples per block of noise.
BLOCK = 4096


@dataclass(frozen=True, slots=True, eq=False)
class AssetFrame:
    """Readings of one machine, in the order they were taken.

    ts_ms int64[n]: what the machine's clock said (ascending unless that clock is at fault); taken_ms
    int64[n]: the true times; seq int64[n]: the sample's number; values float64[n, S] in the order of
    signals, NaN where a sensor gave nothing.
    """

    asset: AssetPath
    ts_ms: NDArray[np.int64]
    signals: tuple[str, ...]
    values: Array
    taken_ms: NDArray[np.int64]
    seq: NDArray[np.int64]
    run_id: str = ""

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas frame: index UTC time, one column per signal."""
        index = pd.DatetimeIndex(pd.to_datetime(self.ts_ms, unit="ms", utc=True), name="ts")
        return pd.DataFrame(self.values, index=index, columns=list(self.signals))

    def readings(self) -> Iterator[Reading]:
        """Yield the readings one by one, marked as simulated; missing values are left out."""
        rows = zip(self.ts_ms.tolist(), self.seq.tolist(), self.values.tolist(), strict=True)
        for ts_ms, seq, row in rows:
            pairs = zip(self.signals, row, strict=True)
            values = {name: value for name, value in pairs if value == value}  # noqa: PLR0124 - NaN
            if values:
                yield Reading(self.asset, ts_ms, values, seq, None, True, self.run_id)


class Sampler:
    """Computes readings of a simulated plant for any range of samples that has happened."""

    def __init__(self, plant: PlantSimulation) -> None:
        self._seed, self._start_ms = plant.seed, plant.start_ms
        self._run_id = plant.run_id
        self.faults = plant.faults
        self.interval_ms = max(round(plant.settings.interval_s * 1000), 1)
        self.units: dict[AssetPath, Unit] = {a: plant.stations[a].unit for a in plant.shown}
        self._ambient: dict[str, tuple[Trace, int]] = {}
        self._noise: dict[AssetPath, tuple[int, Array]] = {}

    def index(self, ts_ms: int) -> int:
        """Return the number of the first sample at or after `ts_ms`."""
        return max(-(-(ts_ms - self._start_ms) // self.interval_ms), 0)

    def ts(self, first: int, stop: int) -> NDArray[np.int64]:
        """Return the times of samples [first, stop)."""
        return self._start_ms + np.arange(first, stop, dtype=np.int64) * self.interval_ms

    def frame(self, asset: AssetPath, start_ms: int, stop_ms: int) -> AssetFrame:
        """Return the readings of one machine taken in [start, stop)."""
        first, stop = self.index(start_ms), self.index(stop_ms)
        unit = self.units[asset]
        columns = np.empty((len(unit.machine.signals), max(stop - first, 0)))
        at = first
        while at < stop:
            end = min((at // BLOCK + 1) * BLOCK, stop)
            trait, changes_ms = unit.trait(self._start_ms + at * self.interval_ms)
            if changes_ms is not None:
                end = min(end, max(self.index(changes_ms), at + 1))
            self._fill(unit, trait, at, end, columns[:, at - first : end - first])
            at = end
        taken, seq = self.ts(first, stop), np.arange(first, max(stop, first), dtype=np.int64)
        values, ts = columns.T, taken
        if self.faults.active:
            there = self.faults.arrives(asset, taken)
            values, taken, seq = values[there], taken[there], seq[there]
            ts = self.faults.stamp(asset, taken)
        signals = tuple(unit.machine.signals)
        return AssetFrame(asset, ts, signals, values, taken, seq, self._run_id)

    def _fill(self, unit: Unit, trait: Array, first: int, stop: int, out: Array) -> None:
        """Compute samples [first, stop) of one block into out [signals, samples]."""
        t = self.ts(first, stop).astype(np.float64)
        block, at = divmod(first, BLOCK)
        columns = self._measure(unit, trait, t, block, at)
        if self.faults.active:
            columns = self.faults.distort(unit, t, block, at, BLOCK, columns)
            self._freeze(unit, t, columns)
        for row, column, signal in zip(out, columns, unit.machine.signals.values(), strict=True):
            np.multiply(column, 10.0**signal.decimals, out=row)
            np.rint(row, out=row)
            np.divide(row, 10.0**signal.decimals, out=row)

    def _measure(self, unit: Unit, trait: Array, t: Array, block: int, at: int) -> list[Array]:
        state = State(
            speed=unit.speed.sample(t),
            load=unit.load.sample(t),
            heat=unit.heat.sample(t),
            ambient=self._climate(unit.asset.site, int(t[-1])).sample(t),
            wear={code: trace.sample(t) for code, trace in unit.wear.items()},
            noise=self._block(unit, block)[:, at : at + len(t)],
            trait=trait,
        )
        return unit.machine.measure(state)

    def _freeze(self, unit: Unit, t: Array, columns: list[Array]) -> None:
        """Hold frozen sensors at the first value of their fault."""
        for fault in self.faults.frozen(unit.asset):
            on = (t >= fault.from_ms) & (t < fault.until_ms)
            if on.any():
                k = list(unit.machine.signals).index(fault.signal)
                first = self.index(fault.from_ms)
                at = self.ts(first, first + 1).astype(np.float64)
                trait, _ = unit.trait(int(at[0]))
                held = self._measure(unit, trait, at, *divmod(first, BLOCK))[k][0]
                columns[k] = np.where(on, held, columns[k])

    def _block(self, unit: Unit, block: int) -> Array:
        """Return the block's noise, float64 [signals, BLOCK]; the latest one is kept per machine."""
        kept = self._noise.get(unit.asset)
        if kept is not None and kept[0] == block:
            return kept[1]
        rng = keyed(self._seed, str(unit.asset), "noise", block)
        noise = rng.standard_normal((len(unit.machine.signals), BLOCK))
        self._noise[unit.asset] = block, noise
        return noise

    def _climate(self, site: str, until_ms: int) -> Trace:
        """Return the site's ambient temperature, planned at least to `until_ms`, day by day."""
        trace, days = self._ambient.get(site, (Trace(self._start_ms, 21.0), 0))
        while self._start_ms + days * DAY_MS <= until_ms:
            today, tomorrow = self._warmth(site, days), self._warmth(site, days + 1)
            hours = np.arange(25)
            level = today[0] + (tomorrow[0] - today[0]) * hours / 24
            swing = 3.5 * np.sin(2 * np.pi * (hours - 9.0) / 24.0)
            wobble = np.append(today[1:], tomorrow[1])
            knots = self._start_ms + days * DAY_MS + hours * HOUR_MS
            trace.plan(knots, level + swing + wobble)
            days += 1
        self._ambient[site] = trace, days
        return trace

    def _warmth(self, site: str, day: int) -> Array:
        """Return a day's mean temperature and its 24 hourly deviations."""
        draw = keyed(self._seed, site, "ambient", day).standard_normal(25) * 0.4
        draw[0] = 21.0 + 5.0 * draw[0]
        return draw


def _frame(job: tuple[Sampler, AssetPath, int, int]) -> AssetFrame:
    sampler, asset, start_ms, stop_ms = job
    return sampler.frame(asset, start_ms, stop_ms)


def sample_frames(
    sampler: Sampler, start_ms: int, stop_ms: int, processes: int = 1
) -> dict[AssetPath, AssetFrame]:
    """Return the readings of all machines in [start, stop), computed by one process or several."""
    jobs = [(sampler, asset, start_ms, stop_ms) for asset in sampler.units]
    if processes <= 1:
        return {job[1]: _frame(job) for job in jobs}
    with ProcessPoolExecutor(processes) as pool:
        return {frame.asset: frame for frame in pool.map(_frame, jobs)}

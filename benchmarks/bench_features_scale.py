"""Backfill on 1, 2 and 4 Dask workers, and a cost model that must predict what is measured.

The model is fitted on small runs: seconds = start + assets x (a + b x values + c x rows) / speed-up,
values and rows per machine; a, b, c with one worker, the speed-up of a second core with two. It then
predicts runs it has not seen: other numbers of machines, lengths, rates and workers. Times are the best
of the runs. docs/scaling.md carries it on to 100,000 machines.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from distributed import Client, LocalCluster

from benchmarks.report import emit, say
from features.assemble import SourceTask, run_source, source_tasks
from features.settings import FeatureSettings
from features.sources import Extent
from features.workers import OnDask
from plant.asset import AssetPath
from plant.config import KindSpec, Plant, SignalSpec
from store.port import ReadingBlock

START = 1_699_920_000_000
DAY_MS = 86_400_000
SIGNALS = tuple(f"s{i}" for i in range(8))
PLANT = Plant(kinds={"unknown": KindSpec(signals={name: SignalSpec() for name in SIGNALS})})
SETTINGS = FeatureSettings()


@dataclass(frozen=True)
class Load:
    """So many machines, days, and milliseconds between readings."""

    assets: int
    days: int
    step_ms: int

    @property
    def values(self) -> int:
        """Values of one machine."""
        return self.days * DAY_MS // self.step_ms * len(SIGNALS)

    @property
    def rows(self) -> int:
        """Rows of one machine."""
        return self.days * DAY_MS // SETTINGS.grid


@lru_cache(maxsize=4)
def _history(days: int, step_ms: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    n = days * DAY_MS // step_ms
    rng = np.random.default_rng(seed)
    values = np.asfortranarray(rng.normal(size=(len(SIGNALS), n)).cumsum(axis=1).T * 0.01 + 50)
    return START + np.arange(n, dtype=np.int64) * step_ms, values


@dataclass(frozen=True)
class MadeUp:
    """Readings that every worker can make for itself."""

    load: Load
    seed: int

    def read_readings(self, asset: AssetPath, start_ms: int, stop_ms: int) -> ReadingBlock:
        ts, values = _history(self.load.days, self.load.step_ms, self.seed)
        low, high = np.searchsorted(ts, [start_ms, stop_ms])
        part = np.asfortranarray(values[low:high] + float(int(asset.asset[1:])))
        return ReadingBlock(asset, ts[low:high], np.zeros(high - low, np.int64), SIGNALS, part)


def tasks(load: Load, seed: int) -> list[SourceTask]:
    paths = [AssetPath("bench", "l1", f"a{i:05d}") for i in range(load.assets)]
    last = START + load.days * DAY_MS - load.step_ms
    extents = [Extent(path, START, last, SIGNALS) for path in paths]
    return source_tasks(MadeUp(load, seed), extents, PLANT, SETTINGS)


def work(task: SourceTask) -> float:
    """Make the rows of one machine on a worker and hand back a checksum, as a writer there would."""
    return float(np.nansum(run_source(task).X[-1]))


def measure(client: Client, load: Load, seed: int, runs: int) -> tuple[float, float]:
    """Return (best seconds, checksum)."""
    workers = OnDask(client, ahead=2)
    times, checksum = [], 0.0
    list(workers.run(work, tasks(load, seed)[:1] * len(client.nthreads())))  # make the readings
    for _ in range(runs):
        began = time.perf_counter()
        checksum = sum(sorted(result for _, result in workers.run(work, tasks(load, seed))))
        times.append(time.perf_counter() - began)
    return min(times), checksum


def terms(load: Load) -> list[float]:
    return [1.0, load.assets, load.assets * load.values / 1e6, load.assets * load.rows / 1e3]


def main() -> None:
    """Fit the model on small loads, then measure and predict others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    logging.getLogger("distributed").setLevel(logging.ERROR)
    scale, runs = (1, 1) if args.quick else (3, 3)
    fit = [
        Load(2, 10 * scale, 60_000),
        Load(8, 10 * scale, 60_000),
        Load(2, 10 * scale, 5_000),
        Load(6, 10 * scale, 5_000),
        Load(3, 40 * scale, 60_000),
        Load(12, 5 * scale, 60_000),
    ]
    new = [Load(16, 20 * scale, 60_000), Load(12, 15 * scale, 10_000)]
    cores = len(os.sched_getaffinity(0))
    coefficients = np.zeros(4)
    second_core = 1.0
    alone: dict[Load, float] = {}
    sums: dict[Load, float] = {}
    for workers in (1, 2, 4):
        say(f"features-scale: {workers} workers")
        with (
            LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
            ) as cluster,
            Client(cluster) as client,
        ):
            if workers == 1:
                seconds = np.array([measure(client, load, args.seed, runs)[0] for load in fit])
                weighted = np.array([terms(load) for load in fit]) / seconds[:, None]
                coefficients = _non_negative(weighted, np.ones(len(fit)))
                for load, took in zip(fit, seconds, strict=True):
                    say(f"  fitted on {load}: {took:.2f} s")
            if workers == 2:
                load = fit[1]
                start, *rest = terms(load)
                busy = float(np.dot(coefficients[1:], rest))
                took, _ = measure(client, load, args.seed, runs)
                second_core = busy / max(took - float(coefficients[0]) * start, 1e-9) - 1.0
                second_core = min(max(second_core, 0.0), 1.0)
            for load in new:
                took, checksum = measure(client, load, args.seed, runs)
                alone.setdefault(load, took)
                same = sums.setdefault(load, checksum) == checksum
                start, *rest = terms(load)
                busy = float(np.dot(coefficients[1:], rest))
                speed_up = 1 + second_core * (min(workers, cores) - 1)
                predicted = float(coefficients[0]) * start + busy / speed_up
                emit(
                    "features-scale", f"workers-{workers}", assets=load.assets, days=load.days,
                    step_ms=load.step_ms, values=load.assets * load.values,
                    rows=load.assets * load.rows, seconds=round(took, 3),
                    speed_up=round(alone[load] / took, 2), predicted_s=round(predicted, 3),
                    off_by=round(predicted / took - 1, 3),
                    within_25_percent=abs(predicted / took - 1) <= 0.25, same_result=same,
                    cores=cores, seed=args.seed, runs=runs,
                )  # fmt: skip
    start, per_asset, per_value, per_row = coefficients.tolist()
    year = Load(100_000, 365, 60_000)
    core_hours = float(np.dot(coefficients, terms(year))) / 3600
    emit(
        "features-scale", "model", start_s=round(start, 4), per_asset_s=round(per_asset, 5),
        per_million_values_s=round(per_value, 5), per_thousand_rows_s=round(per_row, 5),
        second_core=round(second_core, 3), seed=args.seed,
        year_of_100000_assets_core_hours=round(core_hours, 1),
    )  # fmt: skip


def _non_negative(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Least squares with coefficients that cannot be negative: no work takes less than no time."""
    from scipy.optimize import nnls

    solution, _ = nnls(A, b)
    return np.asarray(solution)


if __name__ == "__main__":
    main()

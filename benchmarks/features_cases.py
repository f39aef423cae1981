"""The cases of `bench_features` that have no peer: ticks, a year of a plant, the share of the store."""

from __future__ import annotations

import resource
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import emit, say
from features.assemble import run_source, source_tasks
from features.job import FeatureJob
from features.settings import FeatureSettings
from features.sources import Extent
from features.workers import Threads
from plant.asset import AssetPath
from plant.clock import ManualClock
from plant.config import KindSpec, Plant, SignalSpec
from plant.reading import Reading
from store.port import Change, Changes, ReadingBlock, RollupBlock, SeenAsset

BUCKET = 600_000
START = 1_699_920_000_000
SIGNALS = tuple(f"s{i}" for i in range(8))
PLANT = Plant(kinds={"unknown": KindSpec(signals={name: SignalSpec() for name in SIGNALS})})
DAY_MS = 86_400_000


def assets(count: int) -> list[AssetPath]:
    return [AssetPath("bench", "l1", f"a{i:04d}") for i in range(count)]


class RamStore:
    """Readings of many alike machines made on demand; rollups kept in memory."""

    def __init__(self, names: list[AssetPath], hz: float, days: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n = round(days * 86_400 * hz)
        self._step = round(1000 / hz)
        self._ts = START + np.arange(n, dtype=np.int64) * self._step
        walk = rng.normal(size=(len(SIGNALS), n)).cumsum(axis=1) * 0.01 + 50
        self._values = np.asfortranarray(walk.T)
        self._names = names
        self._rollups: dict[AssetPath, list[RollupBlock]] = {}
        self.announced = 0

    def changes(self, cursor: str, limit: int = 100_000) -> Changes:
        del limit
        done = int(cursor or 0)
        items = tuple(
            Change(asset, START + bucket * BUCKET, 0)
            for bucket in range(done, self.announced)
            for asset in self._names
        )
        return Changes(str(self.announced), items)

    def read_readings(self, asset: AssetPath, start_ms: int, stop_ms: int) -> ReadingBlock:
        low, high = np.searchsorted(self._ts, [start_ms, stop_ms])
        ts = self._ts[low:high]
        return ReadingBlock(asset, ts, np.zeros_like(ts), SIGNALS, self._values[low:high])

    def write_rollups(self, block: RollupBlock) -> None:
        self._rollups.setdefault(block.asset, []).append(block)

    def read_rollups(
        self, asset: AssetPath, bucket_ms: int, start_ms: int, stop_ms: int
    ) -> RollupBlock:
        parts = self._rollups.get(asset, [])
        if not parts:
            nothing = np.empty((0, 0, 0))
            return RollupBlock(asset, bucket_ms, np.empty(0, np.int64), (), (), nothing)
        start = np.concatenate([part.start_ms for part in parts])
        values = np.concatenate([part.values for part in parts])
        inside = (start >= start_ms) & (start < stop_ms)
        return RollupBlock(
            asset, bucket_ms, start[inside], parts[0].signals, parts[0].stats, values[inside]
        )

    def read_events(self, *_: Any, **__: Any) -> list[Any]:
        return []

    def assets(self) -> list[SeenAsset]:
        first, last = int(self._ts[0]), int(self._ts[-1])
        return [SeenAsset(a, first, last, len(self._ts), SIGNALS, False, "") for a in self._names]


def tick(seed: int, count: int) -> None:
    """Time the rows of all machines once their buckets are closed, at two sampling rates, turn about."""
    settings = FeatureSettings(lateness_ms=0)
    days, ticks = 1.5, 12
    first = round((days - 0.25) * 144)
    jobs: dict[float, tuple[RamStore, FeatureJob]] = {}
    for hz in (1.0, 0.1):
        say(f"features: preparing {count} machines at {hz} Hz")
        store = RamStore(assets(count), hz, days, seed)
        job = FeatureJob(store, PLANT, settings)  # type: ignore[arg-type] # what the job needs of a store
        store.announced = first
        job.tick(START + first * BUCKET)
        jobs[hz] = store, job
    spent: dict[float, list[tuple[float, float]]] = {1.0: [], 0.1: []}
    rows = 0
    for number in range(first + 1, first + 1 + ticks):
        for hz, (store, job) in jobs.items():
            store.announced = number
            now = START + number * BUCKET
            began = time.perf_counter()
            job.close_buckets(now)
            closed = time.perf_counter()
            rows = len(job.tick(now))
            spent[hz].append((closed - began, time.perf_counter() - closed))
    figures = {}
    for hz, times in spent.items():
        close_s = statistics.median(t[0] for t in times)
        figures[hz] = statistics.median(t[1] for t in times)
        emit(
            "features", f"tick-{hz:g}Hz", assets=count, signals=8, rows=rows, ticks=ticks, seed=seed,
            tick_s=round(figures[hz], 4), close_s=round(close_s, 4),
            readings_closed=round(count * 600 * hz),
        )  # fmt: skip
    emit(
        "features", "tick", ratio_1hz_to_01hz=round(figures[1.0] / figures[0.1], 3),
        under_1_s=max(figures.values()) < 1.0 if count >= 1_000 else None, assets=count,
        peak_mib=_peak_mib(),
    )  # fmt: skip


def _peak_mib() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


class YearSource:
    """A year at one reading a minute; each machine's frame is the base frame moved in value."""

    def __init__(self, seed: int) -> None:
        n = 365 * 1440
        rng = np.random.default_rng(seed)
        self._ts = START + np.arange(n, dtype=np.int64) * 60_000
        self._base = np.empty((n, len(SIGNALS)), order="F")
        for s in range(len(SIGNALS)):
            self._base[:, s] = rng.normal(size=n).cumsum() * 0.01 + 50
        self._received = np.zeros(n, dtype=np.int64)

    def extent(self, asset: AssetPath) -> Extent:
        return Extent(asset, int(self._ts[0]), int(self._ts[-1]), SIGNALS)

    def read_readings(self, asset: AssetPath, start_ms: int, stop_ms: int) -> ReadingBlock:
        low, high = np.searchsorted(self._ts, [start_ms, stop_ms])
        values = np.asfortranarray(self._base[low:high] + float(int(asset.asset[1:])))
        return ReadingBlock(asset, self._ts[low:high], self._received[low:high], SIGNALS, values)


def year(seed: int, count: int) -> None:
    """Backfill a year of 100 machines from frames: rollups and every row on the ten-minute grid."""
    say(f"features: a year of {count} machines")
    source = YearSource(seed)
    extents = [source.extent(asset) for asset in assets(count)]
    settings = FeatureSettings()
    list(Threads(1).run(run_source, source_tasks(source, extents[:1], PLANT, settings)))  # compile
    tasks = source_tasks(source, extents, PLANT, settings)
    rows = values = 0
    checksum = 0.0
    began, busy = time.perf_counter(), time.process_time()
    for task, made in Threads(2).run(run_source, tasks):
        rows += len(made.ts_ms)
        values += 365 * 1440 * len(SIGNALS)
        checksum += float(np.nansum(made.X[-1]))
        del task
    seconds = time.perf_counter() - began
    peak = _peak_mib()
    emit(
        "features", "year", assets=count, values=values, rows=rows, seconds=round(seconds, 2),
        cpu_s=round(time.process_time() - busy, 2), values_per_s=round(values / seconds), cores=2,
        features=len(tasks[0].plan.catalogue), peak_mib=peak, checksum=round(checksum, 6), seed=seed,
        under_3_min=seconds < 180 if count >= 100 else None, under_4_gib=peak < 4096,
    )  # fmt: skip


class Timed:
    """A store that counts the seconds spent in it."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - began

        return call


def _readings(asset: AssetPath, days: int, seed: int) -> Iterable[Sequence[Reading]]:
    rng = np.random.default_rng(seed)
    for day in range(days):
        values = rng.normal(size=(1440, len(SIGNALS))).cumsum(axis=0) + 50
        yield [
            Reading(
                asset,
                START + day * DAY_MS + i * 60_000,
                dict(zip(SIGNALS, row, strict=True)),
                received_ms=START + day * DAY_MS + i * 60_000 + 50,
            )
            for i, row in enumerate(values.tolist())
        ]


def from_stores(seed: int, count: int) -> None:
    """Backfill a month at one reading a minute from SQLite and from a real influxd."""
    from store.sqlite import SqliteStore

    days = 30
    with tempfile.TemporaryDirectory() as folder:
        clock = ManualClock(START + days * DAY_MS)
        _from_store("sqlite", SqliteStore(Path(folder) / "sqlite", clock), seed, count, days)
        from store.influx import InfluxStore
        from store.influx_setup import ensure_buckets
        from store.settings import InfluxSettings, RetentionSettings
        from vigie.servers import Influxd, ServerMissingError

        try:
            server = Influxd().start()
        except ServerMissingError as error:
            say(f"features: no influxd case: {error}")
            return
        with server:
            settings = InfluxSettings(url=server.url, org=server.org, token=server.token)
            keep = RetentionSettings(
                readings="forever", rollups="forever", risks="forever", events="forever"
            )
            ensure_buckets(settings, keep)
            store = InfluxStore(settings, Path(folder) / "influx", clock)
            _from_store("influx", store, seed, count, days)


def _from_store(name: str, store: Any, seed: int, count: int, days: int) -> None:
    for number, asset in enumerate(assets(count)):
        say(f"features: filling {name}, {asset}")
        for batch in _readings(asset, days, seed + number):
            store.write_readings(batch)
    timed = Timed(store)
    job = FeatureJob(timed, PLANT, FeatureSettings())  # type: ignore[arg-type] # passes all on
    began = time.perf_counter()
    table = job.backfill(START, START + days * DAY_MS)
    seconds = time.perf_counter() - began
    values = count * days * 1440 * len(SIGNALS)
    emit(
        "features", f"backfill-{name}", assets=count, days=days, values=values, rows=len(table),
        seconds=round(seconds, 2), values_per_s=round(values / seconds),
        store_share=round(timed.seconds / seconds, 3), seed=seed,
        a_year_of_100_assets_min=round(seconds / values * 420e6 / 60, 1),
    )  # fmt: skip
    store.close()

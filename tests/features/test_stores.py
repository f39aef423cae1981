"""The same bits from SQLite and InfluxDB, on none, one and four Dask workers, and after kill -9."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from distributed import LocalCluster

from features.job import FeatureJob
from features.partition import StoreAddress
from features.table import FeatureTable
from features.workers import Threads, open_workers
from plant.clock import ManualClock
from store.influx import InfluxStore
from store.influx_setup import ensure_buckets
from store.port import Store
from store.settings import InfluxSettings, RetentionSettings, StoreSettings
from store.sqlite import SqliteStore
from tests.features.memory_store import MemoryStore
from tests.features.test_parity import HOUR, history, same_bits
from tests.features.worlds import PLANT, PUMP, SETTINGS, START, readings, repairs
from tests.servers import Influxd

HOURS = 12
STOP = START + HOURS * HOUR + 1
_number = itertools.count()


@pytest.fixture(params=["sqlite", pytest.param("influx", marks=pytest.mark.influxd)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    clock = ManualClock(STOP)
    if request.param == "sqlite":
        opened: Store = SqliteStore(tmp_path, clock)
    else:
        server: Influxd = request.getfixturevalue("influxd")
        settings = InfluxSettings(
            url=server.url, org=server.org, token=server.token, bucket=f"f{next(_number)}"
        )
        ensure_buckets(
            settings,
            RetentionSettings(
                readings="forever", rollups="forever", risks="forever", events="forever"
            ),
        )
        opened = InfluxStore(settings, tmp_path, clock)
    yield opened
    opened.close()


def test_a_real_store_gives_the_bits_of_the_plain_one(store: Store) -> None:
    arrivals = readings(7, HOURS, late=0.05)
    store.write_readings(arrivals)
    store.write_events(repairs())
    table = FeatureJob(store, PLANT, SETTINGS).backfill(START, STOP)
    same_bits(table, history(arrivals, HOURS, {}))


def test_live_ticks_on_a_real_store(store: Store) -> None:
    arrivals = readings(8, 5, late=0.05)
    job = FeatureJob(store, PLANT, SETTINGS)
    tables = []
    sent = 0
    for t in range(START + 600_000, START + 5 * HOUR + 1, 600_000):
        now = t + SETTINGS.lateness_ms
        until = sent
        while until < len(arrivals) and (arrivals[until].received_ms or 0) <= now:
            until += 1
        store.write_readings(arrivals[sent:until])
        sent = until
        tables.append(job.tick(now))
    plain = MemoryStore()
    plain.write_readings(arrivals)
    rows = FeatureJob(plain, PLANT, SETTINGS).backfill(START, START + 5 * HOUR + 1)  # type: ignore[arg-type]
    ticks = FeatureTable.concat(tables)
    known = np.isin(ticks.ts_ms, rows.ts_ms)
    same_bits(ticks.take(known), rows)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    store = SqliteStore(tmp_path / "data", ManualClock(STOP))
    store.write_readings(readings(3, HOURS, late=0.03))
    other = PUMP.__class__("lyon", "l1", "pump-2")
    store.write_readings(readings(4, HOURS, asset=other, late=0.03))
    store.write_events(repairs())
    store.close()
    return tmp_path / "data"


def backfill(data: Path, workers: int = 0, threads: int = 0, scheduler: str = "") -> FeatureTable:
    store = SqliteStore(data, ManualClock(STOP))
    address = StoreAddress(StoreSettings(), data)
    try:
        job = FeatureJob(store, PLANT, SETTINGS, address=address)
        with open_workers(workers, scheduler) as run_on:
            return job.backfill(START, STOP, workers=Threads(threads) if threads else run_on)
    finally:
        store.close()


@pytest.mark.filterwarnings("default")  # Dask's own start-up and shut-down warnings are not ours
def test_no_one_and_four_workers_give_the_same_bits(filled: Path) -> None:
    alone = backfill(filled)
    assert set(alone.assets) == {"lyon/l1/pump-1", "lyon/l1/pump-2"}
    same_bits(backfill(filled, threads=2), alone)
    same_bits(backfill(filled, workers=4), alone)
    with LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        address = cluster.scheduler_address.removeprefix("tcp://")
        same_bits(backfill(filled, scheduler=address), alone)


JOB = """
import sys
from pathlib import Path
from features.job import FeatureJob
from plant.clock import ManualClock
from store.sqlite import SqliteStore
from tests.features.worlds import PLANT, SETTINGS, START
from tests.features.test_stores import STOP
data = Path(sys.argv[1])
store = SqliteStore(data, ManualClock(STOP))
job = FeatureJob(store, PLANT, SETTINGS, state_file=data / "features" / "state.json")
print("ready", flush=True)
job.roll_up()
job.backfill(START, STOP).to_parquet(data / "rows.parquet")
print("done", flush=True)
"""


def test_killed_anywhere_and_run_again_gives_the_same_rows(filled: Path) -> None:
    wanted = backfill(filled)
    for file in filled.glob("store.db*"):
        file.unlink()  # the rollups of the reference run
    for delay in (0.0, 0.05, 0.2):
        process = subprocess.Popen(
            [sys.executable, "-c", JOB, str(filled)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    subprocess.run([sys.executable, "-c", JOB, str(filled)], check=True, capture_output=True)
    same_bits(FeatureTable.from_parquet(filled / "rows.parquet"), wanted)
    subprocess.run([sys.executable, "-c", JOB, str(filled)], check=True, capture_output=True)
    same_bits(FeatureTable.from_parquet(filled / "rows.parquet"), wanted)

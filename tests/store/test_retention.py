"""What expired goes, in small pieces; what is not forwarded stays."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from plant.asset import AssetPath
from plant.clock import ManualClock
from plant.event import Event
from plant.reading import Reading
from plant.times import DAY_MS
from store.forwarder import Forwarder
from store.influx import InfluxStore
from store.influx_setup import ensure_buckets
from store.journal import Batch, Journal
from store.port import RollupBlock
from store.retention import Pruner, prune
from store.schema import journal_path
from store.settings import RetentionSettings, StoreSettings
from store.sqlite import SqliteStore
from tests.servers import Influxd
from tests.store.conftest import FOREVER, NOW_MS, influx_settings
from tests.store.test_contract import risk

PUMP = AssetPath("lyon", "l1", "pump-3")
EVER = (-(10**13), 10**13)
KEEP = RetentionSettings(readings="10d", rollups="20d", risks="30d", events="40d")


def test_sqlite_keeps_each_kind_as_long_as_it_is_told(tmp_path: Path, clock: ManualClock) -> None:
    store = SqliteStore(tmp_path, clock)
    days = range(0, 50, 5)
    store.write_readings([Reading(PUMP, NOW_MS - d * DAY_MS, {"a": 1.0}) for d in days])
    store.write_events([Event(PUMP, NOW_MS - d * DAY_MS, "stop") for d in days])
    store.write_risks([risk(NOW_MS - d * DAY_MS) for d in days])
    midnight = NOW_MS // DAY_MS
    start = np.array([(midnight - d) * DAY_MS for d in days][::-1], dtype=np.int64)
    store.write_rollups(
        RollupBlock(PUMP, DAY_MS, start, ("a",), ("mean",), np.ones((len(days), 1, 1)))
    )
    settings = StoreSettings(retention=KEEP)
    assert prune(settings, tmp_path, NOW_MS) == {
        "readings": 7,
        "events": 1,
        "rollups": 6,
        "risks": 3,
    }
    assert not any(prune(settings, tmp_path, NOW_MS).values())
    assert len(store.read_readings(PUMP, *EVER).ts_ms) == store.assets()[0].readings == 3
    assert len(store.read_events(*EVER)) == 9
    assert len(store.read_risks(*EVER)) == 7
    assert len(store.read_rollups(PUMP, DAY_MS, *EVER).start_ms) == 4
    store.close()


def test_for_ever_means_for_ever(tmp_path: Path, clock: ManualClock) -> None:
    store = SqliteStore(tmp_path, clock)
    store.write_readings([Reading(PUMP, 1, {"a": 1.0})])
    assert not any(prune(StoreSettings(retention=FOREVER), tmp_path, 10**13).values())
    store.close()


def test_ingest_goes_on_while_a_lot_is_removed(tmp_path: Path) -> None:
    journal = Journal(journal_path(tmp_path))
    for start in range(0, 30_000, 10_000):
        journal.commit(Batch([Reading(PUMP, n, {"a": 1.0}) for n in range(start, start + 10_000)]))
    done = threading.Event()

    def remove() -> None:
        try:
            prune(StoreSettings(retention=KEEP), tmp_path, NOW_MS)
        finally:
            done.set()

    thread = threading.Thread(target=remove)
    thread.start()
    commits = 0
    while not done.is_set():
        commits += journal.commit(Batch([Reading(PUMP, NOW_MS + commits, {"a": 1.0})])).new
        time.sleep(0.001)
    thread.join()
    journal.close()
    assert commits > 20  # one per piece removed, at least
    store = SqliteStore(tmp_path, ManualClock(NOW_MS))
    assert store.assets()[0].readings == commits
    store.close()


def test_the_pruner_works_by_itself(tmp_path: Path, clock: ManualClock) -> None:
    store = SqliteStore(tmp_path, clock)
    store.write_readings([Reading(PUMP, 1, {"a": 1.0})])
    settings = StoreSettings(retention=KEEP.model_copy(update={"every": "5ms"}))
    pruner = Pruner(settings, tmp_path, clock)
    pruner.start()
    deadline = time.monotonic() + 20
    while store.assets() and time.monotonic() < deadline:
        time.sleep(0.005)
    pruner.stop()
    assert store.assets() == []
    store.close()


@pytest.mark.influxd
def test_the_journal_before_influxdb_loses_only_what_influxdb_has(
    influxd: Influxd, tmp_path: Path, clock: ManualClock
) -> None:
    influx = influx_settings(influxd)
    settings = StoreSettings(kind="influx", influx=influx, retention=FOREVER)
    old, new = NOW_MS - 8 * DAY_MS, NOW_MS
    journal = Journal(journal_path(tmp_path))
    rows = [Reading(PUMP, n, {"a": 1.0}, received_ms=old) for n in range(2_500)]
    journal.commit(Batch(rows, [Event(PUMP, 1, "stop")], received_ms=old))
    assert not any(prune(settings, tmp_path, NOW_MS).values())  # nothing is forwarded yet
    forwarder = Forwarder(influx, tmp_path, clock)
    assert forwarder.drain()
    journal.commit(Batch([Reading(PUMP, 9_000, {"a": 1.0}, received_ms=old)]))  # not forwarded
    journal.commit(Batch([Reading(PUMP, 9_001, {"a": 1.0}, received_ms=new)]))
    assert prune(settings, tmp_path, NOW_MS) == {"readings": 2_500, "events": 1}
    assert forwarder.drain()
    forwarder.close()
    journal.close()
    store = InfluxStore(influx, tmp_path, clock)
    assert len(store.read_readings(PUMP, *EVER).ts_ms) == 2_502
    assert len(store.changes("").items) == 2  # what the local journal still has
    store.close()


@pytest.mark.influxd
def test_influxdb_deletes_risks_that_are_kept_shorter_than_events(
    influxd: Influxd, tmp_path: Path, clock: ManualClock
) -> None:
    influx = influx_settings(influxd)
    store = InfluxStore(influx, tmp_path, clock)
    store.write_risks([risk(NOW_MS - 40 * DAY_MS), risk(NOW_MS)])
    store.write_events([Event(PUMP, NOW_MS - 40 * DAY_MS, "stop")])
    keep = FOREVER.model_copy(update={"risks": "30d"})
    prune(StoreSettings(kind="influx", influx=influx, retention=keep), tmp_path, NOW_MS)
    assert [r.ts_ms for r in store.read_risks(*EVER)] == [NOW_MS]
    assert len(store.read_events(*EVER)) == 1
    store.close()


@pytest.mark.influxd
def test_init_makes_the_buckets_with_their_rules_and_mends_them(influxd: Influxd) -> None:
    influx = influx_settings(influxd)
    first = ensure_buckets(influx, KEEP)
    assert [(r.keep_s, r.action) for r in first] == [
        (40 * 86_400, "changed"), (20 * 86_400, "changed"), (10 * 86_400, "changed"),
    ]  # fmt: skip
    assert {r.action for r in ensure_buckets(influx, KEEP)} == {"kept"}
    found = influxd.call("GET", f"/api/v2/buckets?name={influx.raw_bucket}")["buckets"][0]
    assert found["retentionRules"][0]["everySeconds"] == 10 * 86_400

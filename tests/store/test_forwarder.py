"""Journal to a real InfluxDB: everything arrives, once it can, and only poison stays behind."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from plant.asset import AssetPath
from plant.clock import ManualClock
from plant.errors import StoreError
from plant.event import Event
from plant.reading import Reading
from store.encode import Encoder, Lines
from store.forwarder import Forwarder, forward_now
from store.influx import InfluxStore
from store.influx_client import InfluxConnection
from store.influx_setup import ensure_buckets
from store.journal import Batch, Journal
from store.quarantine import Quarantine
from store.resend import ResendCount, resend
from store.schema import journal_path
from store.settings import InfluxSettings
from tests.servers import Influxd
from tests.store.conftest import FOREVER, NOW_MS, influx_settings

pytestmark = pytest.mark.influxd
PUMP = AssetPath("lyon", "l1", "pump-3")
OTHER = AssetPath("lyon", "l1", "fan-1")
EVER = (-(10**13), 10**13)


def readings(start: int, stop: int, asset: AssetPath = PUMP) -> list[Reading]:
    return [
        Reading(asset, NOW_MS + n, {"a": n / 3, "b": -float(n)}, received_ms=NOW_MS)
        for n in range(start, stop)
    ]


def stored(settings: InfluxSettings, data_dir: Path, clock: ManualClock) -> dict[int, list[float]]:
    store = InfluxStore(settings, data_dir, clock)
    try:
        block = store.read_readings(PUMP, *EVER)
    finally:
        store.close()
    return dict(zip(block.ts_ms.tolist(), block.values.tolist(), strict=True))


def expected(start: int, stop: int) -> dict[int, list[float]]:
    return {r.ts_ms: list(r.values.values()) for r in readings(start, stop)}


def wait_for(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_several_journals_arrive_in_batches_and_the_cursor_survives(
    influxd: Influxd, tmp_path: Path, clock: ManualClock
) -> None:
    settings = influx_settings(influxd, batch_messages=7, gzip=True)
    journals = [Journal(journal_path(tmp_path, f"ingest-{n}")) for n in range(3)]
    for n, journal in enumerate(journals):
        journal.commit(Batch(readings(n * 50, n * 50 + 50), received_ms=NOW_MS))
        journal.commit(Batch(events=[Event(PUMP, n, "stop", note=str(n))], received_ms=NOW_MS))
        journal.close()
    assert forward_now(settings, tmp_path, clock)
    assert stored(settings, tmp_path, clock) == expected(0, 150)
    forwarder = Forwarder(settings, tmp_path, clock)
    stats = forwarder.stats()
    assert (stats.forwarded, stats.waiting, stats.lag_ms, stats.refused) == (153, 0, 0, 0)
    forwarder.close()


def test_the_thread_forwards_what_comes_and_reports_its_lag(
    influxd: Influxd, tmp_path: Path, clock: ManualClock
) -> None:
    settings = influx_settings(influxd)
    journal = Journal(journal_path(tmp_path))
    forwarder = Forwarder(settings, tmp_path, clock)
    journal.commit(Batch(readings(0, 10), received_ms=NOW_MS))
    clock.advance_to(NOW_MS + 5_000)
    assert (forwarder.stats().waiting, forwarder.stats().lag_ms) == (10, 5_000)
    forwarder.start()
    wait_for(lambda: forwarder.stats().waiting == 0)
    journal.commit(Batch(readings(10, 20), received_ms=NOW_MS))
    assert forwarder.drain(20)
    assert forwarder.stats().running
    forwarder.close()
    journal.close()
    assert stored(settings, tmp_path, clock) == expected(0, 20)


def test_only_points_with_a_type_conflict_end_in_quarantine(
    influxd: Influxd, tmp_path: Path, clock: ManualClock
) -> None:
    settings = influx_settings(influxd)
    connection = InfluxConnection(settings)
    # Somebody else's text field of the same name, in the same shard of time.
    connection.write(settings.raw_bucket, f'reading clash="text" {NOW_MS}'.encode())
    connection.close()
    journal = Journal(journal_path(tmp_path))
    bad = [Reading(PUMP, NOW_MS + n, {"a": 1.0, "clash": 1.0}) for n in (1_003, 1_017)]
    journal.commit(Batch([*readings(0, 40), *bad, *readings(40, 80)], received_ms=NOW_MS))
    assert forward_now(settings, tmp_path, clock)
    aside = Quarantine(journal.path).items()
    journal.close()
    assert {int(item.payload.rsplit(b" ", 1)[1]) for item in aside} == {
        NOW_MS + 1_003,
        NOW_MS + 1_017,
    }
    assert {(item.reason, item.origin) for item in aside} == {("influx_refused", "influx")}
    assert "type conflict" in aside[0].message
    assert stored(settings, tmp_path, clock) == expected(0, 80)


def test_refused_points_go_in_once_what_refused_them_is_mended(
    influxd: Influxd, tmp_path: Path, clock: ManualClock
) -> None:
    settings = influx_settings(influxd)
    connection = InfluxConnection(settings)
    connection.write(settings.raw_bucket, f'reading a="text" {NOW_MS}'.encode())
    journal = Journal(journal_path(tmp_path))
    journal.commit(Batch(readings(0, 30), received_ms=NOW_MS))
    assert forward_now(settings, tmp_path, clock)
    assert len(Quarantine(journal.path).items()) == 30
    assert resend(settings, tmp_path, clock) == ResendCount(taken=0, refused=30)
    away = settings.model_copy(update={"url": "http://127.0.0.1:9"})
    with pytest.raises(StoreError, match="cannot be reached"):
        resend(away, tmp_path, clock)
    assert len(Quarantine(journal.path).items()) == 30
    # Somebody moves the intruder away: here, the bucket begins anew.
    buckets = connection.api("GET", "/api/v2/buckets", query={"name": settings.raw_bucket})
    connection.api("DELETE", f"/api/v2/buckets/{buckets['buckets'][0]['id']}")
    connection.close()
    ensure_buckets(settings, FOREVER)
    assert resend(settings, tmp_path, clock) == ResendCount(taken=30, refused=0)
    assert Quarantine(journal.path).items() == []
    journal.close()
    assert stored(settings, tmp_path, clock) == expected(0, 30)


def test_points_older_than_the_bucket_keeps_are_counted_not_set_aside(
    influxd: Influxd, tmp_path: Path, clock: ManualClock
) -> None:
    settings = influx_settings(influxd)
    ensure_buckets(settings, FOREVER.model_copy(update={"readings": "7d"}))
    journal = Journal(journal_path(tmp_path))
    now_ms = time.time_ns() // 1_000_000  # InfluxDB expires by the wall clock
    fresh = [Reading(PUMP, now_ms - n, {"a": float(n)}) for n in range(5)]
    stale = [Reading(PUMP, now_ms - 30 * 86_400_000 - n, {"a": 1.0}) for n in range(3)]
    journal.commit(Batch([*stale, *fresh], received_ms=NOW_MS))
    forwarder = Forwarder(settings, tmp_path, clock)
    assert forwarder.drain()
    stats = forwarder.stats()
    forwarder.close()
    assert (stats.expired, stats.forwarded, stats.refused) == (3, 5, 0)
    assert Quarantine(journal.path).items() == []
    journal.close()
    assert len(stored(settings, tmp_path, clock)) == 5


def test_influxd_killed_and_back_on_its_data(
    own_influxd: Influxd, tmp_path: Path, clock: ManualClock
) -> None:
    settings = influx_settings(own_influxd, timeout_s=2.0, max_backoff_s=0.2)
    journal = Journal(journal_path(tmp_path / "data"))
    forwarder = Forwarder(settings, tmp_path / "data", clock)
    forwarder.start()
    journal.commit(Batch(readings(0, 100), received_ms=NOW_MS))
    assert forwarder.drain(20)
    own_influxd.kill()
    journal.commit(Batch(readings(100, 600), received_ms=NOW_MS))
    wait_for(lambda: "cannot be reached" in forwarder.stats().error)
    own_influxd.start()
    assert forwarder.drain(30)
    assert forwarder.stats().error == ""
    forwarder.close()
    journal.close()
    assert stored(settings, tmp_path / "data", clock) == expected(0, 600)


def test_influxd_frozen_and_thawed(
    own_influxd: Influxd, tmp_path: Path, clock: ManualClock
) -> None:
    settings = influx_settings(own_influxd, timeout_s=0.5, max_backoff_s=0.2)
    journal = Journal(journal_path(tmp_path / "data"))
    forwarder = Forwarder(settings, tmp_path / "data", clock)
    forwarder.start()
    own_influxd.freeze()
    journal.commit(Batch(readings(0, 300), received_ms=NOW_MS))
    wait_for(lambda: "cannot be reached" in forwarder.stats().error)
    own_influxd.thaw()
    assert forwarder.drain(30)
    forwarder.close()
    journal.close()
    assert stored(settings, tmp_path / "data", clock) == expected(0, 300)


def test_a_bucket_that_is_missing_is_waited_for(
    influxd: Influxd, tmp_path: Path, clock: ManualClock
) -> None:
    settings = InfluxSettings(
        url=influxd.url, org=influxd.org, token=influxd.token, bucket="later",
        idle_s=0.01, max_backoff_s=0.1,
    )  # fmt: skip
    journal = Journal(journal_path(tmp_path))
    journal.commit(Batch(readings(0, 10), received_ms=NOW_MS))
    forwarder = Forwarder(settings, tmp_path, clock)
    forwarder.start()
    wait_for(lambda: "vigie init" in forwarder.stats().error)
    ensure_buckets(settings, FOREVER)
    assert forwarder.drain(20)
    forwarder.close()
    journal.close()
    assert stored(settings, tmp_path, clock) == expected(0, 10)


def test_a_journal_that_was_replaced_is_forwarded_from_its_beginning(
    influxd: Influxd, tmp_path: Path, clock: ManualClock
) -> None:
    settings = influx_settings(influxd)
    forwarder = Forwarder(settings, tmp_path, clock)
    journal = Journal(journal_path(tmp_path))
    journal.commit(Batch(readings(0, 50), received_ms=NOW_MS))
    assert forwarder.drain()
    journal.close()
    for file in (tmp_path / "journal").iterdir():
        file.unlink()
    journal = Journal(journal_path(tmp_path))
    # Another machine and another set of signals come first: the new file numbers names otherwise.
    journal.commit(Batch([Reading(OTHER, NOW_MS, {"z": 1.0})], received_ms=NOW_MS))
    journal.commit(Batch(readings(50, 60), received_ms=NOW_MS))
    assert forwarder.drain()
    forwarder.close()
    journal.close()
    assert stored(settings, tmp_path, clock) == expected(0, 60)
    store = InfluxStore(settings, tmp_path, clock)
    assert store.read_readings(OTHER, *EVER).values.tolist() == [[1.0]]
    store.close()


def test_stopping_while_the_server_is_away_keeps_everything(
    tmp_path: Path, clock: ManualClock, influxd: Influxd
) -> None:
    away = InfluxSettings(url="http://127.0.0.1:9", token="t", max_backoff_s=0.1)
    journal = Journal(journal_path(tmp_path))
    journal.commit(Batch(readings(0, 10), received_ms=NOW_MS))
    journal.close()
    assert not forward_now(away, tmp_path, clock, timeout_s=0.3)
    assert forward_now(influx_settings(influxd), tmp_path, clock)


def test_killed_at_any_moment_it_goes_on_where_it_was(
    influxd: Influxd, tmp_path: Path, clock: ManualClock
) -> None:
    settings = influx_settings(influxd, batch_messages=20)
    journal = Journal(journal_path(tmp_path))
    journal.commit(Batch(readings(0, 4_000), received_ms=NOW_MS))
    journal.close()
    code = (
        "import sys; from pathlib import Path; from plant.clock import SystemClock;"
        "from store.forwarder import forward_now; from store.settings import InfluxSettings;"
        "settings = InfluxSettings.model_validate_json(sys.argv[1]);"
        "print('ready', flush=True); forward_now(settings, Path(sys.argv[2]), SystemClock())"
    )
    positions = [0]
    for delay_s in (0.02, 0.08, 0.15):
        child = subprocess.Popen(
            [sys.executable, "-c", code, settings.model_dump_json(), str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(delay_s)
        child.kill()
        child.wait()
        child.stdout.close()
        forwarder = Forwarder(settings, tmp_path, clock)
        positions.append(forwarder.forwarded_up_to("ingest-0"))
        forwarder.close()
    assert positions == sorted(positions)
    assert forward_now(settings, tmp_path, clock)
    assert stored(settings, tmp_path, clock) == expected(0, 4_000)


def test_a_full_disk_stops_the_position_and_nothing_else(
    influxd: Influxd, tmp_path: Path, clock: ManualClock
) -> None:
    settings = influx_settings(influxd, batch_messages=10)
    journal = Journal(journal_path(tmp_path))
    forwarder = Forwarder(settings, tmp_path, clock)
    journal.commit(Batch(readings(0, 40), received_ms=NOW_MS))
    writer = forwarder._cursors._database._writer  # the only way to fill a disk on purpose
    writer.execute("pragma query_only = on")  # every write fails, as on a full disk
    forwarder.start()
    wait_for(lambda: "forward.db" in forwarder.stats().error)
    assert forwarder.stats().forwarded == 0
    writer.execute("pragma query_only = off")
    assert forwarder.drain(20)
    stats = forwarder.stats()
    assert (stats.forwarded, stats.error) == (40, "")
    forwarder.close()
    journal.close()
    assert stored(settings, tmp_path, clock) == expected(0, 40)


def test_a_correction_wins_over_what_it_corrects(
    influxd: Influxd, tmp_path: Path, clock: ManualClock
) -> None:
    settings = influx_settings(influxd, batch_messages=3)
    store = InfluxStore(settings, tmp_path, clock)
    for value in range(5):
        store.write_readings([Reading(PUMP, NOW_MS, {"a": float(value)}), *readings(1, 5)])
    assert store.read_readings(PUMP, NOW_MS, NOW_MS + 1).values.tolist() == [[4.0]]
    store.close()


def test_the_store_keeps_what_it_is_given_while_influxdb_is_away(
    own_influxd: Influxd, tmp_path: Path, clock: ManualClock
) -> None:
    settings = influx_settings(own_influxd, timeout_s=0.5, max_backoff_s=0.1)
    store = InfluxStore(settings, tmp_path / "data", clock)
    own_influxd.stop()
    assert store.write_events([Event(PUMP, NOW_MS, "failure", mode="BRG")]).new == 1
    assert store.write_readings(readings(0, 5)).new == 5
    assert store.changes("").items == ()  # what cannot be read yet has not changed yet
    own_influxd.start()
    assert store.forwarder.drain(20)
    assert [e.mode for e in store.read_events(*EVER)] == ["BRG"]
    assert len(store.changes("").items) == 5
    assert np.array_equal(store.read_readings(PUMP, *EVER).ts_ms, NOW_MS + np.arange(5))
    store.close()


def test_what_was_just_committed_is_sent_from_memory(
    influxd: Influxd, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a correction, which is not there, overtakes nothing."""
    settings = influx_settings(influxd, batch_messages=30)
    journal = Journal(journal_path(tmp_path))
    forwarder = Forwarder(settings, tmp_path, clock)
    journal.tail = forwarder.tail_of(journal.path)
    read: list[int] = []
    after = Encoder.after

    def counting(self: Encoder, cursor: int, limit: int, before: int | None = None) -> Lines:
        found = after(self, cursor, limit, before)
        read.append(found.points)
        return found

    monkeypatch.setattr(Encoder, "after", counting)
    for start in range(0, 100, 10):
        journal.commit(Batch(readings(start, start + 10), received_ms=NOW_MS))
    correction = Reading(PUMP, NOW_MS + 7, {"a": 99.0, "b": 98.0}, received_ms=NOW_MS)
    journal.commit(Batch([correction], received_ms=NOW_MS))
    journal.commit(Batch(readings(100, 120), received_ms=NOW_MS))
    assert forwarder.drain()
    assert sum(read) == 1
    assert forwarder.stats().forwarded == 121
    forwarder.close()
    journal.close()
    assert stored(settings, tmp_path, clock) == {**expected(0, 120), NOW_MS + 7: [99.0, 98.0]}

"""What only the embedded store promises: several journals as one, backups beside a writer, a full disk."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import structlog

from plant.asset import AssetPath
from plant.clock import ManualClock
from plant.errors import StoreError
from plant.event import Event
from plant.reading import Reading
from store.database import Database
from store.integrity import examine
from store.journal import Batch, Journal
from store.port import RollupBlock
from store.schema import journal_path
from store.sqlite import SqliteStore
from tests.store.conftest import NOW_MS
from tests.store.test_contract import risk

PUMP = AssetPath("lyon", "l1", "pump-3")
EVER = (-(10**13), 10**13)


def one_rollup(value: float = 1.0) -> RollupBlock:
    return RollupBlock(
        PUMP, 60_000, np.array([0], dtype=np.int64), ("a",), ("mean",), np.full((1, 1, 1), value)
    )


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> SqliteStore:
    return SqliteStore(tmp_path, clock)


def test_several_journals_are_read_as_one(store: SqliteStore, tmp_path: Path) -> None:
    for worker in range(3):
        journal = Journal(journal_path(tmp_path, f"ingest-{worker}"))
        rows = [Reading(PUMP, n, {"a": float(n)}) for n in range(worker, 30, 3)]
        journal.commit(Batch(rows, received_ms=NOW_MS + worker))
        journal.close()
    block = store.read_readings(PUMP, *EVER)
    assert block.ts_ms.tolist() == list(range(30))
    assert block.values[:, 0].tolist() == list(range(30))
    assert len(store.changes("").items) == 30
    (seen,) = store.assets()
    assert (seen.readings, seen.first_ms, seen.last_ms) == (30, 0, 29)


def test_a_message_two_workers_took_is_one_row(store: SqliteStore, tmp_path: Path) -> None:
    event = Event(PUMP, 5, "stop")
    for worker, value in enumerate((1.0, 2.0)):
        journal = Journal(journal_path(tmp_path, f"ingest-{worker}"))
        journal.commit(Batch([Reading(PUMP, 5, {"a": value})], [event], received_ms=worker))
        journal.close()
    assert store.read_readings(PUMP, *EVER).values.tolist() == [[2.0]]  # the later arrival
    assert store.read_events(*EVER) == [event]


def test_changes_of_several_journals_have_one_cursor(store: SqliteStore, tmp_path: Path) -> None:
    journals = [Journal(journal_path(tmp_path, f"ingest-{n}")) for n in range(2)]
    cursor, seen = "", []
    for step in range(6):
        journals[step % 2].commit(Batch([Reading(PUMP, step, {"a": 1.0})], received_ms=step))
        changes = store.changes(cursor, limit=1)
        cursor = changes.cursor
        seen += [item.ts_ms for item in changes.items]
    assert seen == list(range(6))
    for journal in journals:
        journal.close()


def test_two_processes_may_have_the_store_open(tmp_path: Path, clock: ManualClock) -> None:
    first, second = SqliteStore(tmp_path, clock), SqliteStore(tmp_path, clock)

    def write(store: SqliteStore, offset: int) -> None:
        for n in range(20):
            store.write_readings([Reading(PUMP, offset + n, {"a": 1.0})])
            store.write_events([Event(PUMP, offset + n, "stop")])
            store.write_risks([risk(offset + n)])

    threads = [
        threading.Thread(target=write, args=(s, o)) for s, o in ((first, 0), (second, 1_000))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in (first, second):
        assert len(store.read_readings(PUMP, *EVER).ts_ms) == 40
        assert len(store.read_events(*EVER)) == len(store.read_risks(*EVER)) == 40
        store.close()


def test_a_backup_beside_a_writer_is_whole(tmp_path: Path, clock: ManualClock) -> None:
    store = SqliteStore(tmp_path / "data", clock)
    store.write_risks([risk(1)])
    journal = Journal(journal_path(tmp_path / "data"))
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            journal.commit(Batch([Reading(PUMP, n, {"a": 1.0})], received_ms=NOW_MS))
            n += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        while not store.assets():
            pass
        for file in (journal.path, tmp_path / "data/store.db"):
            target = tmp_path / "backup" / file.relative_to(tmp_path / "data")
            target.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(file)
            db.execute("vacuum into ?", (str(target),))
            db.close()
    finally:
        stop.set()
        thread.join()
    journal.close()
    store.close()
    assert examine(journal_path(tmp_path / "backup")).sound
    restored = SqliteStore(tmp_path / "backup", clock)
    count = len(restored.read_readings(PUMP, *EVER).ts_ms)
    assert restored.assets()[0].readings == count > 0
    assert restored.read_risks(*EVER) == [risk(1)]
    restored.close()


@pytest.mark.parametrize(
    "write",
    [
        lambda store, n: store.write_risks([risk(n, sentence="x" * 2_000)]),
        lambda store, n: store.write_rollups(
            RollupBlock(
                PUMP, 1, np.arange(n * 100, n * 100 + 100), ("a",), ("mean",), np.ones((100, 1, 1))
            )
        ),
    ],
)
def test_a_full_disk_is_said_and_outlived(
    store: SqliteStore, write: Callable[[SqliteStore, int], None]
) -> None:
    write(store, 0)
    writer = store._history._database._writer
    (pages,) = writer.execute("pragma page_count").fetchone()
    writer.execute(f"pragma max_page_count = {pages + 2}")

    def fill() -> None:
        for n in range(1, 10_000):
            write(store, n)

    with pytest.raises(StoreError, match="is full") as caught:
        fill()
    assert "goes on by itself" in caught.value.fix
    writer.execute("pragma max_page_count = 1000000")
    write(store, 10_000)
    store.check()


def test_a_rollup_with_a_flipped_bit_counts_as_missing(tmp_path: Path, clock: ManualClock) -> None:
    store = SqliteStore(tmp_path, clock)
    store.write_rollups(one_rollup(1.5))
    db = sqlite3.connect(tmp_path / "store.db")
    db.execute("update rollup set numbers = ?", (np.array([2.5]).tobytes(),))
    db.commit()
    db.close()
    with structlog.testing.capture_logs() as logs:
        assert len(store.read_rollups(PUMP, 60_000, *EVER).start_ms) == 0
    assert logs[0]["event"] == "store.damaged_rollups"
    store.write_rollups(one_rollup(1.5))
    assert store.read_rollups(PUMP, 60_000, *EVER).values.tolist() == [[[1.5]]]
    store.close()


def test_a_damaged_risk_is_named(tmp_path: Path, clock: ManualClock) -> None:
    store = SqliteStore(tmp_path, clock)
    store.write_risks([risk(1)])
    for body in (b"not zlib", zlib.compress(b"not JSON"), zlib.compress(b"{}")):
        db = sqlite3.connect(tmp_path / "store.db")
        db.execute("update risk set body = ?", (body,))
        db.commit()
        db.close()
        with pytest.raises(StoreError, match="risk"):
            store.latest_risks()
    store.close()


def test_a_damaged_store_file_is_named_with_its_fix(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database" * 1_000)
    with pytest.raises(StoreError, match=r"store\.db is damaged"):
        SqliteStore(tmp_path, clock)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="data_dir"):
        SqliteStore(tmp_path / "file" / "data", clock)


def test_an_error_inside_a_transaction_undoes_it(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.db", "create table t (a)")

    def fail() -> None:
        with database.write() as connection:
            connection.execute("insert into t values (1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.read() as connection:
        assert connection.execute("select count(*) from t").fetchone() == (0,)
    database.close()


def test_the_data_folder_may_be_moved(tmp_path: Path, clock: ManualClock) -> None:
    store = SqliteStore(tmp_path / "old", clock)
    store.write_readings([Reading(PUMP, 1, {"a": 1.0})])
    store.close()
    shutil.move(tmp_path / "old", tmp_path / "new")
    store = SqliteStore(tmp_path / "new", clock)
    assert len(store.read_readings(PUMP, *EVER).ts_ms) == 1
    store.close()

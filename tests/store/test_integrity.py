"""A damaged journal opens whole, or is reported and set aside with every sound row kept."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import threading
from pathlib import Path

import pytest
import structlog

from benchmarks.faults.journal_damage import run
from plant.asset import AssetPath
from plant.clock import ManualClock
from plant.errors import StoreError
from plant.event import Event
from plant.reading import Reading
from store.integrity import examine, mend, open_journal
from store.journal import Batch, Journal
from store.journals import Journals
from store.quarantine import Quarantine, Quarantined
from store.schema import journal_path, tail_path
from store.sqlite import SqliteStore
from tests.store.conftest import NOW_MS

PUMP = AssetPath("lyon", "l1", "pump-3")
EVER = (-(10**13), 10**13)


def readings(count: int) -> list[Reading]:
    return [Reading(PUMP, n, {"a": n / 3}, seq=n, received_ms=NOW_MS) for n in range(count)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed journal of 500 readings, an event and a quarantined message."""
    journal = Journal(journal_path(tmp_path))
    journal.commit(
        Batch(
            readings(500),
            [Event(PUMP, 7, "failure", mode="BRG", detail={"x": 1})],
            [Quarantined(NOW_MS, b"t", b"payload", "json", "not JSON")],
            received_ms=NOW_MS,
        )
    )
    journal.close()
    return journal.path


def flip(path: Path, marker: bytes, distance: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(marker) + distance] ^= 1
    path.write_bytes(data)


def test_a_whole_journal_is_sound(path: Path) -> None:
    report = examine(path)
    assert report.sound
    assert report.rows == 500 + 1 + 1 + 1  # readings, event, asset, signal set


def test_a_flipped_value_is_found_set_aside_and_the_rest_kept(
    path: Path, tmp_path: Path, clock: ManualClock
) -> None:
    import struct

    flip(path, struct.pack("<d", 123 / 3), 5)
    report = examine(path)
    assert report.problems == ("1 rows of reading are damaged",)
    with structlog.testing.capture_logs() as logs:
        open_journal(path, clock).close()
    assert [entry["event"] for entry in logs] == ["journal.damaged", "journal.mended"]
    journals = Journals(tmp_path)
    block = journals.read(PUMP, *EVER)
    assert block.ts_ms.tolist() == [n for n in range(500) if n != 123]
    assert journals.events(*EVER) == [Event(PUMP, 7, "failure", mode="BRG", detail={"x": 1})]
    assert journals.assets()[0].readings == 499
    journals.close()
    assert [item.payload for item in Quarantine(path).items()] == [b"payload"]
    assert examine(path).sound
    assert [f.name for f in (path.parent / "damaged").glob("*.db")] == [f"ingest-0-{NOW_MS}.db"]


def test_a_reader_leaves_a_damaged_row_out_and_says_so(path: Path, tmp_path: Path) -> None:
    import struct

    flip(path, struct.pack("<d", 123 / 3), 5)
    journals = Journals(tmp_path)
    with structlog.testing.capture_logs() as logs:
        assert len(journals.read(PUMP, *EVER).ts_ms) == 499
    assert [(entry["event"], entry["rows"]) for entry in logs] == [("journal.damaged_rows", 1)]
    journals.close()


def test_numbers_go_on_behind_the_old_ones_so_that_no_reader_misses_a_row(
    path: Path, tmp_path: Path, clock: ManualClock
) -> None:
    journals = Journals(tmp_path)
    cursor = journals.changes("").cursor
    mend(path, clock)
    again = journals.changes(cursor)
    assert len(again.items) == 500  # the feature job reads them again, which changes nothing
    journals.close()


@pytest.mark.parametrize("keep", [0, 1, 100, 4096, 5000])
def test_a_cut_file_is_reported(path: Path, tmp_path: Path, clock: ManualClock, keep: int) -> None:
    os.truncate(path, keep)
    assert not examine(path).sound
    with structlog.testing.capture_logs() as logs:
        journal = open_journal(path, clock)
    assert logs[0]["event"] == "journal.damaged"
    assert journal.commit(Batch(readings(1), received_ms=NOW_MS)).new <= 1
    journal.close()


def test_a_log_that_vanished_is_noticed(tmp_path: Path, clock: ManualClock) -> None:
    journal = Journal(journal_path(tmp_path))
    journal.commit(Batch(readings(10)))
    still = tmp_path / "still"
    shutil.copytree(tmp_path / "journal", still / "journal")
    journal.close()
    path = journal_path(still)
    (path.parent / f"{path.name}-wal").unlink()
    assert not examine(path).sound
    with structlog.testing.capture_logs() as logs:
        open_journal(path, clock).close()
    assert logs[0]["event"] == "journal.damaged"


def test_a_database_that_vanished_is_noticed(path: Path, clock: ManualClock) -> None:
    path.unlink()
    with structlog.testing.capture_logs() as logs:
        open_journal(path, clock).close()
    assert logs[0]["event"] == "journal.damaged"


def test_a_damaged_mark_is_not_trusted(path: Path) -> None:
    flip(tail_path(path), b"vigie", 9)
    assert "the mark of its last commit is damaged" in examine(path).problems[0]


def test_a_row_missing_from_an_index_is_found(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("pragma writable_schema = on")
    db.execute("update sqlite_schema set rootpage = (select rootpage from sqlite_schema "
               "where name = 'event_key') where name = 'reading_key'")  # fmt: skip
    db.commit()
    db.close()
    assert not examine(path).sound


def test_a_new_journal_is_not_examined_and_opens(tmp_path: Path, clock: ManualClock) -> None:
    with structlog.testing.capture_logs() as logs:
        journal = open_journal(journal_path(tmp_path, "fresh"), clock)
        journal.close()
        open_journal(journal_path(tmp_path, "fresh"), clock).close()
    assert logs == []


def test_a_large_journal_is_examined_when_it_does_not_open(path: Path, clock: ManualClock) -> None:
    data = bytearray(path.read_bytes())
    data[:16] = b"not a database!!"
    path.write_bytes(data)
    with structlog.testing.capture_logs() as logs:
        open_journal(path, clock, full_check_bytes=0).close()
    assert logs[0]["event"] == "journal.damaged"


def test_of_a_large_journal_the_newest_rows_are_examined(path: Path, clock: ManualClock) -> None:
    open_journal(path, clock, full_check_bytes=0).close()
    assert not (path.parent / "damaged").exists()
    flip(path, struct.pack("<d", 499 / 3))
    open_journal(path, clock, full_check_bytes=0).close()
    assert (path.parent / "damaged").exists()
    assert examine(path).sound
    assert examine(path).rows > 490


def test_the_stores_own_journal_is_mended_too(tmp_path: Path, clock: ManualClock) -> None:
    store = SqliteStore(tmp_path, clock)
    store.write_readings(readings(50))
    store.close()
    os.truncate(journal_path(tmp_path, "store"), 9_000)
    store = SqliteStore(tmp_path, clock)
    with structlog.testing.capture_logs() as logs:
        store.write_readings(readings(60))
    assert logs[0]["event"] == "journal.damaged"
    assert len(store.read_readings(PUMP, *EVER).ts_ms) == 60
    store.close()


def test_a_damaged_journal_in_use_is_not_set_aside_under_its_writer(
    path: Path, clock: ManualClock
) -> None:
    held = open_journal(path, clock)
    held.commit(Batch(readings(600)))
    db = sqlite3.connect(path)
    db.execute("update reading set received = received + 1 where id = 5")
    db.commit()
    db.close()
    with pytest.raises(StoreError, match="in use by another process"):
        open_journal(path, clock)
    held.close()
    with structlog.testing.capture_logs() as logs:
        open_journal(path, clock).close()
    assert logs[0]["event"] == "journal.damaged"


def test_a_journal_that_is_written_passes_its_examination(path: Path, clock: ManualClock) -> None:
    journal = open_journal(path, clock)
    stop = threading.Event()

    def write() -> None:
        n = 1_000
        while not stop.is_set():
            journal.commit(Batch([Reading(PUMP, n, {"a": 1.0})]))
            n += 1
            stop.wait(0.002)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(10):
            assert examine(path).problems == ()
            open_journal(path, clock).close()
    finally:
        stop.set()
        thread.join()
    journal.close()


def test_seeded_damage_is_never_silently_wrong() -> None:
    figures = run(quick=True, seed=11)
    assert (figures["silent"], figures["lost"], figures["refused"]) == (0, 0, 0)
    assert figures["whole"] + figures["mended"] == figures["rounds"]
    assert figures["mended"] > 10

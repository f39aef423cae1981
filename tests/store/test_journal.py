"""What is committed is there, once; what failed is not; damage is seen."""

from __future__ import annotations

import itertools
import resource
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from plant.asset import AssetPath
from plant.errors import StoreError
from plant.event import Event
from plant.reading import Reading
from store import schema
from store.journal import Batch, CommitCount, Journal
from store.journal_rows import event_from_row
from store.quarantine import Quarantine, Quarantined

PUMP = AssetPath("lyon", "l1", "pump-1")
FAN = AssetPath("lyon", "l1", "fan-1")
T0 = 1_763_800_000_000


def reading(
    ts: int = T0, asset: AssetPath = PUMP, seq: int | None = None, **values: float
) -> Reading:
    return Reading(asset, ts, values or {"vibration": 1.0}, seq=seq, received_ms=ts + 5)


def rows(path: Path) -> list[tuple[str, int, int, dict[str, float]]]:
    """Read the file the plain way and verify every checksum."""
    db = schema.connect(path, read_only=True)
    sets = {
        i: schema.signal_set_names(n) for i, n in db.execute("select id, names from signal_set")
    }
    found = []
    for row in db.execute(
        "select reading.*, path from reading join asset on asset.id = asset order by reading.id"
    ):
        row_id, asset, ts, signals, seq, received, run, vals, crc, path_text = row
        assert crc == schema.reading_crc(row_id, asset, ts, signals, seq, received, run, vals)
        values = dict(zip(sets[signals], np.frombuffer(vals, "<f8").tolist(), strict=True))
        found.append((path_text, ts, seq, values))
    db.close()
    return found


@pytest.fixture
def journal(tmp_path: Path):
    journal = Journal(schema.journal_path(tmp_path))
    yield journal
    journal.close()


def test_stores_values_whatever_their_order(journal: Journal) -> None:
    count = journal.commit(
        Batch([reading(T0, b=2, a=1), reading(T0 + 1, a=3, b=4), reading(T0, FAN, seq=7, c=5)])
    )
    assert count == CommitCount(new=3)
    assert rows(journal.path) == [
        (str(PUMP), T0, -1, {"a": 1.0, "b": 2.0}),
        (str(PUMP), T0 + 1, -1, {"a": 3.0, "b": 4.0}),
        (str(FAN), T0, 7, {"c": 5.0}),
    ]


def test_exact_repeats_are_dropped_and_conflicts_keep_the_last(journal: Journal) -> None:
    journal.commit(Batch([reading(a=1), reading(T0 + 1, a=1)]))
    with capture_logs() as logs:
        count = journal.commit(
            Batch([reading(a=1), reading(a=2), reading(a=3), reading(T0 + 2, a=9)])
        )
    assert count == CommitCount(new=1, repeated=1, conflicting=2)
    assert [(ts, values["a"]) for _, ts, _, values in rows(journal.path)] == [
        (T0 + 1, 1.0),
        (T0, 3.0),  # the correction comes after, under a new id: readers behind a cursor see it
        (T0 + 2, 9.0),
    ]
    assert {entry["event"] for entry in logs} == {"journal.conflicts", "journal.repeats"}


def test_the_last_of_two_in_one_large_batch_wins_wherever_they_stand(journal: Journal) -> None:
    """Rows go in many at a time, the rest one by one: the order must not suffer."""
    for first, last in ((0, 249), (99, 100), (210, 240), (100, 230), (5, 60)):
        batch = [reading(T0 + first * 1000 + n, a=n) for n in range(250)]
        batch[last] = reading(batch[first].ts_ms, a=-1.0)
        start = len(rows(journal.path))
        assert journal.commit(Batch(list(batch))) == CommitCount(new=249, conflicting=1)
        found = {ts: values["a"] for _, ts, _, values in rows(journal.path)[start:]}
        assert found == {r.ts_ms: r.values["a"] for r in batch}
        db = schema.connect(journal.path)
        db.execute("delete from reading")
        db.close()


def test_the_key_is_asset_time_signals_and_seq(journal: Journal) -> None:
    different = [
        reading(a=1), reading(b=1), reading(a=1, seq=1), reading(a=1, seq=2),
        reading(T0, FAN, a=1), reading(T0 + 1, a=1),
    ]  # fmt: skip
    assert journal.commit(Batch(different)).new == 6
    assert journal.commit(Batch(different)).repeated == 6
    assert len(rows(journal.path)) == 6


def test_retained_readings_older_than_what_is_stored_change_nothing(journal: Journal) -> None:
    journal.commit(Batch([reading(T0, a=1, b=1), reading(T0, FAN, a=1)]))
    old = journal.commit(Batch(retained=[reading(T0 - 1, a=5), reading(T0 - 1, FAN, a=5)]))
    assert old == CommitCount(stale=2)
    # Not covered by anything newer: other signal, other machine, newer time.
    fresh = [
        reading(T0 - 1, c=5),
        reading(T0 - 1, AssetPath("x", "y", "z"), a=5),
        reading(T0 + 1, a=5),
    ]
    assert journal.commit(Batch(retained=fresh)).new == 3


def test_events_are_kept_once_and_come_back_whole(journal: Journal) -> None:
    event = Event(
        PUMP, T0, "failure", mode="BRG", scope=("BRG", "SEA"), planned=False, found="failed",
        duration_h=3.5, note="hot", who="ann", key="k", detail={"x": [1, {"y": None}]},
        simulated=True, run_id="r1",
    )  # fmt: skip
    changed = Event(
        PUMP, T0, "failure", mode="BRG", key="k", note="mended", run_id="r1", simulated=True
    )
    assert journal.commit(Batch(events=[event], received_ms=T0)).events_new == 1
    assert journal.commit(Batch(events=[event])).events_repeated == 1
    db = schema.connect(journal.path, read_only=True)
    query = "select ts, kind, mode, key, body, simulated, run_id from event join run on run.id = event.run"
    ts, kind, mode, key, body, simulated, run_id = db.execute(query).fetchone()
    assert event_from_row(PUMP, ts, kind, mode, key, body, bool(simulated), run_id) == event
    assert journal.commit(Batch(events=[changed])).events_conflicting == 1
    ((_, _, _, _, body, _, _),) = db.execute(query).fetchall()
    assert '"mended"' in body
    db.close()


def test_ids_rise_over_readings_events_and_restarts(tmp_path: Path) -> None:
    path = schema.journal_path(tmp_path)
    seen: list[int] = []
    for round_number in range(3):
        journal = Journal(path)
        journal.commit(
            Batch([reading(T0 + round_number, a=1)], [Event(PUMP, T0 + round_number, "stop")])
        )
        db = schema.connect(path)
        seen += [i for (i,) in db.execute("select id from reading union all select id from event")]
        db.execute("delete from reading")  # pruned: an id must not come back
        db.execute("delete from event")
        db.close()
        journal.close()
    assert seen == sorted(set(seen))
    assert len(seen) == 6


def test_two_writers_of_one_file_share_the_sequence(tmp_path: Path) -> None:
    path = schema.journal_path(tmp_path)
    first, second = Journal(path), Journal(path)
    for step in range(6):
        (first if step % 2 else second).commit(Batch([reading(T0 + step, **{f"s{step % 3}": 1.0})]))
    assert [ts for _, ts, _, _ in rows(path)] == [T0 + step for step in range(6)]
    first.close()
    second.close()


def test_quarantined_bytes_come_back_as_they_were(journal: Journal) -> None:
    items = [
        Quarantined(T0, b"plant/\xff/x", b"\x00\xff{", "json", "not JSON \ud800"),
        Quarantined(T0 + 1, b"t", b"x" * 100, "topic", "no such topic"),
    ]
    assert journal.commit(Batch(quarantined=items)).quarantined == 2
    quarantine = Quarantine(journal.path)
    first, second = quarantine.items()
    assert (first.topic, first.payload, first.reason) == (b"plant/\xff/x", b"\x00\xff{", "json")
    assert first.complete
    assert quarantine.counts() == quarantine.waiting() == {"json": 1, "topic": 1}
    assert [item.id for item in quarantine.items(reason="topic")] == [second.id]
    assert quarantine.remove([first.id]) == 1
    assert quarantine.get(first.id) is None
    assert quarantine.purge(before_ms=T0) == 0
    assert quarantine.purge(reason="topic") == 1
    assert quarantine.waiting() == {}
    assert quarantine.counts() == {"json": 1, "topic": 1}


def test_other_origins_add_to_the_quarantine_beside_a_running_journal(journal: Journal) -> None:
    journal.commit(Batch([reading()]))
    quarantine = Quarantine(journal.path)
    quarantine.add([Quarantined(T0, b"", b"line", "influx_422", "refused", origin="influx")])
    quarantine.add([])
    journal.commit(Batch([reading(T0 + 1)]))
    assert quarantine.items()[0].origin == "influx"


def test_poison_cannot_fill_the_disk(tmp_path: Path) -> None:
    journal = Journal(schema.journal_path(tmp_path), quarantine_budget_bytes=100_000)
    for step in range(50):
        journal.commit(
            Batch(quarantined=[Quarantined(T0 + step, b"t", b"x" * 9_800, "json", "no")])
        )
    kept = Quarantine(journal.path).items()
    assert 5 <= len(kept) <= 10
    assert kept[-1].received_ms == T0 + 49
    assert Quarantine(journal.path).counts() == {"json": 50}
    journal.close()


def test_a_journal_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    file = tmp_path / "journal" / "ingest-0.db"
    file.parent.mkdir()
    file.write_bytes(b"this is not a database, and long enough to be looked at" * 100)
    with pytest.raises(StoreError, match="cannot be opened"):
        Journal(file)


def test_lost_entries_are_reported_at_opening(tmp_path: Path) -> None:
    journal = Journal(schema.journal_path(tmp_path))
    journal.commit(Batch([reading()]))
    early = journal.path.read_bytes() + b""
    journal.close()
    whole = journal.path.read_bytes()
    journal = Journal(journal.path)
    journal.commit(Batch([reading(T0 + step) for step in range(1, 50)]))
    journal.close()
    journal.path.write_bytes(whole)  # as if an old copy had been put back, or the -wal lost
    assert early
    with pytest.raises(StoreError, match="lacks its last 49 entries"):
        Journal(journal.path)


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    journal = Journal(schema.journal_path(tmp_path))
    journal.close()
    db = sqlite3.connect(journal.path)
    db.execute("update meta set value = 99 where key = 'schema_version'")
    db.commit()
    db.close()
    with pytest.raises(StoreError, match="version 99"):
        Journal(journal.path)


@pytest.mark.parametrize("step", range(0, 40, 3))
def test_a_failing_write_loses_and_doubles_nothing(tmp_path: Path, step: int) -> None:
    """Let the disk be full at a given size, then have room again: exactly the committed is there."""
    journal = Journal(schema.journal_path(tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    committed: list[int] = []
    failures = 0
    size = max(file.stat().st_size for file in journal.path.parent.iterdir())
    for round_number in range(30):
        ts = T0 + round_number
        # Python ignores SIGXFSZ: a write past the limit fails with EFBIG, as ENOSPC would.
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 4096 * step + 700, hard))
        try:
            journal.commit(Batch([reading(ts, a=round_number + n / 8) for n in range(1)]))
        except StoreError:
            failures += 1
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            journal.commit(Batch([reading(ts, a=round_number)]))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        committed.append(ts)
    journal.close()
    assert failures > 0
    assert [ts for _, ts, _, _ in rows(journal.path)] == committed


@settings(max_examples=30, deadline=None)
@given(
    batches=st.lists(
        st.lists(
            st.tuples(
                st.sampled_from([PUMP, FAN]),
                st.integers(0, 3),
                st.sampled_from([("a",), ("a", "b"), ("b", "a")]),
                st.sampled_from([None, 0, 1]),
                st.sampled_from([0.0, -0.0, 1.5]),
            ),
            max_size=8,
        ),
        max_size=5,
    )
)
def test_any_sequence_of_batches_ends_like_a_dictionary(tmp_path_factory, batches) -> None:
    journal = Journal(schema.journal_path(tmp_path_factory.mktemp("journal")))
    kept: dict[tuple, bytes] = {}
    order = itertools.count()
    for batch in batches:
        new = repeated = conflicting = 0
        made = []
        for asset, ts, names, seq, value in batch:
            made.append(
                Reading(asset, ts, dict.fromkeys(names, value), seq=seq, received_ms=next(order))
            )
            key = (str(asset), ts, frozenset(names), -1 if seq is None else seq)
            packed = np.full(len(names), value).tobytes()
            if key not in kept:
                new += 1
            elif kept[key] == packed:
                repeated += 1
            else:
                conflicting += 1
            kept[key] = packed
        assert journal.commit(Batch(made)) == CommitCount(new, repeated, conflicting)
    found = {
        (path, ts, frozenset(values), seq): np.array(list(values.values())).tobytes()
        for path, ts, seq, values in rows(journal.path)
    }
    assert found == kept
    journal.close()

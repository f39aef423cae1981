"""Readings as columns: the same rows, checksums and lines as one by one; the hot tail is only a copy."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import numpy as np
import orjson
import pytest

from ingest.line_protocol import parse_lines
from plant.asset import AssetPath
from plant.event import Event
from plant.reading import Reading
from store import schema
from store.columns import Columns
from store.encode import Encoder
from store.hot_tail import HotTail, Segment
from store.journal import Batch, Journal
from store.journal_reader import JournalReader
from tests.store.conftest import NOW_MS

ASSETS = [AssetPath("s", "l", f"pump-{n}") for n in range(5)]
SHAPES = [("b", "a"), ("flow",), ("time", "asset", "rpm")]  # two names that InfluxDB has taken


def columns(seed: int, n: int, start: int = 0) -> Columns:
    """Readings as a client would have them, their numbers written in one text."""
    source = random.Random(seed)
    text, spans, values, first = b"", [], [], []
    shape = [source.randrange(len(SHAPES)) for _ in range(n)]
    for at in shape:
        first.append(len(values))
        numbers = [source.choice([source.gauss(0, 9), -3, 0.5, 1e15, -0.0]) for _ in SHAPES[at]]
        for number in numbers:
            written = orjson.dumps(number)
            spans.append((len(text), len(text) + len(written)))
            text += written + b" "
        values += [float(numbers[SHAPES[at].index(name)]) for name in sorted(SHAPES[at])]
    return Columns(
        ASSETS,
        SHAPES,
        np.array([source.randrange(len(ASSETS)) for _ in range(n)]),
        np.array(shape),
        NOW_MS + start + np.arange(n),
        np.array([source.choice([schema.NO_SEQ, 5]) for _ in range(n)]),
        np.array(first),
        np.array(values),
        text,
        np.array(spans, np.int32),
        NOW_MS + 10**6,
    )


@pytest.fixture
def journal(tmp_path: Path):
    journal = Journal(schema.journal_path(tmp_path))
    journal.tail = HotTail()
    yield journal
    journal.close()


def test_rows_are_those_of_single_readings(tmp_path: Path, journal: Journal) -> None:
    made = columns(1, 400)
    alone = Journal(tmp_path / "alone.db")
    alone.commit(Batch([made.sample(at) for at in range(len(made))]))
    alone.close()
    assert journal.commit(Batch([made])).new == 400
    rows = []
    for path in (journal.path, alone.path):
        db = schema.connect(path, read_only=True)
        rows.append(db.execute("select * from reading order by id").fetchall())
        db.close()
    assert rows[0] == rows[1]
    assert all(schema.reading_crc(*row[:8]) == row[8] for row in rows[0])


def test_segments_hold_what_the_journal_holds(journal: Journal) -> None:
    reading = Reading(ASSETS[0], NOW_MS - 5, {"a": 1.0}, received_ms=NOW_MS)
    event = Event(ASSETS[1], NOW_MS, "failure", mode="BRD")
    journal.commit(Batch([columns(1, 300), reading, columns(2, 300, 300)], [event]))
    journal.commit(Batch([columns(3, 100, 1_000)]))
    encoder = Encoder(JournalReader(journal.path))
    read = encoder.after(0, 10_000)
    assert journal.tail is not None
    kept = encoder.segments(journal.tail.take(0, 10_000))
    assert (kept.points, kept.stop, kept.events) == (read.points, read.stop, read.events)
    assert kept.points == 702

    def told(text: bytes) -> list:
        heads = [line.split(b" ")[0] for line in text.splitlines()]
        points = parse_lines(text, 10**8)
        found = [(h, p.ts_ms, sorted(p.fields.items())) for h, p in zip(heads, points, strict=True)]
        return sorted(found, key=repr)

    assert told(kept.readings) == told(read.readings)


def test_lines_tell_each_machines_times(journal: Journal) -> None:
    made = [columns(seed, 200, 1_000 * seed) for seed in (1, 2)]
    single = Reading(ASSETS[0], NOW_MS, {"a": 1.0})
    journal.commit(Batch([made[0], single]))
    journal.commit(Batch([made[1]]))
    samples = [single, *(item.sample(at) for item in made for at in range(len(item)))]
    expected = {
        asset: (min(times), max(times))
        for asset in ASSETS
        if (times := [sample.ts_ms for sample in samples if sample.asset == asset])
    }
    encoder = Encoder(JournalReader(journal.path))
    assert journal.tail is not None
    assert encoder.segments(journal.tail.take(0, 10_000)).times_ms == expected
    assert encoder.after(0, 10_000).times_ms == expected
    journal.commit(Batch([columns(3, 50, 5_000)], [Event(ASSETS[1], NOW_MS, "stop")]))
    assert encoder.segments(journal.tail.take(401, 10_000)).times_ms is None
    assert encoder.after(0, 10_000).times_ms is None


def test_a_commit_with_repeats_is_not_kept(journal: Journal) -> None:
    made = columns(1, 50)
    journal.commit(Batch([made]))
    assert journal.commit(Batch([made])).repeated == 50
    journal.commit(Batch([columns(2, 50, 500)]))
    assert journal.tail is not None
    assert [(s.first, s.stop) for s in journal.tail.take(0, 10_000)] == [(1, 51)]
    assert journal.tail.begins() == 101  # what lies between is read from the journal
    assert journal.tail.take(50, 10_000) == []
    assert [(s.first, s.stop) for s in journal.tail.take(100, 10_000)] == [(101, 151)]


def segment(first: int, stop: int) -> Segment:
    return Segment(first, stop, [[()] * (stop - first)], [])


def test_the_tail_forgets_what_was_sent_and_what_is_old() -> None:
    now = [0.0]
    tail = HotTail(most_s=5, now_s=lambda: now[0])
    tail.put(segment(1, 11))
    tail.put(segment(11, 21))
    assert [s.first for s in tail.take(10, 5)] == [11]  # the first was read another way
    tail.put(segment(21, 31))
    now[0] = 6
    tail.put(segment(31, 41))
    assert tail.begins() == 31


def test_the_tail_takes_no_more_than_fits_and_says_when_there_is_room() -> None:
    tail = HotTail(most_bytes=3 * segment(1, 11).size)
    for first in (1, 11, 21, 31):
        tail.put(segment(first, first + 10))
    assert [s.first for s in tail.take(0, 1_000)] == [1, 11, 21]
    tail.wait_for_room(0)
    tail.put(segment(41, 51))
    assert tail.begins() == 41


def test_the_tail_gathers_until_there_is_enough() -> None:
    tail = HotTail(most_bytes=10 * segment(1, 11).size)
    tail.gather(10, 0.0)  # nothing here, and no time to wait
    tail.put(segment(1, 11))
    filler = threading.Timer(0.05, lambda: tail.put(segment(11, 21)))
    filler.start()
    tail.gather(20, 60.0)
    assert [s.first for s in tail.take(0, 20)] == [1, 11]
    for first in range(21, 101, 10):
        tail.put(segment(first, first + 10))
    tail.gather(1_000, 60.0)  # nearly full: more than there is room for will not come
    assert [s.first for s in tail.take(20, 1_000)] == list(range(21, 101, 10))
    filler.join()


def test_of_a_segment_that_was_begun_another_way_nothing_is_taken() -> None:
    tail = HotTail()
    tail.put(segment(1, 11))
    assert tail.take(4, 1_000) == []
    assert tail.begins() is None

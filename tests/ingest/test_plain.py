"""The compiled walk takes what the long way takes, to the last bit, and leaves it everything else."""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.bulk import BulkClient
from ingest.decode import Limits, plain_sample
from ingest.number_kernel import number_at
from ingest.payload import read_values
from ingest.plain import Interned, PlainReader
from ingest.plain_kernel import walk
from ingest.router import Router
from ingest.run import Publish, Run, count, single
from ingest.settings import IngestSettings
from ingest.sink import Sink
from plant.asset import AssetPath
from plant.clock import ManualClock
from plant.errors import StoreError
from plant.topics import Topics
from store import schema
from store.journal import Journal
from tests.ingest.test_bulk import V5, Wire, frame, publish_frame

NOW = 1_763_800_000_000
LIMITS = Limits(max_bytes=400)
PUMP, FAN = AssetPath("s", "l", "pump"), AssetPath("s", "l", "fan")
TOPICS = {b"plant/s/l/pump/telemetry": PUMP, b"plant/s/l/fan/telemetry": FAN}
SHAPES = (("a",), ("b", "a"), ("flow", "vibration_rms", "a"))


@pytest.fixture(scope="module")
def reader() -> PlainReader:
    made = PlainReader(ManualClock(NOW), LIMITS.ahead_ms, LIMITS.max_bytes)
    made.warm_up()
    for topic, asset in TOPICS.items():
        for names in SHAPES:
            read_values(dict.fromkeys(names, 1.0))  # the long way knows them too
            made.learn(topic, asset, names)
    return made


def test_warming_up_compiles_what_messages_need(reader: PlainReader) -> None:
    """Else the first message waits for the compiler, some seconds."""
    payload = b'{"ts":%d,"values":{"a":1}}' % NOW
    packet = publish_frame(Publish(b"plant/s/l/pump/telemetry", payload, b"\0\1", 1), V5)
    run, _ = reader.read(packet, 0)
    assert run is not None
    assert len(walk.signatures) == 1


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


@settings(max_examples=3_000, deadline=None)
@given(
    st.one_of(
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.floats(-1e6, 1e6).map(repr),
        st.integers(-(2**64), 2**64).map(str),
        st.from_regex(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,19})?", fullmatch=True),
        st.text("0123456789.-eE", max_size=20),
    )
)
def test_numbers_are_the_nearest_floats(text: str) -> None:
    values = np.zeros(1)
    raw = np.frombuffer(text.encode() + b",", np.uint8)
    end = number_at(raw, 0, len(raw), values, values.view(np.uint64), 0)
    try:
        told = json.loads(text)
    except json.JSONDecodeError:
        assert end < len(text)  # not the whole of it, so what follows is no comma
        return
    if end == len(text):
        assert bits(values[0]) == bits(float(told))
    else:
        # Refused: exponents, too many digits, "-0", whole numbers that may lie half-way between floats.
        assert end == -1
        assert not text.lstrip("-").isdigit() or text == "-0" or abs(int(text)) > 2**53


def test_common_numbers_are_taken() -> None:
    source = random.Random(3)
    values = np.zeros(1)
    for _ in range(20_000):
        text = repr(source.choice([round(source.gauss(50, 10), 2), source.gauss(50, 10)]))
        raw = np.frombuffer(text.encode(), np.uint8)
        assert number_at(raw, 0, len(raw), values, values.view(np.uint64), 0) == len(text)
        assert values[0] == float(text)


def payload(source: random.Random) -> bytes:
    """A message that is plain, nearly plain, or damaged."""
    names = list(source.choice([*SHAPES, ("unknown",), ("a", "a"), ("a,b",)]))
    numbers = [source.gauss(0, 5), 3, -2, 1e-9, 0.0, -0.0, 12345678901234567, True, None, "1", 2.5]
    values = [(name, source.choice(numbers[:4] * 6 + numbers)) for name in names]
    inner = ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in values)
    stamp = source.choice([NOW, NOW, NOW + 1, NOW + 10**6, 17, "2026-01-01T00:00:00Z", NOW + 0.5])
    parts = [f'"ts": {json.dumps(stamp)}', f'"values": {{{inner}}}']
    if source.random() < 0.3:
        parts.append(f'"seq": {source.choice(["0", "7", "-1", "07", str(2**62), str(2**63)])}')
    if source.random() < 0.1:
        parts.append(source.choice(['"run_id": "x"', '"ts": 1763800000000', '"values": {"a": 1}']))
    source.shuffle(parts)
    text = ("{" + ",".join(parts) + "}").encode()
    if source.random() < 0.5:
        text = text.replace(b" ", b"")
    if source.random() < 0.15:
        place = source.randrange(len(text))
        text = (
            text[:place]
            + source.choice([b"", b"\\", b'"', b"0", b"\xff", b"\n"])
            + text[place + 1 :]
        )
    return text


def message(source: random.Random) -> Publish:
    topic = source.choice([*TOPICS, *TOPICS, b"plant/s/l/other/telemetry", b"t"])
    made = Publish(topic, payload(source), source.randrange(1, 65536).to_bytes(2, "big"), 1)
    if source.random() < 0.1:
        made = made._replace(retain=source.random() < 0.5, dup=source.random() < 0.5)
    return made if source.random() < 0.95 else made._replace(qos=0, mid=b"")


def plain_messages(source: random.Random, number: int) -> list[Publish]:
    return [
        Publish(
            source.choice(list(TOPICS)),
            json.dumps({"ts": NOW + n, "values": {"b": source.gauss(0, 1), "a": n}}).encode(),
            n.to_bytes(2, "big"),
            1,
        )
        for n in range(1, number + 1)
    ]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    number=st.integers(1, 60),
    cuts=st.lists(st.integers(0, 20_000), max_size=6),
)
def test_hears_the_same_messages_and_reads_the_same_values(reader, seed, number, cuts) -> None:
    source = random.Random(seed)
    stream = b"".join(
        publish_frame(message(source), V5) if source.random() < 0.95 else frame(0xD0, b"")
        for _ in range(number)
    )
    marks = sorted({cut % (len(stream) + 1) for cut in cuts} | {0, len(stream)})
    pieces = [stream[a:b] for a, b in itertools.pairwise(marks)]
    compiled, long = Wire(BulkClient, V5), Wire(BulkClient, V5)
    compiled.client.plain = reader
    assert compiled.feed(pieces) == long.feed(pieces)
    assert list(single(compiled.heard)) == long.heard
    assert count(compiled.heard) == len(long.heard)
    for wire in (compiled, long):
        wire.client.ack_many(wire.heard)
    assert compiled.answers() == long.answers()
    for run in compiled.heard:
        if isinstance(run, Run):
            for at, publish in enumerate(run.publishes()):
                told = plain_sample(TOPICS[publish.topic], publish.payload, NOW, LIMITS)
                assert told is not None
                found = run.columns.sample(at)
                assert found[:2] + found[3:] == told[:2] + told[3:]
                assert list(found.values) == sorted(told.values)
                for name, value in found.values.items():
                    assert bits(value) == bits(told.values[name])
    compiled.close()
    long.close()


def test_takes_nearly_all_of_what_machines_send(reader) -> None:
    messages = plain_messages(random.Random(1), 500)
    wire = Wire(BulkClient, V5)
    wire.client.plain = reader
    assert wire.feed([b"".join(publish_frame(m, V5) for m in messages)])
    runs = [m for m in wire.heard if isinstance(m, Run)]
    assert sum(map(len, runs)) == 500
    wire.close()


class Rig:
    """A journal fed by a stream, with the compiled walk or without."""

    def __init__(self, folder: Path, *, compiled: bool) -> None:
        self.journal = Journal(schema.journal_path(folder))
        clock, settings = ManualClock(NOW), IngestSettings()
        router = Router(Topics(), settings)
        self.sink = Sink(router, settings, self.journal, clock, remember=frozenset("a"))
        self.wire = Wire(BulkClient, V5)
        self.wire.client.on_publishes = self.sink.take
        if compiled:
            self.sink.plain = PlainReader(clock, router.limits.ahead_ms, router.limits.max_bytes)
            self.sink.plain.warm_up()
            self.wire.client.plain = self.sink.plain

    def send(self, messages: list[Publish]) -> None:
        assert self.wire.feed([b"".join(publish_frame(m, V5) for m in messages)])

    def rows(self) -> list[tuple]:
        db = sqlite3.connect(self.journal.path)
        rows = db.execute("select * from reading order by id").fetchall()
        rows += db.execute("select topic, payload, reason from quarantine order by id").fetchall()
        db.close()
        return rows

    def close(self) -> None:
        self.wire.close()
        self.journal.close()


@pytest.fixture
def rigs(tmp_path: Path):
    made = [Rig(tmp_path / str(compiled), compiled=compiled) for compiled in (True, False)]
    yield made
    for rig in made:
        rig.close()


def test_the_journal_and_the_figures_are_the_same(rigs: list[Rig]) -> None:
    for rig in rigs:
        source = random.Random(5)
        for _ in range(6):
            good = plain_messages(source, 300)
            rig.send([*good, *(message(source) for _ in range(40)), *good[:7]])
            assert rig.sink.flush()
    compiled, long = rigs
    assert compiled.rows() == long.rows()
    told, wanted = compiled.sink.tally.snapshot(), long.sink.tally.snapshot()
    told.pop("commit_ms"), wanted.pop("commit_ms")
    assert told == wanted
    assert wanted["repeated"] > 0
    assert wanted["conflicting"] > 0
    for asset in (PUMP, FAN):
        assert compiled.sink.newest(asset, "a") == long.sink.newest(asset, "a") is not None


def test_what_is_new_in_a_piece_is_learnt_for_the_rest_of_it(rigs: list[Rig]) -> None:
    rig = rigs[0]
    heard: list[Run | Publish] = []

    def hear(messages):
        heard.extend(messages)
        rig.sink.take(messages)

    rig.wire.client.on_publishes = hear
    rig.send([Publish(b"plant/s/l/pump/telemetry", plain(0), b"\0\1", 1)])
    topics = [b"plant/s/l/pump/telemetry"] * 50 + [b"plant/s/l/fan/telemetry"] * 50
    rig.send([Publish(topic, plain(at), b"\0\1", 1) for at, topic in enumerate(topics, 1)])
    singles = [message for message in heard if isinstance(message, Publish)]
    # The first of a topic is routed, the second shows that it is plain.
    assert [message.topic for message in singles] == [topics[0]] * 2 + [topics[-1]] * 2
    assert count(heard) == 101
    assert rig.sink.flush()
    assert len(rig.rows()) == 101


def plain(at: int) -> bytes:
    return b'{"ts":%d,"values":{"a":1.5}}' % (NOW - at)


def test_a_walk_that_fails_loses_nothing(rigs, monkeypatch) -> None:
    rig = rigs[0]
    messages = plain_messages(random.Random(2), 50)
    rig.send(messages[:10])

    calls = []

    def failing(*_):
        calls.append(1)
        raise ValueError("a defect of ours")

    monkeypatch.setattr(rig.sink.plain, "_walk", failing)
    rig.send(messages)
    assert rig.sink.flush()
    assert len(rig.rows()) == 50
    assert calls == [1]  # not tried again


def test_a_run_that_cannot_be_committed_is_committed_message_by_message(rigs, monkeypatch) -> None:
    rig = rigs[0]
    messages = plain_messages(random.Random(2), 50)
    rig.send(messages)  # learns
    rig.sink.flush()
    commit, failed = rig.journal.commit, []

    def failing(batch):
        if not failed:
            failed.append(batch)
            raise ValueError("a defect of ours")
        return commit(batch)

    monkeypatch.setattr(rig.journal, "commit", failing)
    later = [m._replace(payload=m.payload.replace(b'"ts": 17', b'"ts": 16')) for m in messages]
    rig.send(later)
    assert any(type(r).__name__ == "Columns" for r in rig.sink._batch.readings)
    assert rig.sink.flush()
    assert len(failed) == 1
    assert len(rig.rows()) == 100


def test_a_run_waits_while_the_journal_cannot_be_written(rigs, monkeypatch) -> None:
    rig = rigs[0]
    messages = plain_messages(random.Random(2), 50)
    rig.send(messages)
    rig.sink.flush()

    def full(batch):
        raise StoreError("the disk is full.")

    later = [m._replace(payload=m.payload.replace(b'"ts": 17', b'"ts": 16')) for m in messages]
    with monkeypatch.context() as patch:
        patch.setattr(rig.journal, "commit", full)
        rig.send(later)
        assert not rig.sink.flush()
        assert rig.sink.pending == 50
    assert rig.sink.flush()
    assert len(rig.rows()) == 100


def test_interns_thousands_of_names() -> None:
    from ingest import plain_kernel

    names = Interned(plain_kernel)
    texts = [f"topic/{n}".encode() for n in range(5_000)]
    assert all(names.add(text) for text in texts)
    assert not names.add(texts[7])
    for number, text in enumerate(texts):
        raw = np.frombuffer(text, np.uint8)
        assert plain_kernel.slot_of(names.table, raw, 0, len(raw))[0] == number
    raw = np.frombuffer(b"topic/5000", np.uint8)
    assert plain_kernel.slot_of(names.table, raw, 0, len(raw))[0] == -1

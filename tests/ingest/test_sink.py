"""Between decoding and the journal: nothing raises, nothing is lost, everything refused is kept."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import orjson
import pytest
from structlog.testing import capture_logs

from ingest.decode import plain_sample
from ingest.replay import replay
from ingest.router import Router
from ingest.run import Publish
from ingest.settings import IngestSettings, Mapping
from ingest.sink import Sink
from ingest.skew import ClockSkew
from ingest.watch import glance, rates
from plant.asset import AssetPath
from plant.clock import ManualClock
from plant.errors import StoreError
from plant.topics import Topics
from store import schema
from store.journal import Batch, Journal
from store.quarantine import Quarantine

NOW = 1_763_800_000_000
TOPIC = b"plant/s/l/p/telemetry"


class Rig:
    def __init__(self, folder: Path, reader=None, **settings) -> None:
        self.journal = Journal(schema.journal_path(folder))
        self.clock = ManualClock(NOW)
        self.settings = IngestSettings(**settings)
        self.router = Router(Topics(), self.settings)
        self.sink = Sink(self.router, self.settings, self.journal, self.clock, reader)

    def send(self, *payloads: bytes, topic: bytes = TOPIC, retain: bool = False) -> None:
        self.sink.take([Publish(topic, payload, b"\0\1", 1, retain) for payload in payloads])

    def rows(self) -> int:
        db = schema.connect(self.journal.path, read_only=True)
        (count,) = db.execute("select count(*) from reading").fetchone()
        db.close()
        return count


@pytest.fixture
def rig(tmp_path: Path):
    rig = Rig(tmp_path)
    yield rig
    rig.journal.close()


def good(ts: int = NOW, **extra) -> bytes:
    return orjson.dumps({"ts": ts, "values": {"a": 1.0}, **extra})


def test_takes_good_and_bad_together(rig: Rig) -> None:
    rig.send(good(), b"{", good(NOW + 1), b'{"ts":1,"values":{"a":1}}')
    assert rig.sink.pending == 4
    assert rig.sink.flush()
    assert rig.rows() == 2
    assert rig.sink.tally.rejected == {"json": 1, "ts_past": 1}
    assert {item.payload for item in Quarantine(rig.journal.path).items()} == {
        b"{",
        b'{"ts":1,"values":{"a":1}}',
    }


@pytest.mark.parametrize("stage", ["plain", "decoder", "extend", "commit", "account"])
def test_a_defect_at_any_stage_loses_nothing(rig: Rig, monkeypatch, stage: str) -> None:
    """An exception where none should be: that message goes to quarantine, the others are stored."""
    bad = good(NOW + 3)
    if stage == "plain":

        def failing_read(asset, payload: bytes, received_ms: int, limits):
            if payload == bad:
                raise RuntimeError("a defect")
            return plain_sample(asset, payload, received_ms, limits)

        monkeypatch.setattr("ingest.sink.plain_sample", failing_read)
        rig.send(good(NOW))  # the topic and the names are known from here on
    elif stage == "decoder":
        bad = good(NOW + 3, run_id="r")
        decoder = rig.router.decoder

        def broken(topic: bytes):
            read = decoder(topic)

            def reading(payload: bytes, received_ms: int):
                if payload == bad:
                    raise RuntimeError("a defect")
                return read(payload, received_ms)

            return reading

        monkeypatch.setattr(rig.router, "decoder", broken)
    elif stage in {"commit", "extend"}:
        commit = rig.journal.commit

        def failing(batch: Batch):
            if any(reading.ts_ms == NOW + 3 for reading in batch.readings):
                raise TypeError("a defect")
            return commit(batch)

        monkeypatch.setattr(rig.journal, "commit", failing)
    else:
        monkeypatch.setattr(
            rig.sink.skew, "saw", lambda *_: (_ for _ in ()).throw(RuntimeError("a defect"))
        )
    rig.send(*(bad if i == 3 else good(NOW + i) for i in range(6)))
    with capture_logs():
        if stage == "account":
            with pytest.raises(RuntimeError):
                rig.sink.flush()  # it is stored; the session ends, the broker sends it again
            assert rig.rows() == 6
            return
        assert rig.sink.flush()
    assert rig.rows() == 5
    assert [item.payload for item in Quarantine(rig.journal.path).items()] == [bad]
    assert rig.sink.tally.rejected == {"internal": 1}


def test_a_full_disk_blocks_and_resumes(rig: Rig, monkeypatch) -> None:
    commit = rig.journal.commit
    monkeypatch.setattr(rig.journal, "commit", lambda _: (_ for _ in ()).throw(StoreError("full")))
    rig.send(good())
    with capture_logs() as logs:
        assert not rig.sink.flush()
        assert not rig.sink.flush()
    assert [entry["event"] for entry in logs] == ["ingest.blocked"]
    assert rig.sink.blocked
    assert rig.sink.due_in_s() > 0
    monkeypatch.setattr(rig.journal, "commit", commit)
    assert rig.sink.flush()
    assert not rig.sink.blocked
    assert rig.rows() == 1


def test_commits_by_size_and_by_time(tmp_path: Path) -> None:
    rig = Rig(tmp_path, commit_messages=3, commit_ms=10_000)
    assert rig.sink.due_in_s() > 100
    rig.send(good())
    assert 5 < rig.sink.due_in_s() <= 10
    rig.send(good(), good())
    assert rig.sink.due_in_s() == 0
    rig.journal.close()


def test_waveforms_become_readings_by_the_reader_of_the_wiring(tmp_path: Path) -> None:
    payload = orjson.dumps({"ts": NOW, "waveform": [float(i) for i in range(32)], "fs_hz": 100})
    rig = Rig(tmp_path, lambda w: {f"{w.signal}_max": float(np.max(w.samples))})
    rig.send(payload, topic=b"plant/s/l/p/telemetry/vib")
    assert rig.sink.flush()
    assert rig.rows() == 1
    rig.journal.close()
    without = Rig(tmp_path / "other")
    without.send(payload, topic=b"plant/s/l/p/telemetry/vib")
    assert without.sink.flush()
    assert without.sink.tally.rejected == {"waveform": 1}
    without.journal.close()


def test_the_newest_speed_is_remembered_for_waveforms(rig: Rig) -> None:
    sink = Sink(rig.router, rig.settings, rig.journal, rig.clock, remember=frozenset({"speed_rpm"}))
    rig.sink = sink
    rig.send(
        good(NOW), good(NOW + 2, values={"speed_rpm": 1500}), good(NOW, values={"speed_rpm": 3})
    )
    sink.flush()
    assert sink.newest(PUMP, "speed_rpm") == 1500
    assert sink.newest(PUMP, "a") is None


def test_a_mended_setting_lets_replay_bring_messages_in(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.send(b'{"t":21.5}', b'{"x":1}', topic=b"foreign/p9")
    rig.send(b"{")
    rig.sink.flush()
    mapping = Mapping(
        name="m",
        topic="foreign/{id}",
        site="s",
        line="l",
        asset="{id}",
        signals={"t": {"path": "t"}},
    )
    mended = Router(Topics(), IngestSettings(mappings=(mapping,)))
    assert replay(rig.journal, mended, NOW, dry_run=True).messages == 1
    count = replay(rig.journal, mended, NOW + 5_000)
    assert (count.messages, count.readings) == (1, 1)
    assert count.refused == {"no_values": 1, "json": 1}
    assert Quarantine(rig.journal.path).waiting() == {"topic": 1, "json": 1}
    db = schema.connect(rig.journal.path, read_only=True)
    assert db.execute("select ts from reading").fetchall() == [(NOW,)]  # its arrival, not today
    db.close()
    assert replay(rig.journal, mended, NOW).messages == 0
    rig.journal.close()


def test_watch_reads_rates_from_the_journals(rig: Rig, tmp_path: Path) -> None:
    before = glance(tmp_path, NOW)
    rig.send(*(good(NOW - i) for i in range(10)), b"{")
    rig.sink.flush()
    after = glance(tmp_path, NOW + 2_000)
    seen = rates(before, after)
    assert (seen.entries_per_s, seen.rejected_per_s) == (5.0, 0.5)
    assert (seen.lag_ms, seen.silent_ms) == (9, 2_000)
    assert after.assets == 1


def test_any_poison_is_counted_and_every_good_row_stored(rig: Rig) -> None:
    source = random.Random(4)
    sent_good = sent_bad = 0
    for step in range(300):
        if source.random() < 0.7:
            rig.send(good(NOW - step))
            sent_good += 1
        else:
            poison = source.choice(
                [
                    source.randbytes(30),
                    b"[" * 3000,
                    b'{"ts":%d,"values":{"a":1e999}}' % NOW,
                    b"x" * 300_000,
                ]
            )
            rig.send(
                poison, topic=source.choice([TOPIC, b"\xff\xfe", b"plant/../x", TOPIC + b"/\x00"])
            )
            sent_bad += 1
    assert rig.sink.flush()
    assert rig.rows() == sent_good
    assert rig.sink.tally.rejected.total() == sent_bad
    assert sum(Quarantine(rig.journal.path).counts().values()) == sent_bad


PUMP = AssetPath("s", "l", "p")


@pytest.mark.parametrize(
    ("error_ms", "expected"), [(3_600_000, 3_600_000), (-120_000, -120_000), (0, None)]
)
def test_a_clock_that_is_off_is_found(error_ms: int, expected: int | None) -> None:
    skew = ClockSkew(30_000)
    for step in range(200):
        now = NOW + step * 1_000
        skew.saw(PUMP, now + error_ms - 40 - step % 30, now)
    found = skew.found.get(PUMP)
    assert (found is None) == (expected is None)
    if expected is not None:
        assert found == pytest.approx(expected, abs=100)


def test_a_backlog_is_not_taken_for_a_clock_that_is_off() -> None:
    skew = ClockSkew(30_000)
    for step in range(400):  # ten minutes late, catching up twice as fast as real time
        now = NOW + step * 500
        skew.saw(PUMP, NOW - 600_000 + step * 1_500, now)
    assert skew.found == {}

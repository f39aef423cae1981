"""The outbox survives anything but the loss of the disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant.errors import StoreError
from serve.outbox import Outbox

_WRITER = """
import sys
from pathlib import Path
from serve.outbox import Outbox
box = Outbox(Path(sys.argv[1]))
n = 0
while True:
    box.put_many([("a", b"%d" % n), ("b", b"%d" % n)])
    print(n, flush=True)
    n += 1
"""


def test_only_the_latest_payload_is_kept(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox.sqlite")
    assert box.put_many([("a", b"1"), ("b", b"1")]) == ["a", "b"]
    assert box.put_many([("a", b"2"), ("b", b"1")]) == ["a"]
    latest = box.get("a")
    assert latest is not None
    assert latest[0] == b"2"
    assert box.topics() == ["b", "a"]
    assert box.get("c") is None
    box.close()


def test_a_cleared_topic_is_forgotten_only_at_its_own_acknowledgement(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox.sqlite")
    box.put_many([("a", b"1")])
    box.forget("a", 1)
    assert box.topics() == ["a"]
    box.put_many([("a", b"")])
    box.forget("a", 1)
    assert box.topics() == ["a"]
    box.forget("a", 2)
    assert box.topics() == []
    box.close()


def test_a_killed_process_loses_nothing_it_had_put(tmp_path: Path) -> None:
    file = tmp_path / "outbox.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(file)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        for _ in range(50):
            said = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        said = max([said, *(int(line) for line in writer.stdout if line.strip())])
    box = Outbox(file)
    a, b = box.get("a"), box.get("b")
    assert a is not None
    assert b is not None
    assert a[0] == b[0]  # one transaction: never half of it
    assert int(a[0]) >= said
    box.close()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.binary(max_size=3))))
def test_it_is_a_map(
    tmp_path_factory: pytest.TempPathFactory, items: list[tuple[str, bytes]]
) -> None:
    file = tmp_path_factory.mktemp("box") / "outbox.sqlite"
    box = Outbox(file)
    for item in items:
        box.put_many([item])
    box.close()
    again = Outbox(file)
    found = {topic: again.get(topic) for topic in again.topics()}
    assert {t: v[0] for t, v in found.items() if v is not None} == dict(items)
    again.close()


def test_an_unusable_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "outbox.sqlite").write_bytes(
        b"not a database, though long enough to be read as one"
    )
    with pytest.raises(StoreError, match="cannot be opened"):
        Outbox(tmp_path / "outbox.sqlite")

"""The book survives kills, is shared by processes, and delivers every transition once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from plant.clock import ManualClock
from plant.errors import DataError, StoreError
from plant.times import HOUR_MS, MINUTE_MS
from serve.alarms.book import AlarmBook
from serve.alarms.desk import AlarmDesk, check_who
from serve.alarms.rules import Rules
from serve.settings import ServeSettings
from store.sqlite import SqliteStore
from tests.serve.examples import PLANT, PUMP, T0, risk_at

RULES = Rules(PLANT, ServeSettings())
STEP = 10 * MINUTE_MS

_WORKER = """
import sys, structlog
from pathlib import Path
from plant.clock import ManualClock
from serve.alarms.book import AlarmBook
from serve.alarms.desk import AlarmDesk
from store.sqlite import SqliteStore
from tests.serve.alarms.test_book import RULES, STEP, feed, last_step
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
folder = Path(sys.argv[1])
store = SqliteStore(folder / "store", ManualClock(0))
desk = AlarmDesk(AlarmBook(folder / "alarms.db"), RULES)
print("up", flush=True)
for step in range(last_step(desk) + 1, int(sys.argv[2])):
    desk.advance(feed(step), feed(step)[0].ts_ms)
    desk.book.deliver(store)
print("done", flush=True)
"""


def feed(step: int) -> list:  # type: ignore[type-arg]
    """Rows that raise, escalate, return and close alarms over and over."""
    assets = [PUMP.__class__("lyon", "l1", f"pump-{n}") for n in range(20)]
    return [
        risk_at(
            T0 + step * STEP,
            random.Random(step // 15 * 20 + n).choice([0.05, 0.1, 0.5, 0.8]),
            asset=asset,
        )
        for n, asset in enumerate(assets)
    ]


def last_step(desk: AlarmDesk) -> int:
    """The newest step that is in the book: where a restarted service goes on."""
    newest = max((state.last_ms for state in desk.book.states().values()), default=0)
    return (newest - T0) // STEP if newest else -1


def open_desk(folder: Path) -> AlarmDesk:
    return AlarmDesk(AlarmBook(folder / "alarms.db"), RULES)


def test_a_process_that_is_killed_again_and_again_leaves_the_same_log(tmp_path: Path) -> None:
    steps = 150
    calm = tmp_path / "calm"
    store = SqliteStore(calm / "store", ManualClock(0))
    desk = open_desk(calm)
    for step in range(steps):
        desk.advance(feed(step), feed(step)[0].ts_ms)
        desk.book.deliver(store)
    expected = store.read_events(0, 1 << 60, kinds=["alarm"])
    assert len(expected) > 50
    desk.book.close()
    store.close()

    rough = tmp_path / "rough"
    rng = random.Random(3)
    kills = 0
    while True:
        with subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(rough), str(steps)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as worker:
            assert worker.stdout is not None
            assert worker.stdout.readline().strip() == "up"
            try:
                worker.wait(rng.uniform(0.02, 0.25) if kills < 5 else 60)
                break
            except subprocess.TimeoutExpired:
                os.kill(worker.pid, signal.SIGKILL)
                kills += 1
    assert kills >= 3
    store = SqliteStore(rough / "store", ManualClock(0))
    desk = open_desk(rough)
    desk.book.deliver(store)
    assert store.read_events(0, 1 << 60, kinds=["alarm"]) == expected
    desk.book.close()
    store.close()


def test_another_process_may_acknowledge_meanwhile(tmp_path: Path) -> None:
    service, person = open_desk(tmp_path), open_desk(tmp_path)
    for i in range(5):
        service.advance([risk_at(T0 + i * STEP, 0.5)], T0 + i * STEP)
    (alarm,) = person.book.open_alarms()
    person.acknowledge(alarm.id[:6], T0 + HOUR_MS, "Ada")
    (seen,) = service.book.open_alarms()
    assert seen.acknowledged_by == "Ada"
    service.advance([risk_at(T0 + 6 * STEP, 0.5)], T0 + 6 * STEP)
    (kept,) = person.book.open_alarms()
    assert kept.state == "acknowledged"
    service.book.close()
    person.book.close()


def test_threads_do_not_lose_each_others_changes(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    assets = [PUMP.__class__("s", "l", f"a{n}") for n in range(8)]

    def work(n: int) -> None:
        own = open_desk(tmp_path)
        for i in range(12):
            own.advance([risk_at(T0 + i * STEP, 0.8, asset=assets[n])], T0 + i * STEP)
        own.book.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {alarm.asset for alarm in desk.book.open_alarms()} == set(assets)
    desk.book.close()


def test_delivery_waits_for_a_store_that_is_down(tmp_path: Path) -> None:
    class Down(SqliteStore):
        def write_events(self, events):  # type: ignore[no-untyped-def]
            raise StoreError("down")

    desk = open_desk(tmp_path)
    for i in range(5):
        desk.advance([risk_at(T0 + i * STEP, 0.5)], T0 + i * STEP)
    down = Down(tmp_path / "down", ManualClock(0))
    with pytest.raises(StoreError):
        desk.book.deliver(down)
    assert desk.book.undelivered() == 1
    up = SqliteStore(tmp_path / "up", ManualClock(0))
    assert desk.book.deliver(up) == 1
    assert desk.book.deliver(up) == 0
    assert len(up.read_events(0, 1 << 60, kinds=["alarm"])) == 1
    for item in (down, up):
        item.close()
    desk.book.close()


def test_ids_may_be_shortened_while_they_are_unique(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    with pytest.raises(DataError, match="is not open"):
        desk.book.find("A1")
    for n in range(40):
        asset = PUMP.__class__("lyon", "l1", f"p{n}")
        desk.advance([risk_at(T0, 0.9, asset=asset)], T0)
    with pytest.raises(DataError, match="fits 40 alarms"):
        desk.book.find("A")
    desk.book.close()


def test_a_file_that_is_no_book_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "alarms.db").write_bytes(b"something else that is no database, but long enough")
    with pytest.raises(StoreError, match="cannot be opened"):
        AlarmBook(tmp_path / "alarms.db")


def test_an_action_needs_a_name() -> None:
    assert check_who(" Ada\n") == "Ada"
    with pytest.raises(DataError, match="who acts"):
        check_who("\x00")

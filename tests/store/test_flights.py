"""Two batches at a time change nothing that InfluxDB holds in the end."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant.asset import AssetPath
from store.encode import Lines
from store.flights import MOST, Flights

ASSETS = [AssetPath("s", "l", f"pump-{n}") for n in range(3)]
#: Batches of (machine, time), each told as what it is or as unknown.
BATCHES = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from(ASSETS), st.integers(0, 9)), min_size=1, max_size=4),
        st.booleans(),
    ),
    max_size=8,
)


def lines(number: int, points: list[tuple[AssetPath, int]], known: bool = True) -> Lines:
    spans = {
        asset: (min(t for a, t in points if a == asset), max(t for a, t in points if a == asset))
        for asset, _ in points
    }
    return Lines(b"", [], len(points), number, spans if known else None)


@settings(max_examples=60, deadline=None)
@given(batches=BATCHES, slow=st.integers(0, 2**8))
def test_the_last_one_wins_as_if_sent_one_by_one(
    batches: list[tuple[list[tuple[AssetPath, int]], bool]], slow: int
) -> None:
    held: dict[tuple[AssetPath, int], int] = {}
    landed: list[int] = []

    def send(load: Lines) -> int:
        if slow >> load.stop & 1:
            time.sleep(0.002)
        held.update(dict.fromkeys(batches[load.stop][0], load.stop))
        return load.points

    with (
        ThreadPoolExecutor(MOST) as threads,
        Flights(threads, send, lambda load, _: landed.append(load.stop)) as flights,
    ):
        for number, (points, known) in enumerate(batches):
            flights.start(lines(number, points, known))
    assert landed == list(range(len(batches)))
    assert held == {point: n for n, (points, _) in enumerate(batches) for point in points}


def test_as_many_as_allowed_are_on_their_way() -> None:
    together = threading.Barrier(MOST, timeout=10)
    with (
        ThreadPoolExecutor(MOST + 1) as threads,
        Flights(threads, lambda _: together.wait(), lambda *_: None) as flights,
    ):
        for number in range(2 * MOST):
            flights.start(lines(number, [(ASSETS[0], number)]))


@pytest.mark.parametrize("fails", ["send", "land"])
def test_nothing_counts_behind_one_that_failed(fails: str) -> None:
    landed: list[int] = []
    sent: list[int] = []

    def send(load: Lines) -> None:
        if load.stop == 1 and fails == "send":
            time.sleep(0.02)
            raise OSError("away")
        sent.append(load.stop)

    def land(load: Lines, _: None) -> None:
        if load.stop == 1 and fails == "land":
            raise OSError("away")
        landed.append(load.stop)

    def fly(threads: ThreadPoolExecutor) -> None:
        with Flights(threads, send, land) as flights:
            for number in range(5):
                flights.start(lines(number, [(ASSETS[0], number)]))

    with ThreadPoolExecutor(MOST) as threads, pytest.raises(OSError, match="away"):
        fly(threads)
    assert landed == [0]
    assert set(sent) == ({0, 2} if fails == "send" else {0, 1, 2})


def test_what_is_on_its_way_lands_when_the_next_one_cannot_be_read() -> None:
    landed: list[int] = []

    def fly(threads: ThreadPoolExecutor) -> None:
        with Flights(threads, lambda _: None, lambda load, _: landed.append(load.stop)) as flights:
            for number in range(2):
                flights.start(lines(number, [(ASSETS[0], number)]))
            raise OSError("damaged")

    with ThreadPoolExecutor(MOST) as threads, pytest.raises(OSError, match="damaged"):
        fly(threads)
    assert landed == [0, 1]


def test_batches_whose_times_touch_are_not_apart() -> None:
    first = lines(0, [(ASSETS[0], 1), (ASSETS[0], 5), (ASSETS[1], 1)])
    assert first.apart_from(lines(1, [(ASSETS[0], 6), (ASSETS[1], 2), (ASSETS[2], 1)]))
    assert first.apart_from(lines(1, [(ASSETS[0], 0)]))
    assert not first.apart_from(lines(1, [(ASSETS[0], 5)]))
    assert not first.apart_from(lines(1, [(ASSETS[0], 3)]))
    assert not first.apart_from(lines(1, [(ASSETS[0], 6)], known=False))
    assert not lines(0, [(ASSETS[0], 1)], known=False).apart_from(first)

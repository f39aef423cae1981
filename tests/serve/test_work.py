"""Who is out of service, by whatever habit a plant keeps its log."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from plant.asset import AssetPath
from plant.event import Event
from plant.times import HOUR_MS
from serve.work import Work, finished, under_work, works
from tests.serve.examples import PUMP

H = HOUR_MS


def log(*entries: tuple[str, float, dict[str, object]]) -> list[Event]:
    return [Event(PUMP, round(hour * H), kind, **more) for kind, hour, more in entries]  # type: ignore[arg-type]


def test_maintenance_logged_when_it_begins() -> None:
    (work,) = works(log(("maintenance", 10, {"duration_h": 6, "mode": "BRD"})), 8)
    assert work == Work(PUMP, 10 * H, 16 * H, ("BRD",))


def test_maintenance_logged_when_it_is_done() -> None:
    events = log(
        ("stop", 10, {"mode": "BRD", "planned": True}),
        ("maintenance", 16, {"duration_h": 6, "mode": "BRD"}),
        ("start", 16, {}),
    )
    assert works(events, 8) == [Work(PUMP, 10 * H, 16 * H, ("BRD",))]


def test_a_failure_lasts_until_the_start_after_its_repair() -> None:
    events = log(
        ("failure", 10, {"mode": "BRD"}),
        ("stop", 10, {"mode": "BRD", "planned": False}),
        ("maintenance", 30, {"duration_h": 6, "scope": ("BRD", "SEAL")}),
        ("start", 30, {}),
        ("maintenance", 50, {"duration_h": 1}),
    )
    first, second = works(events, 24)
    assert first == Work(PUMP, 10 * H, 30 * H, ("BRD", "SEAL"))
    assert second == Work(PUMP, 50 * H, 51 * H, ())


def test_without_a_start_it_ends_by_default_and_what_it_renewed_is_not_known() -> None:
    (work,) = works(log(("failure", 10, {"mode": "BRD"})), 8)
    assert (work.end_ms, work.renewed) == (18 * H, None)
    (mended,) = works(log(("failure", 10, {}), ("start", 12, {})), 8)
    assert (mended.end_ms, mended.renewed) == (12 * H, ())


def test_a_stop_for_production_reasons_is_no_work() -> None:
    assert works(log(("stop", 10, {"planned": True}), ("start", 12, {})), 8) == []


def test_now_and_lately() -> None:
    found = [Work(PUMP, 10, 20, ()), Work(AssetPath("a", "b", "c"), 15, 40, None)]
    assert set(under_work(found, 15)) == {PUMP, AssetPath("a", "b", "c")}
    assert set(under_work(found, 20)) == {AssetPath("a", "b", "c")}
    assert finished(found, 10, 20) == [found[0]]
    assert finished(found, 20, 39) == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["failure", "stop", "maintenance", "start"]),
            st.integers(0, 100),
            st.sampled_from(["", "BRD"]),
            st.none() | st.floats(0, 10),
        )
    )
)
def test_whatever_the_log_says_work_does_not_overlap(
    entries: list[tuple[str, int, str, float]],
) -> None:
    events = [
        Event(PUMP, hour * H, kind, mode=mode, duration_h=hours)
        for kind, hour, mode, hours in sorted(entries, key=lambda e: e[1])
    ]
    found = works(events, 8)
    assert all(work.start_ms <= work.end_ms for work in found)
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(found))

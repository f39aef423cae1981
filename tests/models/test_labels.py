"""The table of worked cases: what each log says about a row at hour 10 of a machine seen from 0 to 100."""

from __future__ import annotations

import numpy as np
import pytest

from models.labels import Labels, label_rows
from models.lifetime import fit_lifetime
from models.settings import ModelSettings
from models.window import horizon_h
from plant.asset import AssetPath
from plant.event import Event
from plant.times import HOUR_MS

SETTINGS = ModelSettings(degraded_residual_h=12.0, repair_within_h=48.0)
PUMP = AssetPath("s", "l", "p")


def at(hour: float, kind: str, **more: object) -> Event:
    return Event(PUMP, round(hour * HOUR_MS), kind, **more)  # type: ignore[arg-type] # test brevity


def labels_of(events: list[Event], hours: list[float] | None = None, **more: int) -> Labels:
    ts = np.array([h * HOUR_MS for h in (hours or range(101))], dtype=np.int64)
    return label_rows(np.full(len(ts), str(PUMP), dtype=object), ts, events, SETTINGS, **more)


CASES = {
    "failure": ([at(60, "failure", mode="A")], 50.0, True, "A"),
    "nothing happened: censored at the last row": ([], 90.0, False, ""),
    "repair found sound: would have lasted twice the residual": (
        [at(60, "maintenance", found="sound")], 74.0, False, ""),
    "repair found degraded is a failure a residual later": (
        [at(60, "maintenance", found="degraded", mode="A")], 62.0, True, "A"),
    "repair found failed": ([at(60, "maintenance", found="failed", scope=("B",))], 50.0, True, "B"),
    "repair with no finding": ([at(60, "maintenance", planned=True)], 50.0, False, ""),
    "failure explained by its repair counts once": (
        [at(60, "failure", mode="A"), at(64, "maintenance", mode="A", found="failed")], 50.0, True, "A"),
    "overlapping modes: the first ends the life": (
        [at(60, "failure", mode="A"), at(70, "failure", mode="B")], 50.0, True, "A"),
    "overlapping modes: a repair of another mode cuts what can be known": (
        [at(40, "maintenance", scope=("B",), found="sound"), at(60, "failure", mode="A")], 54.0, False, ""),
    "inspection found sound changes nothing": (
        [at(40, "inspection", found="sound"), at(60, "failure")], 50.0, True, ""),
    "inspection found degraded changes nothing": (
        [at(40, "inspection", found="degraded"), at(60, "failure")], 50.0, True, ""),
    "inspection found failed": ([at(40, "inspection", found="failed")], 30.0, True, ""),
    "a stop is not a failure": ([at(40, "stop", planned=True), at(60, "failure")], 50.0, True, ""),
}  # fmt: skip


@pytest.mark.parametrize(("events", "ttf", "observed", "mode"), CASES.values(), ids=CASES.keys())
def test_worked_cases(events: list[Event], ttf: float, observed: bool, mode: str) -> None:
    labels = labels_of(events)
    assert labels.ttf_h[10] == ttf
    assert labels.observed[10] == observed
    assert labels.mode[10] == mode
    assert labels.valid[10]


A, B = ("A",), ("B",)
#: What each log makes of the hours 0 to 100: the lives as (start, stop, how it ended, mode), in whole hours.
STOPPAGES = {
    "a repair of another mode does not end the stoppage": (
        [at(60, "failure", mode="A"), at(61, "maintenance", scope=B, found="sound"),
         at(65, "maintenance", scope=A, found="failed")],
        [(0, 60, "failed", "A"), (65, 100, "open", "")]),
    "two modes that fail together are one failure, however they are repaired": (
        [at(60, "failure", mode="A"), at(60.2, "failure", mode="B"),
         at(64, "maintenance", scope=A, found="failed"), at(65, "maintenance", scope=B, found="failed")],
        [(0, 60, "failed", "A"), (65, 100, "open", "")]),
    "a mode that fails while the machine is down is repaired with it": (
        [at(60, "failure", mode="A", duration_h=10.0), at(65, "failure", mode="B"),
         at(72, "maintenance", scope=B, found="failed")],
        [(0, 60, "failed", "A"), (72, 100, "open", "")]),
    "a failure logged again is no other": (
        [at(60, "failure", mode="A"), at(63, "failure", mode="A"),
         at(66, "maintenance", mode="A", found="failed")],
        [(0, 60, "failed", "A"), (66, 100, "open", "")]),
    "an inspection and the failure it found are one": (
        [at(60, "inspection", found="failed", mode="A"), at(63, "failure", mode="A"),
         at(66, "maintenance", mode="A", found="failed")],
        [(0, 60, "failed", "A"), (66, 100, "open", "")]),
    "failed before the first row: down until the repair": (
        [at(-10, "failure", mode="A"), at(8, "maintenance", mode="A", found="failed")],
        [(8, 100, "open", "")]),
    "failed too long before the first row for that repair": (
        [at(-60, "failure", mode="A"), at(8, "maintenance", mode="A", found="failed")],
        [(0, 8, "failed", "A"), (8, 100, "open", "")]),
    "after a start it can fail again": (
        [at(60, "failure", mode="A"), at(62, "start"), at(80, "failure", mode="A"),
         at(84, "maintenance", mode="A", found="failed")],
        [(0, 60, "failed", "A"), (62, 80, "failed", "A"), (84, 100, "open", "")]),
    "after a start a repair of another mode cuts what can be known": (
        [at(60, "failure", mode="A"), at(62, "start"), at(70, "maintenance", scope=B, found="sound"),
         at(75, "maintenance", scope=A, found="failed")],
        [(0, 60, "failed", "A"), (62, 70, "sound", "B"), (75, 100, "open", "")]),
    "a log that tells of neither start nor repair knows no stoppage": (
        [at(60, "failure", mode="A"), at(80, "failure", mode="B")],
        [(0, 60, "failed", "A"), (60, 80, "failed", "B"), (80, 100, "open", "")]),
}  # fmt: skip


@pytest.mark.parametrize(("events", "lives"), STOPPAGES.values(), ids=STOPPAGES.keys())
def test_stoppages(events: list[Event], lives: list[tuple[int, int, str, str]]) -> None:
    labels = labels_of(events)
    found = [
        (life.start_ms // HOUR_MS, life.stop_ms // HOUR_MS, life.reason, life.mode)
        for life in labels.lives
    ]
    assert found == lives
    assert labels.failures() == sum(reason == "failed" for _, _, reason, _ in lives)


def test_newest_days_alone_are_labelled_as_in_the_whole_history() -> None:
    """A machine that is down when the rows begin is judged the same, whatever is read before."""
    events = [at(30, "failure", mode="A"), at(60, "maintenance", mode="A", found="failed")]
    whole, newest = labels_of(events), labels_of(events, hours=list(range(40, 101)))
    assert not newest.valid[:20].any()
    assert np.array_equal(whole.valid[40:], newest.valid)
    assert np.array_equal(whole.observed[40:], newest.observed)
    assert np.array_equal(whole.ttf_h[40:], newest.ttf_h, equal_nan=True)


def test_lives_without_rows_count_nowhere() -> None:
    """Failures logged twice a minute apart, and no repairs: the lives between are of the log alone."""
    hours = [h for k in (0, 500, 1000) for h in range(k, k + 495, 5)]
    once = [at(h, "failure", mode="A") for h in (495, 995)]
    twice = once + [at(h + 1 / 60, "failure", mode="A", key="again") for h in (495, 995)]
    for events, lives in ((once, 3), (twice, 5)):
        labels = labels_of(events, hours=[float(h) for h in hours])
        assert len(labels.lives) == lives
        assert labels.failures() == 2
        assert horizon_h(labels, SETTINGS) == pytest.approx(497.5, abs=0.1)
        lifetime = fit_lifetime(labels.lives, {str(PUMP): -100 * HOUR_MS})
        assert (lifetime.lives, lifetime.failures) == (3, 2)
        assert lifetime.ages_h == pytest.approx((500.0, 595.0), abs=0.1)


def test_a_first_life_without_rows_leaves_the_next_its_own_birth() -> None:
    labels = labels_of([at(0, "failure"), at(60, "failure")])
    assert [life.rows for life in labels.lives] == [0, 59, 39]  # the last row has nothing after it
    lifetime = fit_lifetime(labels.lives, {str(PUMP): -1000 * HOUR_MS})
    assert lifetime.ages_h == pytest.approx((60.0,), abs=0.01)


def test_decommissioned_machine_is_censored_at_its_last_row() -> None:
    labels = labels_of([], hours=[0, 10, 20])
    assert labels.ttf_h.tolist() == [20, 10, 0]
    assert labels.valid.tolist() == [True, True, False]  # nothing was seen after the last row


def test_log_speaks_through_a_gap_in_telemetry() -> None:
    labels = labels_of([at(60, "failure")], hours=[0, 10, 80, 90])
    assert labels.ttf_h[1] == 50
    assert labels.observed[1]


def test_failure_after_the_last_row_still_counts() -> None:
    labels = labels_of([at(25, "failure")], hours=[0, 10, 20])
    assert labels.ttf_h.tolist() == [25, 15, 5]
    assert labels.observed.all()


def test_rows_while_down_have_no_label_and_age_restarts_after() -> None:
    labels = labels_of([at(60, "failure", mode="A"), at(70, "maintenance", duration_h=4.0)])
    assert not labels.valid[60:70].any()
    assert labels.valid[70]
    assert labels.life[70] != labels.life[59]


def test_start_ends_the_downtime() -> None:
    labels = labels_of(
        [at(60, "failure", mode="A"), at(62, "start"), at(66, "maintenance", mode="A")]
    )
    assert not labels.valid[60:62].any()


def test_late_repair_is_not_the_repair_of_that_failure() -> None:
    labels = labels_of([at(20, "failure", mode="A"), at(90, "maintenance", found="sound")])
    assert labels.ttf_h[30] == 84
    assert labels.seen_h[30] == 60
    assert not labels.observed[30]


def test_as_of_hides_the_future() -> None:
    events = [at(60, "failure", mode="A")]
    labels = labels_of(events, as_of_ms=40 * HOUR_MS)
    assert labels.ttf_h[10] == 29  # the last row before hour 40 is at 39
    assert not labels.observed[10]
    assert not labels.valid[40:].any()
    assert np.array_equal(labels.ttf_h, labels_of([], as_of_ms=40 * HOUR_MS).ttf_h, equal_nan=True)


def test_machines_do_not_mix() -> None:
    ts = np.array([0, 0, HOUR_MS, HOUR_MS], dtype=np.int64)
    assets = np.array(["s/l/p", "s/l/q", "s/l/p", "s/l/q"], dtype=object)
    labels = label_rows(assets, ts, [at(5, "failure")], SETTINGS)
    assert labels.observed.tolist() == [True, False, True, False]
    assert labels.failures() == 1
    assert labels.failures_by_mode() == {"": 1}

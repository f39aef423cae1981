"""The table of worked cases: what each log says about a row at hour 10 of a machine seen from 0 to 100."""

from __future__ import annotations

import numpy as np
import pytest

from models.labels import Labels, label_rows
from models.settings import ModelSettings
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

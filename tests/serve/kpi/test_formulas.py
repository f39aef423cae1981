"""Each formula's worked example, by the standard's own arithmetic."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from plant.asset import AssetPath
from plant.clock import ManualClock
from plant.config import Plant
from plant.event import Event
from plant.reading import Reading
from plant.times import DAY_MS, HOUR_MS, from_iso
from serve.kpi import KpiSettings, Report, compute
from serve.kpi.page import write_html
from serve.kpi.stats import bootstrap, mean_rows, poisson, wilson
from serve.kpi.stops import clip, stops_of
from serve.kpi.table import write_csv
from store.sqlite import SqliteStore
from tests.serve.schedule.cases import plant, risk

T0 = from_iso("2026-03-02T00:00:00Z")  # a Monday
PUMP = AssetPath.parse("lyon/l1/pump-0")
ONE = {"assets": [{"path": "lyon/l1/pump-0", "kind": "pump"}], "breaks": []}


def _event(hours: float, kind: str, asset: AssetPath = PUMP, **fields: object) -> Event:
    fields.setdefault("mode", "BRG")
    return Event(asset, T0 + round(hours * HOUR_MS), kind, **fields)  # type: ignore[arg-type]


def _alarm(hours: float, asset: AssetPath = PUMP) -> Event:
    key = f"A{hours}:raise"
    return _event(hours, "alarm", asset, key=key, detail={"action": "raise"}, who="vigie")


def _report(
    tmp_path: Path, events: list[Event], hours: float, here: Plant | None = None, **settings: object
) -> Report:
    store = SqliteStore(tmp_path, ManualClock(T0))
    store.write_events(events)
    until = T0 + round(hours * HOUR_MS)
    report = compute(
        store,
        here or plant(**ONE),
        KpiSettings.model_validate(settings),
        T0,
        until,
        by="line",
        now_ms=until + 30 * DAY_MS,
    )
    store.close()
    return report


def _stop(start: float, hours: float, *, planned: bool) -> list[Event]:
    return [
        _event(start, "stop", planned=planned),
        _event(start + hours, "start", planned=planned, duration_h=hours),
    ]


def test_availability_and_stoppage(tmp_path: Path) -> None:
    events = [*_stop(100, 20, planned=True), *_stop(500, 30, planned=False)]
    group = _report(tmp_path, events, 1000).groups[0]
    assert group.kpi("stoppage_planned_h").value == 20
    assert group.kpi("stoppage_unplanned_h").value == 30
    assert group.kpi("availability").value == pytest.approx(0.95)
    assert not group.kpi("availability").enough  # one machine
    assert "too little data" in group.kpi("availability").text


def test_oee_availability(tmp_path: Path) -> None:
    weekend = plant(assets=ONE["assets"])
    events = [
        *_stop(10, 4, planned=True),
        *_stop(50, 6, planned=False),
        *_stop(130, 5, planned=False),
    ]
    group = _report(tmp_path, events, 168, weekend).groups[0]
    # The week begins at 00:00 UTC, an hour into the Monday of Lyon: the weekend counts 48 h; the
    # third stoppage lies inside it and costs no production.
    assert group.kpi("oee_availability").value == pytest.approx((116 - 6) / 116)


def test_mtbf_and_mttr(tmp_path: Path) -> None:
    events: list[Event] = []
    for at, hours in ((1000, 2), (3000, 4), (5000, 9), (8000, 5)):
        events += [_event(at, "failure"), *_stop(at, hours, planned=False)]
    group = _report(tmp_path, events, 10_020).groups[0]
    mtbf, mttr = group.kpi("mtbf_h"), group.kpi("mttr_h")
    assert mtbf.value == pytest.approx(10_000 / 4)
    assert (mtbf.low, mtbf.high) == (pytest.approx(976.4, abs=0.1), pytest.approx(9175, abs=1))
    assert mttr.value == pytest.approx(5)
    assert mttr.low is not None
    assert 2 <= mttr.low < 5


def test_no_failure_gives_a_lower_limit_only(tmp_path: Path) -> None:
    mtbf = _report(tmp_path, [], 1000).groups[0].kpi("mtbf_h")
    assert mtbf.value is None
    assert mtbf.low == pytest.approx(1000 / 3.689, rel=1e-3)
    assert mtbf.high == math.inf
    assert mtbf.to_dict()["high"] is None


def test_precision_recall_lead_time_and_false_alarms(tmp_path: Path) -> None:
    events: list[Event] = []
    day = 24.0
    for n in range(3):  # seen in time: 10, 30, 50 h before
        at = 30 * day * (n + 1)
        events += [_alarm(at - (10, 30, 50)[n]), _event(at, "failure", duration_h=1.0)]
    for n in range(5):  # prevented
        at = 30 * day * (n + 5)
        events += [_alarm(at), _event(at + 5, "maintenance", found="degraded", planned=True)]
    for n in range(2):  # unseen
        events.append(_event(30 * day * (n + 11), "failure", duration_h=1.0))
    for n in range(2):  # nothing happened
        events.append(_alarm(30 * day * (n + 14)))
    group = _report(tmp_path, events, 2 * 8766).groups[0]
    precision, recall = group.kpi("alarm_precision"), group.kpi("alarm_recall")
    assert (precision.value, precision.n) == (0.8, 10)
    assert (precision.low, precision.high) == (
        pytest.approx(0.490, abs=1e-3),
        pytest.approx(0.943, abs=1e-3),
    )
    assert (recall.value, recall.n) == (0.8, 10)
    assert group.kpi("lead_time_h").value == 30
    false = group.kpi("false_alarms_per_machine_year")
    assert false.value == pytest.approx(1.0)
    assert false.low == pytest.approx(0.2422 / 2, abs=1e-3)


def test_feedback_of_people_decides(tmp_path: Path) -> None:
    alarm = _alarm(100)
    assert _report(tmp_path / "a", [alarm], 2000).groups[0].kpi("alarm_precision").value == 0
    alarm_id = alarm.key.split(":")[0]
    said = Event(
        PUMP, T0 + 110 * HOUR_MS, "feedback", mode="BRG", who="ann", key="f1",
        detail={"verdict": "right", "alarm_id": alarm_id},
    )  # fmt: skip
    assert _report(tmp_path / "b", [alarm, said], 2000).groups[0].kpi("alarm_precision").value == 1


def test_automation_rate(tmp_path: Path) -> None:
    def job(n: int) -> Event:
        detail = {"action": "job", "job": {"start": "2026-03-10T08:00:00Z"}}
        return _event(10 + n, "schedule", key=f"VG-{n}", mode=f"M{n}", detail=detail)

    pinned = _event(
        20, "schedule", key="VG-0/pin", mode="M0", detail={"action": "pin", "job": "VG-0"}
    )
    by_hand = [_event(30 + n, "maintenance", mode="X", planned=True, key=str(n)) for n in range(2)]
    group = _report(tmp_path, [*(job(n) for n in range(6)), pinned, *by_hand], 168).groups[0]
    rate = group.kpi("automation_rate")
    assert (rate.value, rate.n) == (0.625, 8)


def test_roi_and_its_inputs(tmp_path: Path) -> None:
    modes = {
        "BRG": {
            "label": "x", "duration_h": 1, "unplanned_duration_h": 1, "planned_cost": 1000,
            "unplanned_cost": 11_000,
        }
    }  # fmt: skip
    here = plant(**ONE, kinds={"pump": {"modes": modes}}, parts={})
    events: list[Event] = []
    for n in range(3):
        at = 1000.0 * (n + 1)
        events += [_alarm(at), _event(at + 5, "maintenance", found="degraded", planned=True)]
    events += [_alarm(6000), _alarm(7000)]
    group = _report(
        tmp_path, events, 8766, here, roi={"running_cost_per_year": 5000, "check_cost": 200}
    ).groups[0]
    # 12,000 and 2,000 with an hour of the line at 1,000; 0.7 · 3 · 12,000 − 3 · 2,000 = 19,200
    assert group.roi_inputs["benefit"] == pytest.approx(19_200)
    assert group.roi_inputs["cost"] == pytest.approx(5_400)
    assert group.kpi("roi").value == pytest.approx(2.556, abs=1e-3)


def test_freshness_and_time_to_value(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, ManualClock(T0))
    store.write_readings([Reading(PUMP, T0, {"x": 1.0})])
    store.write_risks(
        [
            risk(
                "lyon/l1/pump-0", 500, ts_ms=T0 + h * HOUR_MS, valid_until_ms=T0 + (h + 2) * HOUR_MS
            )
            for h in (0, 1, 5)
        ]
    )
    store.write_events(
        [
            _alarm(48),
            _event(50, "maintenance", found="degraded", planned=True),
        ]
    )
    report = compute(
        store, plant(**ONE), KpiSettings(), T0, T0 + 100 * HOUR_MS, now_ms=T0 + 60 * DAY_MS
    )
    store.close()
    assert report.groups[0].kpi("sla_fresh").value == pytest.approx(0.05)  # 3 h and 2 h of 100
    assert report.groups[0].kpi("time_to_value_d").value == pytest.approx(2)


def test_groups_add_up_to_the_plant(tmp_path: Path) -> None:
    other = AssetPath.parse("lyon/l2/pump-3")
    events = [
        *_stop(10, 5, planned=False),
        Event(other, T0 + HOUR_MS, "failure", mode="CAV", duration_h=7.0),
    ]
    report = _report(tmp_path, events, 1000, plant())
    whole, *lines = report.groups
    assert [g.name for g in lines] == ["lyon/l1", "lyon/l2"]
    total = sum(g.kpi("stoppage_unplanned_h").value or 0 for g in lines)
    assert whole.kpi("stoppage_unplanned_h").value == pytest.approx(total) == 12


def test_the_page_says_what_is_simulated_and_when_there_is_too_little(tmp_path: Path) -> None:
    event = Event(PUMP, T0 + HOUR_MS, "failure", mode="BRG", simulated=True, run_id="run-7")
    report = _report(tmp_path, [event], 1000)
    page = write_html(report).decode()
    assert "Simulated data" in page
    assert "run-7" in page
    assert "too little data" in page
    assert page.count("<svg") == 4
    assert page == write_html(report).decode()
    assert b"run-7" in write_csv(report)


def test_stoppages_that_never_ended_or_began_earlier() -> None:
    events = [_event(0, "failure"), _event(0, "stop", planned=False)]
    (stop,) = stops_of(events, T0 + 10 * HOUR_MS)
    assert (stop.hours, stop.ended, stop.failure) == (10, False, True)
    late = [_event(5, "start", duration_h=8.0, planned=False)]
    assert clip(stops_of(late, T0 + 10 * HOUR_MS), T0, T0 + 10 * HOUR_MS) == (0, 5)


def test_a_failure_is_restored_by_the_repair_when_nobody_logs_starts() -> None:
    events = [_event(0, "failure"), _event(6, "maintenance", planned=False, duration_h=2.0)]
    (stop,) = stops_of(events, T0 + 10 * HOUR_MS)
    assert (stop.hours, stop.planned, stop.ended) == (6, False, True)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 30), st.booleans()), max_size=8))
def test_hours_are_never_counted_twice(spans: list[tuple[float, float, bool]]) -> None:
    events = [
        _event(end, "maintenance", planned=planned, duration_h=hours)
        for end, hours, planned in sorted(spans)
    ]
    planned_h, unplanned_h = clip(stops_of(events, T0 + 100 * HOUR_MS), T0, T0 + 100 * HOUR_MS)
    assert planned_h >= -1e-9
    assert planned_h + unplanned_h <= 100 + 1e-9


@given(st.integers(0, 60), st.integers(0, 60))
def test_wilson_is_scipys(right: int, wrong: int) -> None:
    n = right + wrong
    if n == 0:
        assert wilson(0, 0) == (0, 1)
        return
    assert (wilson(right, n)[0] == 0) == (right == 0)
    assert (wilson(right, n)[1] == 1) == (wrong == 0)
    theirs = scipy_stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert wilson(right, n) == (
        pytest.approx(theirs.low, abs=1e-9),
        pytest.approx(theirs.high, abs=1e-9),
    )


@given(st.integers(0, 60), st.floats(0.1, 1e6))
def test_poisson_covers_as_it_should(count: int, exposure: float) -> None:
    low, high = poisson(count, exposure)
    if count:
        assert scipy_stats.poisson.sf(count - 1, low * exposure) == pytest.approx(0.025)
    assert scipy_stats.poisson.cdf(count, high * exposure) == pytest.approx(0.025)


def test_the_bootstrap_is_seeded_and_near_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(10, 2, 400).tolist()
    low, high = bootstrap(values, mean_rows, seed=3)
    assert (low, high) == bootstrap(values, mean_rows, seed=3)
    half = 1.96 * np.std(values) / 20
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)

"""A planner's round trip: plan → export for Atlas → import back → labels, figures and next plan know it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.labels import label_rows
from models.settings import ModelSettings
from plant.clock import ManualClock
from plant.errors import DataError
from plant.event import Event
from plant.reading import Reading
from plant.times import DAY_MS, HOUR_MS
from serve.cmms import ColumnMapping, import_events
from serve.exports import write_csv
from serve.kpi import KpiSettings, compute
from serve.schedule import (
    Plan,
    PlannedJob,
    ScheduleSettings,
    load_plan,
    make_plan,
    pin,
    reject,
    unpin,
)
from serve.schedule.persist import find_job, load_wishes
from store.sqlite import SqliteStore
from tests.serve.schedule.cases import NOW, plant, risk, risks

SETTINGS = ScheduleSettings(time_limit_s=5.0)
ATLAS = ColumnMapping(
    columns={
        "asset": "Asset Name",
        "done": "Completed On",
        "note": "Title",
        "duration_h": "Estimated Duration",
        "found": "Feedback",
    },
    defaults={"kind": "maintenance", "planned": "yes"},
    date_order="mdy",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "data", ManualClock(NOW))
    opened.write_risks(risks())
    yield opened
    opened.close()


def _finish(plan: Plan, job: PlannedJob) -> bytes:
    """Do in Atlas what a planner does: tick the order off, with a date and what was found."""
    rows = list(csv.DictReader(io.StringIO(write_csv(plan, plant(), "atlas").decode("utf-8-sig"))))
    for row in rows:
        if job.key in row["Title"]:
            row["Status"], row["Feedback"] = "COMPLETE", "degraded"
            row["Completed On"] = row["Due Date"]
            row["Title"] += " (done by Ann)"
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def test_the_round_trip(store: SqliteStore, tmp_path: Path) -> None:
    made = make_plan(store, plant(), SETTINGS, NOW)
    job = find_job(made, "lyon/l1/pump-0")
    assert job.stop_ms is not None
    store.write_readings([Reading(job.asset, NOW - 30 * DAY_MS, {"vibration_rms": 2.0})])
    raised = Event(
        job.asset, NOW - DAY_MS, "alarm", mode="BRG", key="A1:raise", who="vigie",
        detail={"action": "raise"},
    )  # fmt: skip
    store.write_events([raised])
    file = tmp_path / "atlas.csv"
    file.write_bytes(_finish(made, job))

    done = import_events(store, file, plant(), ATLAS)

    assert (
        done.new == 1
    )  # the orders that are not finished have no date: they are listed, not stored
    assert {r.field for r in done.rejected} == {"done"}
    (report,) = store.read_events(0, NOW + 60 * DAY_MS, kinds=("maintenance",))
    assert (report.ts_ms, report.mode, report.found) == (job.stop_ms, "BRG", "degraded")
    assert report.detail["job"] == job.key

    later = job.stop_ms + HOUR_MS
    healthy = [
        replace(r, ts_ms=later - 1, valid_until_ms=later)
        for r in (risk("lyon/l1/pump-0", 5000), *risks()[1:])
    ]
    store.write_risks(healthy)
    following = make_plan(store, plant(), SETTINGS, later)
    assert following.job(job.key).state == "done"  # type: ignore[union-attr]
    assert not [j for j in following.jobs if j.open and j.asset == job.asset]
    assert load_plan(store, later) == following

    figures = compute(
        store, plant(), KpiSettings(), NOW - 30 * DAY_MS, later, now_ms=later + 20 * DAY_MS
    ).groups[0]
    assert figures.kpi("stoppage_planned_h").value == pytest.approx(job.duration_h)
    assert figures.kpi("alarm_precision").value == 1
    assert figures.kpi("automation_rate").value == 1
    assert len(figures.stories.prevented) == 1

    grid = np.arange(NOW - 2 * DAY_MS, later + DAY_MS, DAY_MS, dtype=np.int64)
    assets = np.full(len(grid), str(job.asset), dtype=object)
    labels = label_rows(assets, grid, store.read_events(0, later + DAY_MS), ModelSettings())
    # The part was found degraded: a label, and the rows before the repair belong to the life it ended.
    before = grid < job.stop_ms
    (ended,) = set(labels.life[before].tolist())
    assert labels.lives[ended].stop_ms == job.stop_ms
    assert labels.lives[ended].reason == "degraded"
    assert labels.observed[before].all()
    assert set(labels.mode[before].tolist()) == {"BRG"}
    assert not labels.observed[~before].any()


def test_plan_pins_and_rejections_live_in_the_log(store: SqliteStore) -> None:
    made = make_plan(store, plant(), SETTINGS, NOW)
    assert load_plan(store, NOW) == made
    job = find_job(made, "lyon/l1/pump-1")
    assert job.start_ms is not None
    pin(store, job, job.start_ms + 3 * DAY_MS, NOW + 1, crew="", who="ann", why="crane")
    again = make_plan(store, plant(), SETTINGS, NOW + 2)
    pinned = find_job(again, job.key)
    assert (pinned.state, pinned.start_ms) == ("pinned", job.start_ms + 3 * DAY_MS)
    assert (pinned.note, pinned.revision) == ("crane", 1)
    reject(store, job, NOW + 9 * DAY_MS, NOW + 3, who="ann", why="audit")
    away = find_job(make_plan(store, plant(), SETTINGS, NOW + 4), job.key)
    assert away.start_ms is None or away.start_ms >= NOW + 9 * DAY_MS
    unpin(store, job, NOW + 5, who="ann", why="")
    assert load_wishes(store, NOW + 6, again) == {}
    free = find_job(make_plan(store, plant(), SETTINGS, NOW + 7), job.key)
    assert free.state == "proposed"
    who = [e.who for e in store.read_events(0, NOW + 8, kinds=("schedule",)) if "start" in e.detail]
    assert "ann" in who


def test_a_dry_run_stores_nothing(store: SqliteStore) -> None:
    make_plan(store, plant(), SETTINGS, NOW, keep=False)
    assert load_plan(store, NOW) is None


def test_jobs_are_found_by_key_asset_or_mode_and_nothing_else(store: SqliteStore) -> None:
    with pytest.raises(DataError, match="no plan"):
        find_job(None, "x")
    made = make_plan(store, plant(), SETTINGS, NOW)
    job = made.jobs[0]
    for name in (job.key, str(job.asset), f"{job.asset}#{job.mode}"):
        assert find_job(made, name) == job
    with pytest.raises(DataError, match="names 0 open jobs"):
        find_job(made, "pump")


def test_wishes_in_the_past_are_refused(store: SqliteStore) -> None:
    job = make_plan(store, plant(), SETTINGS, NOW).jobs[0]
    with pytest.raises(DataError):
        pin(store, job, NOW - 1, NOW, crew="", who="ann", why="")
    with pytest.raises(DataError):
        reject(store, job, NOW - 1, NOW, who="ann", why="")

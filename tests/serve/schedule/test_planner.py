from dataclasses import replace

import pytest

from plant.asset import AssetPath
from plant.errors import DataError
from plant.event import Event
from plant.times import DAY_MS, HOUR_MS, from_iso
from serve.schedule import Plan, ScheduleSettings, plan
from serve.schedule.gantt import draw_gantt
from serve.schedule.job import Wish
from serve.schedule.plan import job_from_dict, job_to_dict
from serve.schedule.words import LANGUAGES, sentence
from tests.serve.schedule.cases import NOW, TOML, plant, risk, risks

SETTINGS = ScheduleSettings(time_limit_s=5.0)
P0 = ("lyon/l1/pump-0", "BRG")


def _plan(now: int = NOW, **options: object) -> Plan:
    return plan(plant(), risks(), now, SETTINGS, **options)  # type: ignore[arg-type]


def _job(made: Plan, name: str):  # type: ignore[no-untyped-def]
    return next(job for job in made.jobs if str(job.asset).endswith(name))


def test_a_plan_is_legal_and_urgent_machines_come_first() -> None:
    made = _plan()
    assert made.violations == ()
    assert made.gap <= 0.005
    starts = {str(j.asset)[-6:]: j.start_ms for j in made.jobs}
    assert starts["pump-0"] < starts["pump-2"]
    assert not [j for j in made.jobs if str(j.asset).endswith("pump-5")]  # healthy: no job


@pytest.mark.parametrize("status", ["stale", "maintenance", "insufficient_data"])
def test_no_job_rests_on_a_guess(status: str) -> None:
    guess = risk("lyon/l1/pump-0", 90, status=status, p_fail=None, window=None)
    assert plan(plant(), [guess], NOW, SETTINGS).jobs == ()


def test_a_risk_without_a_curve_is_planned_from_its_published_probabilities() -> None:
    assert len(plan(plant(), [risk("lyon/l1/pump-0", 90, curve=())], NOW, SETTINGS).jobs) == 1


def test_planning_again_changes_nothing_when_nothing_changed() -> None:
    first = _plan()
    second = _plan(NOW + HOUR_MS, previous=first)
    assert second.violations == ()
    assert [(j.key, j.start_ms, j.revision) for j in second.jobs] == [
        (j.key, j.start_ms, j.revision) for j in first.jobs
    ]


def test_a_small_change_of_risk_moves_nothing_and_a_large_one_says_what_it_gains() -> None:
    rich = plant(parts={"bearing": {"stock": 9}})
    first = plan(rich, risks(), NOW, SETTINGS)
    nudged = [replace(r, curve=tuple((h * 1.01, s) for h, s in r.curve)) for r in risks()]
    second = plan(rich, nudged, NOW + HOUR_MS, SETTINGS, previous=first)
    assert [j.start_ms for j in second.jobs] == [j.start_ms for j in first.jobs]
    urgent = [risk("lyon/l1/pump-2", 40), *(r for r in risks() if "pump-2" not in str(r.asset))]
    third = plan(rich, urgent, NOW + HOUR_MS, SETTINGS, previous=first)
    moved = _job(third, "pump-2")
    assert moved.start_ms < _job(first, "pump-2").start_ms
    assert moved.moved_from_ms == _job(first, "pump-2").start_ms
    assert moved.gain > 0
    assert moved.revision == 1
    assert moved.key == _job(first, "pump-2").key
    assert "Moved from" in sentence(moved, plant())


def test_a_pin_is_kept_and_an_impossible_one_is_explained() -> None:
    free = _job(_plan(), "pump-0")
    at = from_iso("2026-03-26T04:00:00Z") + HOUR_MS  # Thursday 06:00 in Lyon
    pinned = _job(_plan(wishes={P0: Wish(P0, at, "early", who="ann", why="crane")}), "pump-0")
    assert (pinned.start_ms, pinned.state, pinned.crew) == (at, "pinned", "early")
    assert free.start_ms != at
    night = _plan(wishes={P0: Wish(P0, from_iso("2026-03-26T22:00:00Z"))})
    assert "outside the hours" in night.notes[0]
    assert _job(night, "pump-0").state == "proposed"


def test_two_pins_in_one_place_keep_the_first() -> None:
    at = from_iso("2026-03-26T05:00:00Z")
    other = ("lyon/l1/pump-1", "CAV")
    made = _plan(wishes={P0: Wish(P0, at), other: Wish(other, at)})
    assert [j.state for j in made.jobs].count("pinned") == 1
    assert "collides" in made.notes[0]
    assert made.violations == ()


def test_a_rejected_job_stays_away_until_then() -> None:
    until = NOW + 6 * DAY_MS
    assert _job(_plan(wishes={P0: Wish(P0, not_before_ms=until)}), "pump-0").start_ms >= until


def test_work_waits_for_parts_and_they_are_ordered() -> None:
    empty = TOML["parts"] | {"bearing": {"stock": 1, "lead_time_d": 6}}
    made = plan(plant(parts=empty), risks(), NOW, SETTINGS)
    early = [j for j in made.jobs if j.start_ms and j.start_ms < NOW + 6 * DAY_MS and j.parts]
    assert len(early) <= 1
    assert made.orders["bearing"] >= 1
    assert made.violations == ()


def test_done_failed_and_no_longer_needed_jobs_close() -> None:
    first = _plan()
    repaired = Event(AssetPath.parse("lyon/l1/pump-0"), NOW + HOUR_MS, "maintenance", mode="BRG")
    failed = Event(AssetPath.parse("lyon/l1/pump-1"), NOW + HOUR_MS, "failure", mode="CAV")
    healthy = [r for r in risks() if str(r.asset)[-1] in "345"]
    second = plan(
        plant(), healthy, NOW + 2 * HOUR_MS, SETTINGS, previous=first, events=[repaired, failed]
    )
    states = {str(j.asset)[-1]: (j.state, j.reason, j.revision) for j in second.jobs}
    assert states["0"] == ("done", "done", 1)
    assert states["1"] == ("cancelled", "failed_before", 1)
    assert states["2"] == ("cancelled", "not_needed", 1)
    third = plan(plant(), risks(), NOW + DAY_MS, SETTINGS, previous=second)
    new = next(j for j in third.jobs if j.open and str(j.asset).endswith("pump-0"))
    assert new.key != _job(first, "pump-0").key  # a new need, a new key


def test_a_job_under_way_is_left_alone() -> None:
    first = _plan()
    job = next(j for j in first.jobs if j.start_ms)
    second = plan(plant(), risks(), job.start_ms + 1, SETTINGS, previous=first)
    assert next(j for j in second.jobs if j.key == job.key) == job


def test_jobs_of_a_line_share_a_stop() -> None:
    weekdays = plant(breaks=[])
    urgent = [risk(f"lyon/l2/pump-{n}", 70) for n in (3, 4)]
    two = TOML["crews"][0] | {"size": 2}
    made = plan(plant(breaks=[], crews=[two]), urgent, NOW, SETTINGS)
    assert made.jobs[0].start_ms == made.jobs[1].start_ms
    assert made.jobs[0].together_with == (str(made.jobs[1].asset),)
    assert "shares the restart" in sentence(made.jobs[0], weekdays)


def test_each_job_says_why_in_three_languages() -> None:
    made = _plan()
    for job in made.jobs:
        said = {language: sentence(job, plant(), language) for language in LANGUAGES}
        assert len(set(said.values())) == 3
        if job.start_ms:
            assert "Waiting a week would cost" in said["en"]
            assert "Attendre une semaine" in said["fr"]
            assert "Eine Woche Warten" in said["de"]
    displaced = [j for j in made.jobs if j.displaced_by]
    for job in displaced:
        assert job.displaced_cost > 0
        by = _job(made, job.displaced_by[0])
        assert str(job.asset) in by.displaced


def test_jobs_survive_being_written_down() -> None:
    for job in _plan().jobs:
        assert job_from_dict(job_to_dict(job)) == job
    with pytest.raises(DataError):
        job_from_dict({"key": "x"})


def test_a_picture_is_drawn_with_and_without_jobs() -> None:
    for made in (_plan(), plan(plant(), [], NOW, SETTINGS)):
        assert draw_gantt(made, plant()).startswith(b"\x89PNG")

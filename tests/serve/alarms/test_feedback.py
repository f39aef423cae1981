"""People's word on an alarm becomes a label and a figure."""

from __future__ import annotations

import numpy as np
import pytest

from models.feedback import with_feedback
from models.labels import label_rows
from models.settings import ModelSettings
from plant.errors import DataError
from plant.event import Event
from plant.times import DAY_MS, HOUR_MS
from serve.alarms.feedback import Verdict, alarms_of, feedback_event, find_alarm
from serve.kpi.alarms import alarm_stories
from serve.kpi.settings import KpiSettings
from tests.serve.alarms.test_machine import Life
from tests.serve.examples import PLANT, PUMP


def an_alarm() -> tuple[list[Event], str]:
    life = Life()
    life.feed(0.5, 10)
    return [step.event() for step in life.log], life.log[0].alarm.id


def word(verdict: Verdict, log: list[Event], name: str, mode: str = "") -> Event:
    alarm = find_alarm(alarms_of(log), name)
    return feedback_event(alarm, verdict, alarm.raised_ms + 9 * DAY_MS, "Ada", PLANT, mode=mode)


def test_the_log_gives_every_alarm_in_its_last_state() -> None:
    log, name = an_alarm()
    assert list(alarms_of(log)) == [name]
    assert find_alarm(alarms_of(log), name[:5]).id == name
    for wrong in ("", "Axyz"):
        with pytest.raises(DataError, match="not in the log"):
            find_alarm(alarms_of(log), wrong)


@pytest.mark.parametrize(
    ("verdict", "mode", "found", "repaired"),
    [
        ("right", "", "degraded", "BRD"),
        ("wrong", "", "sound", "BRD"),
        ("other", "SEAL", "degraded", "SEAL"),
    ],
)
def test_a_verdict_says_what_the_repair_found(
    verdict: Verdict, mode: str, found: str, repaired: str
) -> None:
    log, name = an_alarm()
    raised = log[0].ts_ms
    repair = Event(PUMP, raised + DAY_MS, "maintenance", mode="" if mode else "BRD", duration_h=4)
    log = [*log, repair, word(verdict, log, name, mode)]
    (after,) = [e for e in with_feedback(log) if e.kind == "maintenance"]
    assert after.found == found
    assert after.mode in {repaired, ""}
    rows = np.arange(raised - DAY_MS, raised + 2 * DAY_MS, HOUR_MS)
    assets = np.array([str(PUMP)] * len(rows), dtype=object)
    before, labelled = (label_rows(assets, rows, e, ModelSettings()) for e in ([repair], log))
    assert before.lives[0].reason == "unknown"
    assert labelled.lives[0].reason == found
    (story,) = alarm_stories(log, KpiSettings(), raised + 90 * DAY_MS)
    expected = {"right": "right", "wrong": "wrong", "other": "right"}[verdict]
    assert story.outcome == expected or verdict == "other"


def test_what_the_crew_recorded_stays_and_the_last_word_counts() -> None:
    log, name = an_alarm()
    repair = Event(PUMP, log[0].ts_ms + DAY_MS, "maintenance", mode="BRD", found="sound")
    assert with_feedback([*log, repair, word("right", log, name)])[-2] == repair
    unknown = Event(PUMP, log[0].ts_ms + DAY_MS, "maintenance", mode="BRD")
    first, last = word("right", log, name), word("wrong", log, name)
    first = Event(**{f: getattr(first, f) for f in Event.__slots__} | {"ts_ms": first.ts_ms - 1})
    found = [e.found for e in with_feedback([last, unknown, first]) if e.kind == "maintenance"]
    assert found == ["sound"]


def test_words_that_do_not_fit_are_refused() -> None:
    log, name = an_alarm()
    alarm = alarms_of(log)[name]
    for verdict, mode in (("maybe", ""), ("other", ""), ("right", "SEAL"), ("other", "NOPE")):
        with pytest.raises(DataError):
            feedback_event(alarm, verdict, 1, "Ada", PLANT, mode=mode)  # type: ignore[arg-type]

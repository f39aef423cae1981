from __future__ import annotations

import orjson

from plant.times import HOUR_MS, to_iso
from vigie.demo.story import Story

ASSET = "lyon/l1/pump-3"


def risk(hour: int, alarm_id: str = "") -> bytes:
    return orjson.dumps(
        {
            "asset": ASSET,
            "ts": to_iso(hour * HOUR_MS),
            "alarm_id": alarm_id,
            "mode": {"code": "BRD", "label": "wear"},
        }
    )


def failure(hour: int) -> bytes:
    return orjson.dumps({"ts": hour * HOUR_MS, "kind": "failure", "mode": "BRD"})


def test_a_failure_that_was_alarmed_before_is_a_hit_with_its_lead_time() -> None:
    story = Story()
    for hour, alarm in ((1, ""), (2, "a1"), (5, "a1")):
        story.see(f"plant/{ASSET}/risk", risk(hour, alarm))
    story.see(f"plant/{ASSET}/event", failure(8))
    hit = story.first_hit
    assert hit is not None
    assert (hit.lead_hours, hit.said_mode, hit.mode) == (6.0, "wear", "BRD")
    assert story.risk_messages == 3


def test_an_alarm_that_had_ended_or_came_too_late_does_not_count() -> None:
    story = Story()
    story.see(f"plant/{ASSET}/risk", risk(1, "a1"))
    story.see(f"plant/{ASSET}/risk", risk(2, ""))
    story.see(f"plant/{ASSET}/event", failure(3))
    story.see(f"plant/{ASSET}/risk", risk(5, "a2"))
    story.see(f"plant/{ASSET}/event", failure(4))
    assert story.first_hit is None
    assert len(story.failures) == 2


def test_other_topics_are_passed_over_and_telemetry_is_counted() -> None:
    story = Story()
    story.see(f"plant/{ASSET}/telemetry", b"{}")
    story.see(f"plant/{ASSET}/risk/state", b"normal")
    story.see("vigie/bridge/state", b"online")
    story.see("plant/lyon/l1/risk", b"{}")
    story.see(f"plant/{ASSET}/risk", b"")
    assert (story.readings, story.risk_messages) == (1, 0)

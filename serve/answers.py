"""What the service answers to requests: `assets`, `rescore`, `feedback`, `schedule`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from plant.errors import DataError
from plant.times import DAY_MS, to_iso
from serve.alarms.feedback import alarms_of, feedback_event, find_alarm
from serve.bridge import Handler
from serve.schedule import ScheduleSettings, load_plan, make_plan, plan_to_dict

if TYPE_CHECKING:
    from serve.service import Service

Fields = Mapping[str, Any]


def handlers(service: Service, schedule: ScheduleSettings) -> dict[str, Handler]:
    """Return the commands that need the service, by name."""
    return {
        "assets": lambda fields: list_assets(service, fields),
        "rescore": lambda fields: rescore(service, fields),
        "feedback": lambda fields: note_feedback(service, fields),
        "schedule": lambda fields: show_schedule(service, schedule, fields),
    }


def list_assets(service: Service, fields: Fields) -> dict[str, Any]:
    """Return every machine and how it is."""
    _no_fields(fields)
    plant = service.plant
    return {
        "assets": [
            {
                "asset": str(asset),
                "kind": plant.kind_of(asset),
                "configured": plant.asset(asset) is not None,
                "status": risk.status,
                "severity": risk.severity,
                "ts": to_iso(risk.ts_ms),
                "alarm_id": risk.alarm_id,
            }
            for asset, risk in sorted(service.latest.items())
        ]
    }


def rescore(service: Service, fields: Fields) -> dict[str, Any]:
    """Make a step now, and tell everything again."""
    _no_fields(fields)
    service.tell_all_again()
    result = service.step(service.clock.now_ms())
    return {"new": len(result.risks), "published": result.published}


class FeedbackRequest(BaseModel):
    """`feedback`: which alarm, and what became of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    alarm: str = Field(max_length=64)
    verdict: Literal["right", "wrong", "other"]
    mode: str = Field(default="", max_length=64)
    note: str = Field(default="", max_length=1_000)
    who: str = Field(default="mqtt", max_length=1_000)


def note_feedback(service: Service, fields: Fields) -> dict[str, Any]:
    """Log a person's word on an alarm, open or closed."""
    asked = FeedbackRequest.model_validate(fields)
    now_ms = service.clock.now_ms()
    log = service.store.read_events(0, now_ms + DAY_MS, kinds=("alarm",))
    alarm = find_alarm(alarms_of(log), asked.alarm)
    event = feedback_event(
        alarm, asked.verdict, now_ms, asked.who, service.plant, mode=asked.mode, note=asked.note
    )
    service.store.write_events([event])
    return {"alarm": alarm.id, "verdict": asked.verdict}


def show_schedule(service: Service, settings: ScheduleSettings, fields: Fields) -> dict[str, Any]:
    """Return the plan in force; with `replan` true make a new one first."""
    _no_fields({key: value for key, value in fields.items() if key != "replan"})
    now_ms = service.clock.now_ms()
    if fields.get("replan", False) is True:
        made = make_plan(service.store, service.plant, settings, now_ms, who="mqtt")
        return plan_to_dict(made)
    plan = load_plan(service.store, now_ms)
    return plan_to_dict(plan) if plan is not None else {"jobs": []}


def _no_fields(fields: Fields) -> None:
    """Refuse fields that a command does not have. Raises DataError."""
    if fields:
        raise DataError(f"the field {next(iter(fields))[:40]!r} is not known.")

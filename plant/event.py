"""What happened to a machine, and who did what: the event log is also the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from plant.asset import AssetPath
from plant.errors import PayloadError

#: The kinds a plant may publish on its event topic.
PlantEventKind = Literal["failure", "maintenance", "stop", "start", "inspection"]
#: The kinds Vigie writes itself: transitions of alarms and jobs, feedback, model and data events.
OwnEventKind = Literal["alarm", "feedback", "schedule", "model", "drift", "system"]
#: The condition the crew saw. It is what saves the model from dependent censoring.
Found = Literal["failed", "degraded", "sound", "unknown"]

PLANT_EVENT_KINDS: tuple[str, ...] = get_args(PlantEventKind)
EVENT_KINDS: tuple[str, ...] = PLANT_EVENT_KINDS + get_args(OwnEventKind)
FOUND: tuple[str, ...] = get_args(Found)


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the log.

    `mode` is the failure mode's code; `scope` the modes a repair renewed (empty: the whole asset).
    `planned` tells a planned stop from an unplanned one (None: not recorded). `duration_h` is hours
    of stoppage or work. `key` tells apart events of one asset, time and kind, and makes a repeated
    write harmless. `who` and `detail` carry the audit trail (JSON-able values only).
    Raises PayloadError when a field is not one of the contract's.
    """

    asset: AssetPath
    ts_ms: int
    kind: str
    mode: str = ""
    scope: tuple[str, ...] = ()
    planned: bool | None = None
    found: str = "unknown"
    duration_h: float | None = None
    note: str = ""
    who: str = ""
    key: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    simulated: bool = False
    run_id: str = ""

    def __post_init__(self) -> None:
        if self.kind not in EVENT_KINDS:
            raise PayloadError(
                "event_kind",
                f"the event kind {self.kind[:40]!r} is not known.",
                field="kind",
                fix=f"Use one of {', '.join(PLANT_EVENT_KINDS)}.",
            )
        if self.found not in FOUND:
            raise PayloadError(
                "event_found",
                f"found {self.found[:40]!r} is not known.",
                field="found",
                fix=f"Use one of {', '.join(FOUND)}.",
            )
        if self.duration_h is not None and not 0 <= self.duration_h < 1e6:
            raise PayloadError(
                "event_duration",
                f"duration_h {self.duration_h!r} is not a sensible number of hours.",
                field="duration_h",
                fix="Give hours from 0 to 1,000,000.",
            )

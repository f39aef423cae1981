"""What a subscriber of the broker can tell of the demo: risks, alarms, failures, hits and misses.

Built from the messages alone, as any other client would see them; nothing here knows the simulator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from models.modes import POOLED
from plant.times import HOUR_MS, from_iso


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure that happened, and the alarm that was open before it, if there was one."""

    asset: str
    mode: str
    failed_ms: int
    alarmed_ms: int | None
    said_mode: str

    @property
    def lead_hours(self) -> float | None:
        """Hours from the alarm to the failure; None when nobody was warned."""
        return None if self.alarmed_ms is None else (self.failed_ms - self.alarmed_ms) / HOUR_MS


@dataclass(slots=True)
class MachineView:
    """The newest message of one machine and the alarm that is open on it."""

    risk: Mapping[str, Any]
    alarm_id: str = ""
    alarmed_ms: int | None = None


@dataclass(slots=True)
class Story:
    """Feed it every message with `see`; read `machines`, `failures` and the counts."""

    machines: dict[str, MachineView] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    readings: int = 0
    risk_messages: int = 0
    now_ms: int = 0

    def see(self, topic: str, payload: bytes) -> None:
        """Take in one message; topics other than telemetry, risk and event are passed over."""
        levels = topic.split("/")
        if len(levels) < 5 or not payload:
            return
        if levels[-1] == "telemetry":
            self.readings += 1
        elif levels[-1] == "risk":
            self._see_risk(orjson.loads(payload))
        elif levels[-1] == "event":
            self._see_event("/".join(levels[-4:-1]), orjson.loads(payload))

    @property
    def first_hit(self) -> Failure | None:
        """The first failure that was alarmed beforehand."""
        return next((failure for failure in self.failures if failure.alarmed_ms is not None), None)

    def _see_risk(self, risk: Mapping[str, Any]) -> None:
        self.risk_messages += 1
        ts_ms = from_iso(risk["ts"])
        self.now_ms = max(self.now_ms, ts_ms)
        view = self.machines.setdefault(risk["asset"], MachineView(risk))
        view.risk = risk
        if risk["alarm_id"] and risk["alarm_id"] != view.alarm_id:
            view.alarmed_ms = ts_ms
        elif not risk["alarm_id"]:
            view.alarmed_ms = None
        view.alarm_id = risk["alarm_id"]

    def _see_event(self, asset: str, event: Mapping[str, Any]) -> None:
        if event["kind"] != "failure":
            return
        failed_ms = event["ts"] if isinstance(event["ts"], int) else from_iso(event["ts"])
        view = self.machines.get(asset)
        alarmed = view.alarmed_ms if view is not None else None
        if alarmed is not None and alarmed >= failed_ms:
            alarmed = None  # said after the fact
        said = (view.risk["mode"] or {}) if view is not None else {}
        known = said.get("code", POOLED) != POOLED
        self.failures.append(
            Failure(
                asset,
                event.get("note") or event.get("mode", ""),
                failed_ms,
                alarmed,
                said["label"] if known else "",
            )
        )

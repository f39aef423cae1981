"""What is said of one machine now, and whether it is worth saying. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from plant.asset import AssetPath
from plant.config import Plant
from plant.event import Event
from plant.risk import Risk, Status
from plant.times import MINUTE_MS
from serve.assess import to_risk, without_assessment
from serve.scorer import Scored
from serve.settings import ServeSettings
from store.port import SeenAsset


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a machine. `previous` is its newest risk so far.

    `gone`: its connection has ended and said so, which makes it stale before its readings are old.
    """

    asset: AssetPath
    sight: SeenAsset | None
    scored: Scored | None
    under_work: bool
    previous: Risk | None
    gone: bool = False


def gone(events: Iterable[Event]) -> frozenset[AssetPath]:
    """Return the machines whose connection ended and has not begun again (`system` events, ascending)."""
    states = {event.asset: state for event in events if (state := event.detail.get("state"))}
    return frozenset(asset for asset, state in states.items() if state == "stale")


def judge(evidence: Evidence, now_ms: int, plant: Plant, settings: ServeSettings) -> Risk | None:
    """Return the machine's new risk; None when there is nothing new since the previous one.

    Work on it comes before silence, silence before what a model makes of its last readings.
    """
    sight, scored, previous = evidence.sight, evidence.scored, evidence.previous
    marks: dict[str, Any] = {}
    if sight is not None:
        marks = {"simulated": sight.simulated, "run_id": sight.run_id}
    last_ms = sight.last_ms if sight is not None else None
    silent = last_ms is None or now_ms - last_ms > settings.publish.valid_min * MINUTE_MS
    stale = silent or evidence.gone
    assessment = scored.assessment if scored is not None else None
    if assessment is not None and scored is not None and not evidence.under_work and not stale:
        if previous is not None and assessment.ts_ms <= previous.ts_ms:
            return None
        return to_risk(
            assessment, plant, settings, previous=previous, faults=scored.faults, **marks
        )
    status: Status = "insufficient_data"
    if evidence.under_work:
        status = "maintenance"
    elif stale:
        status = "stale"
    if previous is not None and now_ms <= previous.ts_ms:
        return None
    if previous is not None and previous.status == status:
        age_ms = now_ms - previous.ts_ms
        if age_ms < settings.publish.heartbeat_min * MINUTE_MS:
            return None
    note = scored.note if scored is not None and status == "insufficient_data" else ""
    if status == "stale" and evidence.gone:
        note = "its connection has ended and said so."
    return without_assessment(
        evidence.asset,
        now_ms,
        status,
        plant,
        settings,
        last_ms=last_ms,
        previous=previous,
        note=note,
        **marks,
    )

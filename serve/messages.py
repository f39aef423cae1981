"""The messages Vigie publishes, as topics and payloads. Pure; every field is in docs/topics.md."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from plant.asset import AssetPath
from plant.config import Plant
from plant.risk import SCHEMA, SEVERITIES, STATUSES, Risk, risk_to_dict
from plant.times import to_iso
from plant.topics import BRIDGE_ASSETS, BRIDGE_HEALTH, BRIDGE_INFO, Topics
from serve.alarms.state import Alarm, gravest
from serve.severity import rank
from serve.wording import percent, span
from store.port import SeenAsset

LINE_SCHEMA = "vigie.line_risk.v1"
ASSETS_SCHEMA = "vigie.assets.v1"
HEALTH_SCHEMA = "vigie.health.v1"
INFO_SCHEMA = "vigie.info.v1"
ALARM_SCHEMA = "vigie.alarm.v1"

Item = tuple[str, bytes]


def encode(message: Mapping[str, Any]) -> bytes:
    """Write JSON; the same message always gives the same bytes."""
    return orjson.dumps(message)


def risk_items(risk: Risk, topics: Topics) -> list[Item]:
    """Return the risk message and its scalar mirrors.

    `risk/state` is the severity, or the status where there is no severity to speak of;
    `risk/p_fail_24h` is a bare number, `null` when it is not known.
    """
    topic = topics.risk(risk.asset)
    p24 = risk.p_fail.get(24) if risk.p_fail is not None else None
    return [
        (topic, encode(risk_to_dict(risk))),
        (f"{topic}/p_fail_24h", orjson.dumps(p24)),
        (f"{topic}/state", state_of(risk).encode()),
    ]


def state_of(risk: Risk) -> str:
    """Return the one word that says how a machine is."""
    return risk.severity if risk.status in {"ok", "deviation_only"} else risk.status


def line_message(line: str, risks: Sequence[Risk]) -> dict[str, Any]:
    """Return the risk of a line: any of its machines failing, taken as independent.

    risks: the newest of every machine of the line, at least one.
    """
    judged = [risk for risk in risks if risk.p_fail is not None]
    horizons = (
        sorted(set.intersection(*(set(risk.p_fail or {}) for risk in judged))) if judged else []
    )
    p_fail = {
        hours: 1.0 - math.prod(1.0 - (risk.p_fail or {})[hours] for risk in judged)
        for hours in horizons
    }
    worst = max(
        risks, key=lambda risk: (rank(risk.severity), _p(risk), str(risk.asset)), default=None
    )
    alarming = worst is not None and worst.severity != "normal"
    return {
        "schema": LINE_SCHEMA,
        "line": line,
        "ts": to_iso(max(risk.ts_ms for risk in risks)),
        "valid_until": to_iso(max(risk.valid_until_ms for risk in risks)),
        "status": "ok" if len(judged) == len(risks) else ("partial" if judged else "unknown"),
        "severity": worst.severity if worst is not None else "normal",
        "p_fail": {f"{hours}h": p for hours, p in p_fail.items()} or None,
        "assets": len(risks),
        "judged": len(judged),
        "by_severity": _counted((risk.severity for risk in risks), SEVERITIES),
        "worst": str(worst.asset) if worst is not None and alarming else None,
        "sentence": _line_sentence(len(risks), len(judged), p_fail, worst if alarming else None),
        "simulated": any(risk.simulated for risk in risks),
        "run_id": next((risk.run_id for risk in risks if risk.run_id), ""),
    }


def line_item(line: str, risks: Sequence[Risk], topics: Topics) -> Item:
    """Return the line's message on its topic."""
    site, name = line.split("/")
    return topics.line_risk(site, name), encode(line_message(line, risks))


def alarm_item(asset: AssetPath, alarms: Sequence[Alarm], topics: Topics) -> Item:
    """Return an asset's alarm message: its gravest open alarm's state, and all of them."""
    first = gravest(alarms)
    return topics.alarm(asset), encode(
        {
            "schema": ALARM_SCHEMA,
            "asset": str(asset),
            "ts": to_iso(max(alarm.changed_ms for alarm in alarms)) if alarms else None,
            "state": first.shown_state if first is not None else "normal",
            "severity": first.severity if first is not None else "normal",
            "alarms": [
                alarm_to_message(alarm)
                for alarm in sorted(alarms, key=lambda a: (a.raised_ms, a.id))
            ],
            "simulated": any(alarm.simulated for alarm in alarms),
            "run_id": next((alarm.run_id for alarm in alarms if alarm.run_id), ""),
        }
    )


def alarm_to_message(alarm: Alarm) -> dict[str, Any]:
    """Return one alarm as the alarm message and `vigie alarms --json` show it."""
    seen, shelved = alarm.acknowledged_ms, alarm.shelved_until_ms
    return {
        "id": alarm.id,
        "mode": alarm.mode,
        "label": alarm.label,
        "crew": alarm.crew,
        "state": alarm.shown_state,
        "severity": alarm.severity,
        "p": alarm.p,
        "sentence": alarm.sentence,
        "raised": to_iso(alarm.raised_ms),
        "acknowledged": None if seen is None else {"at": to_iso(seen), "by": alarm.acknowledged_by},
        "shelved": None
        if shelved is None
        else {"until": to_iso(shelved), "by": alarm.shelved_by, "why": alarm.shelve_reason},
        "returned": None if alarm.returned_ms is None else to_iso(alarm.returned_ms),
    }


def info_item(
    *, version: str, started_ms: int, root: str, models: Sequence[Mapping[str, Any]]
) -> Item:
    """Return what Vigie is: version, schemas, models in use."""
    return BRIDGE_INFO, encode(
        {
            "schema": INFO_SCHEMA,
            "version": version,
            "started": to_iso(started_ms),
            "root": root,
            "schemas": {
                "risk": SCHEMA,
                "line_risk": LINE_SCHEMA,
                "alarm": ALARM_SCHEMA,
                "assets": ASSETS_SCHEMA,
                "health": HEALTH_SCHEMA,
            },
            "models": list(models),
        }
    )


def assets_item(
    assets: Iterable[AssetPath], seen: Mapping[AssetPath, SeenAsset], plant: Plant
) -> Item:
    """Return every machine Vigie knows: configured, or registered when it first published."""
    entries = []
    for asset in sorted(assets):
        spec, sight = plant.asset(asset), seen.get(asset)
        entries.append(
            {
                "asset": str(asset),
                "kind": plant.kind_of(asset),
                "label": spec.label if spec is not None else "",
                "configured": spec is not None,
                "first_reading": to_iso(sight.first_ms) if sight is not None else None,
                "signals": list(sight.signals) if sight is not None else [],
                "simulated": sight.simulated if sight is not None else False,
            }
        )
    return BRIDGE_ASSETS, encode({"schema": ASSETS_SCHEMA, "assets": entries})


def health_item(
    *,
    status: str,
    ts_ms: int,
    risks: Iterable[Risk],
    open_alarms: int,
    problem: str = "",
    parts: Mapping[str, Any] | None = None,
) -> Item:
    """Return how Vigie itself is: `ok`, `error` with the problem, or `stopped` after a clean stop.

    `parts` are figures of the parts beside the service, such as `ingest`.
    """
    known = list(risks)
    return BRIDGE_HEALTH, encode(
        {
            "schema": HEALTH_SCHEMA,
            "status": status,
            "problem": problem,
            "ts": to_iso(ts_ms),
            "assets": len(known),
            "by_status": _counted((risk.status for risk in known), STATUSES),
            "by_severity": _counted((risk.severity for risk in known), SEVERITIES),
            "open_alarms": open_alarms,
            **(parts or {}),
        }
    )


def _counted(found: Iterable[str], names: Iterable[str]) -> dict[str, int]:
    counts = Counter(found)
    return {name: counts[name] for name in names}


def _p(risk: Risk) -> float:
    return max(risk.p_fail.values(), default=0.0) if risk.p_fail is not None else 0.0


def _line_sentence(total: int, judged: int, p_fail: Mapping[int, float], worst: Risk | None) -> str:
    if not judged or not p_fail:
        return f"None of the line's {total} machines can be judged now."
    hours = max(p_fail)
    likely = percent(p_fail[hours])
    text = f"{likely[0].upper()}{likely[1:]} likely that a machine of the line fails within {span(hours)}"
    if worst is not None:
        text += f"; first {worst.asset.asset}"
    missing = total - judged
    return f"{text}." if not missing else f"{text}; {missing} of {total} machines cannot be judged."

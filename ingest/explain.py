"""How a message would be read: for `vigie ingest explain`."""

from __future__ import annotations

from typing import Any

from ingest.router import Router
from ingest.sparkplug import NAMESPACE
from plant.config import Plant
from plant.errors import PayloadError
from plant.signal import within
from plant.times import to_iso


def explain(
    router: Router, plant: Plant, topic: str, payload: bytes, now_ms: int
) -> dict[str, Any]:
    """Return what reads the message, what it says, and what is wrong with it, ready for JSON."""
    answer: dict[str, Any] = {
        "topic": topic,
        "bytes": len(payload),
        "read_by": _reader(router, topic),
        "subscribed_by": _filter_of(router, topic),
        "readings": [],
        "events": [],
        "problems": [],
    }
    try:
        decoded = router.decoder(topic.encode("utf-8"))(payload, now_ms)
    except PayloadError as error:
        answer["problems"].append({"reason": error.reason, "problem": str(error)})
        return answer
    if decoded.problem is not None:
        answer["problems"].append(
            {"reason": decoded.problem.reason, "problem": str(decoded.problem)}
        )
    for reading in decoded.readings:
        signals = plant.kind_spec(reading.asset).signals
        answer["readings"].append(
            {
                "asset": str(reading.asset),
                "kind": plant.kind_of(reading.asset),
                "ts": to_iso(reading.ts_ms),
                "ts_from": "arrival" if decoded.untimed else "message",
                "seq": reading.seq,
                "values": {
                    name: {"value": value, "unit": signals[name].unit if name in signals else ""}
                    for name, value in reading.values.items()
                },
            }
        )
        answer["problems"] += _doubts(plant, reading)
    answer["events"] = [
        {
            "asset": str(event.asset),
            "ts": to_iso(event.ts_ms),
            "kind": event.kind,
            "mode": event.mode,
        }
        for event in decoded.events
    ]
    answer["waveforms"] = [
        {"asset": str(w.asset), "signal": w.signal, "fs_hz": w.fs_hz, "samples": len(w.samples)}
        for w in decoded.waveforms
    ]
    return answer


def _doubts(plant: Plant, reading: Any) -> list[dict[str, str]]:
    """Name what is stored all the same but looks wrong: unknown machine or signal, out of range."""
    if plant.asset(reading.asset) is None:
        return [
            {
                "reason": "unknown_asset",
                "problem": f"{reading.asset} is not in plant.toml; it registers itself, of unknown kind.",
            }
        ]
    signals = plant.kind_spec(reading.asset).signals
    doubts = []
    for name, value in reading.values.items():
        if name not in signals:
            doubts.append(
                {"reason": "unknown_signal", "problem": f"{name} is not a signal of its kind."}
            )
        elif not within(value, signals[name].low, signals[name].high):
            spec = signals[name]
            doubts.append(
                {
                    "reason": "out_of_range",
                    "problem": f"{name} is {value} {spec.unit}, outside {spec.low} to {spec.high}.",
                }
            )
    return doubts


def _reader(router: Router, topic: str) -> str:
    mapping = router.mapping_of(topic)
    if mapping:
        return f"mapping {mapping}"
    return "Sparkplug B" if topic.startswith(NAMESPACE + "/") else "the contract"


def _filter_of(router: Router, topic: str) -> str:
    """Return the subscription that brings the topic here; empty when none does."""
    filters = (*router.subscriptions(), *router.stateful_subscriptions())
    return next((f for f in filters if filter_matches(f, topic)), "")


def filter_matches(topic_filter: str, topic: str) -> bool:
    """Tell whether an MQTT topic filter (+ and #) takes a topic."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    for index, want in enumerate(wanted):
        if want == "#":
            return True
        if index >= len(levels) or want not in {"+", levels[index]}:
            return False
    return len(wanted) == len(levels)

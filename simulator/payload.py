"""Readings and events as the JSON of the contract, every one marked as simulated."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from plant.event import Event


def telemetry_json(
    ts_ms: int, signals: Sequence[str], row: Sequence[float], seq: int, run_id: str
) -> bytes:
    """Write one reading; missing values are left out, nothing is written when all are missing.

    Floats are written so that reading them back gives the same bits.
    """
    values = dict(zip(signals, row, strict=True))
    total = sum(row)
    if total != total:  # noqa: PLR0124 - only NaN differs from itself, and one makes the sum one
        values = {name: value for name, value in values.items() if value == value}  # noqa: PLR0124
        if not values:
            return b""
    return orjson.dumps(
        {
            "ts": ts_ms,
            "values": values,
            "seq": seq,
            "simulated": True,
            "run_id": run_id,
        }
    )


def event_json(event: Event) -> bytes:
    """Write one entry of the log; what was not recorded is left out."""
    message: dict[str, object] = {"ts": event.ts_ms, "kind": event.kind}
    if event.mode:
        message["mode"] = event.mode
    if event.kind == "maintenance":
        message["scope"] = list(event.scope)
    if event.planned is not None:
        message["planned"] = event.planned
    if event.found != "unknown":
        message["found"] = event.found
    if event.duration_h is not None:
        message["duration_h"] = event.duration_h
    if event.note:
        message["note"] = event.note
    message["key"] = event.key
    message["simulated"] = True
    message["run_id"] = event.run_id
    return orjson.dumps(message)

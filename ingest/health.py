"""What ingest says about itself: the part `ingest` of `vigie/bridge/health`.

The service that publishes health keeps its messages in a file first. When the disk is full it cannot,
so ingest says by its own connection that it is blocked, and that it goes on.
"""

from __future__ import annotations

from typing import Any

import orjson

from ingest.stats import IngestStats
from plant.times import to_iso
from plant.topics import BRIDGE_HEALTH

SCHEMA = "vigie.health.v1"


def health_figures(stats: IngestStats) -> dict[str, Any]:
    """Return the figures as the health message carries them. `clock_skew` is in seconds by asset."""
    return {
        "connected": stats.connected,
        "blocked": stats.blocked,
        "error": stats.error,
        "received": stats.received,
        "stored": stats.stored,
        "repeated": stats.repeated,
        "conflicting": stats.conflicting,
        "stale_retained": stats.stale,
        "events": stats.events,
        "rejected": stats.rejected,
        "acknowledged": stats.acknowledged,
        "pending": stats.pending,
        "messages_per_s": stats.messages_per_s,
        "commit_ms": stats.commit_ms,
        "lag_s": None if stats.lag_ms is None else stats.lag_ms / 1000,
        "connections": stats.epoch,
        "clock_skew": {asset: skew / 1000 for asset, skew in stats.clock_skew_ms.items()},
        "sparkplug": stats.sparkplug,
    }


def health_problem(stats: IngestStats) -> str:
    """Return what is wrong with ingest in one sentence, empty when nothing is."""
    if stats.blocked:
        return f"Ingest acknowledges nothing: {stats.blocked}"
    if not stats.connected:
        return f"Ingest has no connection to the broker: {stats.error or 'it is being made'}"
    return ""


def health_message(stats: IngestStats, ts_ms: int) -> tuple[str, bytes]:
    """Return topic and payload of ingest's own health message."""
    problem = health_problem(stats)
    message = {
        "schema": SCHEMA,
        "status": "error" if problem else "ok",
        "problem": problem,
        "ts": to_iso(ts_ms),
        "ingest": health_figures(stats),
    }
    return BRIDGE_HEALTH, orjson.dumps(message)

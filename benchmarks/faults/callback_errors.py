"""Fault 9: an exception at every stage of receiving, in turn: ingest goes on, nothing is lost.

A stage that handles one message leaves it in quarantine, byte for byte; a stage beyond a single message
ends the connection, and the broker sends everything again.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ingest.sink
from benchmarks.faults.rig import Device, compare, percentile
from ingest.router import Router
from ingest.settings import BrokerSettings, IngestSettings
from ingest.subscriber import Subscriber
from plant.clock import SystemClock
from plant.config import Plant
from store.journal import Journal
from store.quarantine import Quarantine
from store.schema import journal_path
from vigie.servers import Mosquitto

#: Where it is raised: object (from the subscriber) and method; whether one message is to blame.
STAGES: tuple[tuple[str, Callable[[Subscriber], Any], str], ...] = (
    ("topic", lambda s: _forgetting_topics(s._router), "decoder"),
    ("plain", lambda _: ingest.sink, "plain_sample"),
    ("take", lambda s: s.sink, "take"),
    ("decode", lambda s: s.sink, "_decode_into"),
    ("flush", lambda s: s.sink, "flush"),
    ("commit", lambda s: s.sink._journal, "commit"),
    ("account", lambda s: s.sink, "_account"),
    ("acknowledge", lambda s: s, "_commit_and_acknowledge"),
    ("poll", lambda s: s, "_poll"),
    ("received", lambda s: s, "_on_publishes"),
    ("session", lambda s: s, "_session"),
)
#: Only looked at when a connection begins: the present one is ended first.
_AT_CONNECT = frozenset({"received", "session"})


def run(quick: bool, seed: int) -> dict[str, Any]:
    """Raise five times at each stage (quick: twice), at 300 msg/s; stock and bulk receive path."""
    times = 2 if quick else 5
    totals = {"published": 0, "stored": 0, "lost": 0, "duplicated": 0}
    quarantined, recoveries = 0, []
    for receive in ("bulk",) if quick else ("bulk", "stock"):
        with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder) / "m") as broker:
            data_dir = Path(folder) / "data"
            figures, kept, took = _run(broker.port, data_dir, receive, times, seed)
        quarantined += kept
        recoveries += took
        for name in totals:
            totals[name] += figures[name]
    return {
        "bench": "faults",
        "case": "callback_errors",
        "rounds": len(recoveries),
        **totals,
        "recovery_s": percentile(recoveries, 0.99),
        "quarantined": quarantined,
    }


def _run(
    port: int, data_dir: Path, receive: str, times: int, seed: int
) -> tuple[dict[str, int], int, list[float]]:
    journal = Journal(journal_path(data_dir))
    subscriber = Subscriber(
        BrokerSettings(port=port, client_id="fault"),
        IngestSettings(receive=receive),
        Plant(),
        journal,
        SystemClock(),
    )
    subscriber.warm_up()
    subscriber.start(wait_s=15)
    device = Device(port, 300, time.time_ns() // 1_000_000 - 86_400_000 + seed)
    device.start()
    recoveries = []
    for name, owner_of, method in STAGES:
        for _ in range(times):
            time.sleep(0.05)
            if name in _AT_CONNECT:
                _arm(subscriber, "_poll")
            fired = _arm(owner_of(subscriber), method)
            deadline = time.monotonic() + 5
            while not fired and time.monotonic() < deadline:
                time.sleep(0.002)
            assert fired, f"the stage {name} was never reached"
            began, before = time.monotonic(), subscriber.stats().acknowledged
            while subscriber.stats().acknowledged == before and time.monotonic() < began + 30:
                time.sleep(0.002)
            recoveries.append(time.monotonic() - began)
    device.stop()
    deadline = time.monotonic() + 30
    quarantine = Quarantine(journal.path)
    while time.monotonic() < deadline:
        kept = {item.payload for item in quarantine.items(limit=100_000)}
        if subscriber.stats().stored + len(kept) >= len(device.acknowledged):
            break
        time.sleep(0.05)
    subscriber.stop()
    journal.close()
    figures = compare(device, data_dir)
    figures["lost"] -= len(kept)  # they are in quarantine, byte for byte
    return figures, len(kept), recoveries


def _forgetting_topics(router: Router) -> Router:
    """A decoder is chosen once per topic: let it be chosen again."""
    router._decoders.clear()
    router.plain.clear()
    return router


def _arm(owner: Any, method: str) -> list[bool]:
    """Let the method raise at its next call, once; the returned list fills when it did."""
    fired: list[bool] = []
    original = getattr(owner, method)

    def broken(*arguments: Any, **options: Any) -> Any:
        if not fired:
            fired.append(True)
            setattr(owner, method, original)
            raise RuntimeError("raised on purpose")
        return original(*arguments, **options)

    setattr(owner, method, broken)
    return fired

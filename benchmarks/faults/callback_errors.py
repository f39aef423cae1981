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
import store.encode_columns
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

#: Where it is raised: its name, the object (from the subscriber) and the method.
Stage = tuple[str, Callable[[Subscriber], Any], str]
#: Of a single message.
LONG_WAY: tuple[Stage, ...] = (
    ("topic", lambda s: _forgetting_topics(s._router), "decoder"),
    ("plain", lambda _: ingest.sink, "plain_sample"),
)
#: Of a run of messages; after the last one everything goes the long way.
COMPILED: tuple[Stage, ...] = (
    ("rows", lambda _: store.encode_columns, "rows_of"),
    ("walk", lambda s: s._plain, "_walk"),
)
BOTH: tuple[Stage, ...] = (
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
    """Raise five times at each stage (quick: twice), at 300 msg/s; every receive path."""
    times = 2 if quick else 5
    totals = {"published": 0, "stored": 0, "lost": 0, "duplicated": 0}
    quarantined, recoveries = 0, []
    for way in ("compiled", "bulk") if quick else ("compiled", "bulk", "stock"):
        with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder) / "m") as broker:
            data_dir = Path(folder) / "data"
            figures, kept, took = _run(broker.port, data_dir, way, times, seed)
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
    port: int, data_dir: Path, way: str, times: int, seed: int
) -> tuple[dict[str, int], int, list[float]]:
    journal = Journal(journal_path(data_dir))
    subscriber = Subscriber(
        BrokerSettings(port=port, client_id="fault"),
        IngestSettings(receive="stock" if way == "stock" else "bulk"),
        Plant(),
        journal,
        SystemClock(),
    )
    if way == "compiled":
        subscriber.warm_up()
    else:
        subscriber._plain = subscriber.sink.plain = None
    subscriber.start(wait_s=15)
    device = Device(port, 300, time.time_ns() // 1_000_000 - 86_400_000 + seed)
    device.start()
    recoveries = []
    stages = (*BOTH, *COMPILED) if way == "compiled" else (*LONG_WAY, *BOTH)
    for name, owner_of, method in stages:
        for _ in range(1 if name == "walk" else times):
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

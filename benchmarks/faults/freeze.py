"""Fault 5: SIGSTOP of the broker, the store and ingest in turn, then SIGCONT."""

from __future__ import annotations

import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.faults.influx_outage import run as influx_run
from benchmarks.faults.rig import Device, IngestProcess, compare, percentile, wait_for
from vigie.servers import Mosquitto


def run(quick: bool, seed: int) -> dict[str, Any]:
    """60 s each, ten rounds of broker, ingest and store (quick: 2 s, one round, not the store)."""
    rounds, frozen_s, rate = (1, 2.0, 200) if quick else (10, 60.0, 200)
    source = random.Random(seed)
    recoveries: list[float] = []
    with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder) / "m") as broker:
        data_dir = Path(folder) / "data"
        ingest = IngestProcess(broker.port, data_dir).start(wait=True)
        device = Device(broker.port, rate, time.time_ns() // 1_000_000 - 86_400_000)
        device.start()
        for _ in range(rounds):
            for who in ("broker", "ingest"):
                time.sleep(source.uniform(0.5, 1.5))
                _send(who, broker, ingest, signal.SIGSTOP)
                time.sleep(frozen_s)
                wanted = len(device.acknowledged)
                _send(who, broker, ingest, signal.SIGCONT)
                began = time.monotonic()
                wait_for(data_dir, wanted + 1)
                recoveries.append(time.monotonic() - began)
        device.stop()
        wait_for(data_dir, len(device.acknowledged), 60)
        ingest.stop()
        figures = compare(device, data_dir)
    store: dict[str, Any] = {}
    if not quick:
        store = influx_run(False, seed, how="freeze", rounds=rounds, away_s=frozen_s)
        for name in figures:
            figures[name] += store[name]
    return {
        "bench": "faults",
        "case": "freeze",
        "rounds": rounds,
        **figures,
        "recovery_s": max(percentile(recoveries, 0.99), store.get("recovery_s", 0.0)),
        "frozen_in_turn": ["broker", "ingest", *(["store"] if store else [])],
        "frozen_s": frozen_s,
    }


def _send(who: str, broker: Mosquitto, ingest: IngestProcess, number: signal.Signals) -> None:
    if who == "ingest":
        ingest.signal(number)
    elif number == signal.SIGSTOP:
        broker.freeze()
    else:
        broker.thaw()

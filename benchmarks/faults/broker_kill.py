"""Fault 2: kill -9 and restart of the broker, with persistence, while a device publishes."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.faults.rig import Device, IngestProcess, compare, count, percentile, wait_for
from vigie.servers import Mosquitto


def run(quick: bool, seed: int) -> dict[str, Any]:
    """20 rounds (quick: 2). `recovery_s`: from the broker's start to the next reading stored, p99."""
    rounds, rate = (2, 200) if quick else (20, 200)
    source = random.Random(seed)
    recoveries: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Mosquitto(Path(folder) / "m", persistent=True) as broker,
    ):
        data_dir = Path(folder) / "data"
        ingest = IngestProcess(broker.port, data_dir).start(wait=True)
        device = Device(broker.port, rate, time.time_ns() // 1_000_000 - 86_400_000)
        device.start()
        for _ in range(rounds):
            time.sleep(source.uniform(1.0, 3.0))
            broker.kill()
            time.sleep(source.uniform(0.0, 0.5))
            before = count(data_dir)
            began = time.monotonic()
            broker.start()
            wait_for(data_dir, before + 1)
            recoveries.append(time.monotonic() - began)
        device.stop()
        wait_for(data_dir, len(device.acknowledged), 30)
        ingest.stop()
        figures = compare(device, data_dir)
    return {
        "bench": "faults",
        "case": "broker_kill",
        "rounds": rounds,
        **figures,
        "recovery_s": percentile(recoveries, 0.99),
    }

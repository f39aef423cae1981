"""Fault 1: kill -9 of ingest at seeded moments, at 1,000 msg/s."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.faults.rig import Device, IngestProcess, compare, count, percentile, wait_for
from vigie.servers import Mosquitto


def run(quick: bool, seed: int) -> dict[str, Any]:
    """200 kills (quick: 3). `recovery_s` is p99 of start to everything acknowledged being stored."""
    rounds, rate = (3, 300) if quick else (200, 1_000)
    source = random.Random(seed)
    recoveries: list[float] = []
    with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder) / "m") as broker:
        data_dir = Path(folder) / "data"
        ingest = IngestProcess(broker.port, data_dir).start(wait=True)
        device = Device(broker.port, rate, time.time_ns() // 1_000_000 - 86_400_000)
        device.start()
        for _ in range(rounds):
            time.sleep(source.uniform(0.05, 1.0))
            ingest.kill()
            began = time.monotonic()
            ingest.start()
            wanted = len(device.acknowledged)
            wait_for(data_dir, wanted)
            recoveries.append(time.monotonic() - began)
        device.stop()
        wait_for(data_dir, len(device.acknowledged), 60)
        ingest.stop()
        figures = compare(device, data_dir)
        assert count(data_dir) == figures["stored"]
    return {
        "bench": "faults",
        "case": "ingest_kill",
        "rounds": rounds,
        **figures,
        "recovery_s": percentile(recoveries, 0.99),
        "recovery_median_s": percentile(recoveries, 0.5),
    }

"""Fault 8: a bad network between ingest and the broker: latency, little bandwidth, resets."""

from __future__ import annotations

import random
import select
import socket
import struct
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.faults.rig import Device, IngestProcess, compare, percentile, wait_for
from vigie.servers import Mosquitto


class Proxy(threading.Thread):
    """A loopback TCP proxy; `latency_s`, `bytes_per_s` and `reset_all` may be used at any time."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.latency_s = 0.0
        self.bytes_per_s = 0
        self.resets = 0
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._stopping = threading.Event()

    def run(self) -> None:
        self._server.settimeout(0.2)
        while not self._stopping.is_set():
            try:
                client, _ = self._server.accept()
            except TimeoutError:
                continue
            try:
                broker = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            self._pairs.append((client, broker))
            for source, sink in ((client, broker), (broker, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while not self._stopping.is_set():
                if not select.select([source], [], [], 0.2)[0]:
                    continue
                data = source.recv(2_048 if self.bytes_per_s else 65_536)
                if not data:
                    break
                if self.latency_s:
                    time.sleep(self.latency_s)
                if self.bytes_per_s:
                    time.sleep(len(data) / self.bytes_per_s)
                sink.sendall(data)
        except (OSError, ValueError):
            pass
        for end in (source, sink):
            end.close()

    def reset_all(self) -> None:
        """Cut every connection with a TCP reset, in the middle of whatever is under way."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                try:
                    linger = struct.pack("ii", 1, 0)
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    end.close()
                except OSError:
                    continue
        self.resets += 1

    def stop(self) -> None:
        self._stopping.set()
        self.join()
        self.reset_all()
        self._server.close()


def run(quick: bool, seed: int) -> dict[str, Any]:
    """Seeded spells of latency and narrow bandwidth, each ended by a reset. 40 rounds (quick: 4)."""
    rounds = 4 if quick else 40
    source = random.Random(seed)
    recoveries: list[float] = []
    with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder) / "m") as broker:
        proxy = Proxy(broker.port)
        proxy.start()
        data_dir = Path(folder) / "data"
        ingest = IngestProcess(proxy.port, data_dir).start(wait=True)
        device = Device(broker.port, 300, time.time_ns() // 1_000_000 - 86_400_000)
        device.start()
        for _ in range(rounds):
            proxy.latency_s = source.choice([0.0, 0.005, 0.05])
            proxy.bytes_per_s = source.choice([0, 0, 60_000, 200_000])
            time.sleep(source.uniform(0.2, 1.5))
            proxy.latency_s = proxy.bytes_per_s = 0
            proxy.reset_all()
            wanted = len(device.acknowledged)
            began = time.monotonic()
            wait_for(data_dir, wanted)
            recoveries.append(time.monotonic() - began)
        device.stop()
        wait_for(data_dir, len(device.acknowledged), 60)
        ingest.stop()
        proxy.stop()
        figures = compare(device, data_dir)
    return {
        "bench": "faults",
        "case": "network",
        "rounds": rounds,
        **figures,
        "recovery_s": percentile(recoveries, 0.99),
    }

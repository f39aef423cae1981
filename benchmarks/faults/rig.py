"""What the faults of ingest share: a patient device, an ingest process that may be killed, the comparison."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
import psutil
from paho.mqtt.enums import CallbackAPIVersion

from store import schema

ASSETS = 10
Key = tuple[str, int]


class Device(threading.Thread):
    """Publishes readings at a steady rate, QoS 1, and remembers which the broker acknowledged.

    It keeps what is not acknowledged and sends it again on the next connection, as a device with a
    buffer does.
    """

    def __init__(self, port: int, rate: int, start_ms: int, name: str = "fault-device") -> None:
        super().__init__(daemon=True)
        self.rate = rate
        self.start_ms = start_ms
        self.sent = 0
        self.acknowledged: set[int] = set()
        self._acks: deque[int] = deque()
        self._waiting: dict[int, int] = {}
        self._stopping = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        self._client.max_inflight_messages_set(500)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_publish = lambda _c, _d, mid, _r, _p: self._acks.append(mid)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def reading(self, number: int) -> tuple[Key, dict[str, float]]:
        """The reading of a number: (machine, time) and values."""
        key = (f"s/l/p{number % ASSETS}", self.start_ms + number * 1000 // self.rate)
        return key, {"a": number / 7, "b": float(number), "c": -number / 3, "d": 0.5}

    def run(self) -> None:
        began = time.monotonic()
        while not self._stopping.is_set():
            while self.sent < (time.monotonic() - began) * self.rate:
                if not self._client.is_connected() or len(self._waiting) > 5_000:
                    break
                (asset, ts_ms), values = self.reading(self.sent)
                payload = json.dumps({"ts": ts_ms, "values": values})
                info = self._client.publish(f"plant/{asset}/telemetry", payload, qos=1)
                self._waiting[info.mid] = self.sent
                self.sent += 1
            self._collect()
            time.sleep(0.003)

    def _collect(self) -> None:
        for _ in range(len(self._acks)):
            number = self._waiting.pop(self._acks.popleft(), None)
            if number is not None:
                self.acknowledged.add(number)

    def stop(self, wait_s: float = 60.0) -> None:
        """Stop, and wait until the broker has acknowledged everything it may."""
        self._stopping.set()
        self.join()
        deadline = time.monotonic() + wait_s
        while self._waiting and time.monotonic() < deadline:
            self._collect()
            time.sleep(0.01)
        self._client.disconnect()
        self._client.loop_stop()


class IngestProcess:
    """Vigie's ingest in a process of its own, to be killed, frozen and started again."""

    def __init__(self, port: int, data_dir: Path, **settings: Any) -> None:
        self.data_dir = data_dir
        self._spec = json.dumps(
            {"port": port, "data_dir": str(data_dir), "settings": {"retry_s": 0.2, **settings}}
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = False) -> IngestProcess:
        """Start; with `wait`, until the broker keeps a session for it: from then on nothing may be lost."""
        command = [sys.executable, "-m", "benchmarks.faults.ingest_process", self._spec]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self.process.stdout is not None
        if wait:
            assert self.process.stdout.readline() == b"ready\n"
        return self

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL: no goodbye, no flush."""
        assert self.process is not None
        self.process.kill()
        self._close()

    def stop(self) -> None:
        """Let it commit, acknowledge and end."""
        self._close()

    def _close(self) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()

    def peak_mb(self) -> float:
        assert self.process is not None
        return psutil.Process(self.process.pid).memory_info().rss / 1e6


def rows(data_dir: Path) -> list[tuple[Key, dict[str, float]]]:
    """Return every reading of every journal, checksums verified."""
    found = []
    for file in schema.journal_files(data_dir):
        db = schema.connect(file, read_only=True)
        sets = {
            i: schema.signal_set_names(text)
            for i, text in db.execute("select id, names from signal_set")
        }
        query = "select path, reading.* from reading join asset on asset.id = reading.asset"
        for path, row_id, asset, ts, signals, seq, received, run, vals, crc in db.execute(query):
            assert crc == schema.reading_crc(row_id, asset, ts, signals, seq, received, run, vals)
            values = np.frombuffer(vals, "<f8").tolist()
            found.append(((path, ts), dict(zip(sets[signals], values, strict=True))))
        db.close()
    return found


def count(data_dir: Path) -> int:
    """How many readings lie in the journals (0 while there is none)."""
    total = 0
    for file in schema.journal_files(data_dir):
        try:
            db = schema.connect(file, read_only=True)
            total += db.execute("select count(*) from reading").fetchone()[0]
            db.close()
        except Exception:  # being created at this very moment
            continue
    return total


def wait_for(data_dir: Path, wanted: int, seconds: float = 120.0) -> bool:
    """Wait until the journals hold that many readings."""
    deadline = time.monotonic() + seconds
    while count(data_dir) < wanted:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def compare(device: Device, data_dir: Path) -> dict[str, int]:
    """Compare row by row what was acknowledged with what is stored."""
    found = rows(data_dir)
    by_key = dict(found)
    lost = 0
    for number in device.acknowledged:
        key, values = device.reading(number)
        lost += by_key.get(key) != values
    return {
        "published": len(device.acknowledged),
        "stored": len(found),
        "lost": lost,
        "duplicated": len(found) - len(by_key),
    }


def percentile(values: list[float], share: float) -> float:
    """The value below which that share lies (0 without values)."""
    return (
        round(sorted(values)[min(len(values) - 1, int(share * len(values)))], 3) if values else 0.0
    )

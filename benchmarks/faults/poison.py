"""Fault 10: a million messages of which a tenth is poison, through a real broker."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.faults.rig import IngestProcess, rows, wait_for
from store.quarantine import Quarantine
from store.schema import journal_path
from vigie.servers import Mosquitto

BASE_MS = 1_700_000_000_000
GOOD = "plant/s/l/p{}/telemetry"


def poison(source: random.Random, number: int) -> tuple[str, bytes, str]:
    """One bad message: topic, payload, and the reason it must be refused for."""
    topic = GOOD.format(number % 10)
    ts = BASE_MS + number
    kind = source.randrange(14 if number % 200 else 15)
    fuzz = bytes(
        source.choice(b'{}[]",:0123456789abctsvalue\\') for _ in range(source.randrange(1, 60))
    )
    table: list[tuple[str, bytes, str]] = [
        (topic, b"{:" + fuzz, "json"),
        (topic, b'{"ts":%d,"values":{"a":"high"}}' % ts, "not_a_number"),
        (topic, b'{"ts":%d,"values":{"a":true}}' % ts, "not_a_number"),
        (topic, b'{"ts":%d,"values":{"a":NaN}}' % ts, "not_finite"),
        (topic, b'{"ts":%d,"values":{"a":1e999}}' % ts, "not_finite"),
        (topic, b'{"ts":%d,"values":{"\\ud800":1}}' % ts, "utf8"),
        (topic, b"[" * 2000 + b"]" * 2000, "nesting"),
        (topic, b'{"ts":%d,"values":{"a":1}}\xff\xfe' % ts, "utf8"),
        (topic, b'{"ts":%d,"values":{"a b; drop table":1}}' % ts, "signal_name"),
        (topic, b'{"ts":%d,"values":{"../../etc":1}}' % ts, "signal_name"),
        (topic, b'{"ts":9999999999999,"values":{"a":1}}', "ts_future"),
        (topic, b'{"ts":17,"values":{"a":1}}', "ts_past"),
        (topic, b'{"ts":%d,"values":[]}' % ts, "form"),
        ("plant/s/l/p 1;--/telemetry", b'{"ts":%d,"values":{"a":1}}' % ts, "asset_name"),
        (topic, b"1" * (1 << 20), "too_large"),
    ]
    return table[kind]


def run(quick: bool, seed: int) -> dict[str, Any]:
    """1,000,000 messages (quick: 4,000); every good row stored, every bad one counted by reason.

    `recovery_s`: from the broker's last acknowledgement until each is stored or in quarantine.
    """
    messages = 4_000 if quick else 1_000_000
    source = random.Random(seed)
    expected: dict[str, int] = {}
    good = 0
    with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder) / "m") as broker:
        data_dir = Path(folder) / "data"
        ingest = IngestProcess(broker.port, data_dir).start(wait=True)
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="fault-poison")
        client.max_inflight_messages_set(1_000)
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        began = time.monotonic()
        for number in range(messages):
            if source.random() < 0.1:
                topic, payload, reason = poison(source, number)
                expected[reason] = expected.get(reason, 0) + 1
            else:
                topic = GOOD.format(number % 10)
                payload = orjson.dumps(
                    {"ts": BASE_MS + number, "values": {"a": number / 3, "b": 1}}
                )
                good += 1
            while len(client._out_messages) > 5_000:
                time.sleep(0.005)
            info = client.publish(topic, payload, qos=1)
        info.wait_for_publish(60)
        sent_at = time.monotonic()
        client.disconnect()
        client.loop_stop()
        wait_for(data_dir, good, 300)
        quarantine = Quarantine(journal_path(data_dir))
        deadline = time.monotonic() + 60
        while (
            sum(quarantine.counts().values()) < sum(expected.values())
            and time.monotonic() < deadline
        ):
            time.sleep(0.1)
        seconds, recovery_s = time.monotonic() - began, time.monotonic() - sent_at
        peak_mb = ingest.peak_mb()
        ingest.stop()
        found = rows(data_dir)
        refused = quarantine.counts()
        wrong = sum(values != {"a": (key[1] - BASE_MS) / 3, "b": 1.0} for key, values in found)
    miscounted = sum(
        abs(expected.get(reason, 0) - refused.get(reason, 0)) for reason in expected | refused
    )
    return {
        "bench": "faults",
        "case": "poison",
        "rounds": 1,
        "published": messages,
        "stored": len(found),
        "lost": good - len(found) + wrong + miscounted,
        "duplicated": len(found) - len({key for key, _ in found}),
        "recovery_s": round(recovery_s, 3),
        "refused": sum(refused.values()),
        "reasons": refused,
        "seconds": round(seconds, 1),
        "memory_mb": round(peak_mb, 1),
    }

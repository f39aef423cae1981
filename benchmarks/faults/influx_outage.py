"""Fault 3: InfluxDB is stopped (or killed, or frozen) while the plant goes on, then comes back.

The whole way is there: a publisher, Mosquitto, ingest, journal, forwarder, a real influxd. What
InfluxDB holds in the end is compared row by row with what the broker acknowledged.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Literal

import paho.mqtt.client as mqtt
import psutil
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.faults.rig import percentile
from ingest.settings import BrokerSettings, IngestSettings
from ingest.subscriber import Subscriber
from plant.asset import AssetPath
from plant.clock import SystemClock
from plant.config import Plant
from store.forwarder import Forwarder
from store.influx import InfluxStore
from store.influx_setup import ensure_buckets
from store.journal import Journal
from store.schema import journal_path
from store.settings import InfluxSettings, RetentionSettings
from vigie.servers import Influxd, Mosquitto

_ASSETS = 10
_EVER = (0, 10**13)
_FOREVER = RetentionSettings(
    readings="forever", rollups="forever", risks="forever", events="forever"
)
How = Literal["stop", "kill", "freeze"]


def run(
    quick: bool, seed: int, *, how: How = "stop", rounds: int = 1, away_s: float = 0.0
) -> dict[str, Any]:
    """500 msg/s; away for 300 s (quick: 4 s). `recovery_s` is the time until all of it is there (p99)."""
    rate, away_s = 500, away_s or (4.0 if quick else 300.0)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with (
            Mosquitto(place / "mosquitto") as broker,
            Influxd(place / "influxd", durable=True) as influxd,
        ):
            settings = InfluxSettings(
                url=influxd.url, org=influxd.org, token=influxd.token,
                bucket="fault", timeout_s=2.0 if quick else 10.0,
            )  # fmt: skip
            ensure_buckets(settings, _FOREVER)
            return _run(
                place / "data", broker.port, influxd, settings, rate, away_s, how, rounds, seed
            )


def _run(
    data_dir: Path,
    port: int,
    influxd: Influxd,
    settings: InfluxSettings,
    rate: int,
    away_s: float,
    how: How,
    rounds: int,
    seed: int,
) -> dict[str, Any]:
    clock = SystemClock()
    journal = Journal(journal_path(data_dir))
    forwarder = Forwarder(settings, data_dir, clock, seed=seed)
    journal.tail = forwarder.tail_of(journal.path)
    subscriber = Subscriber(
        BrokerSettings(port=port, client_id="fault"), IngestSettings(), Plant(), journal, clock
    )
    subscriber.warm_up()  # not memory that an outage takes
    publisher = _Publisher(port, rate, clock.now_ms())
    subscriber.start(wait_s=15)
    forwarder.start()
    publisher.start()
    time.sleep(1.0)
    process = psutil.Process()
    memory = process.memory_info().rss
    recoveries, grown = [], 0
    for _ in range(rounds):
        getattr(influxd, how)()
        time.sleep(away_s)
        grown = max(grown, process.memory_info().rss - memory)
        lag_ms = forwarder.stats().lag_ms
        influxd.thaw() if how == "freeze" else influxd.start()
        back = time.monotonic()
        waiting = forwarder.stats().waiting
        while forwarder.stats().lag_ms > 2_000:
            time.sleep(0.02)
        recoveries.append(time.monotonic() - back)
    recovery_s = percentile(recoveries, 0.99)
    publisher.stop()
    deadline = time.monotonic() + 60
    while subscriber.stats().stored < publisher.acknowledged and time.monotonic() < deadline:
        time.sleep(0.01)
    assert forwarder.drain(120)
    subscriber.stop()
    forwarder.close()
    journal.close()
    figures = _compare(publisher, settings, data_dir, clock)
    return {
        "bench": "faults",
        "case": "influx_outage",
        "how": how,
        "rounds": rounds,
        **figures,
        "recovery_s": recovery_s,
        "away_s": away_s,
        "lag_s_when_back": round(lag_ms / 1000, 1),
        "waiting_when_back": waiting,
        # Seconds of readings brought in per second, the live ones that came meanwhile included.
        "drain_x_real_time": round((away_s + recovery_s) / max(recovery_s, 1e-3), 1),
        "memory_growth_mb": round(grown / 1e6, 1),
    }


class _Publisher(threading.Thread):
    """Publishes at a steady rate, QoS 1, and keeps what the broker acknowledged."""

    def __init__(self, port: int, rate: int, start_ms: int) -> None:
        super().__init__(daemon=True)
        self._rate = rate
        self._start_ms = start_ms
        self._stopping = threading.Event()
        self._by_mid: dict[int, int] = {}
        self.acknowledged = 0
        self.sent = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="fault-publisher")
        self._client.max_inflight_messages_set(1_000)
        self._client.connect("127.0.0.1", port)
        self._client.on_publish = self._on_publish
        self._client.loop_start()

    def _on_publish(self, *_: Any) -> None:
        self.acknowledged += 1

    def expected(self, number: int) -> tuple[str, int, dict[str, float]]:
        """The reading of a number: machine, time, values."""
        values = {"a": number / 7, "b": float(number), "c": -number / 3, "d": 0.5}
        return f"p{number % _ASSETS}", self._start_ms + number * 1000 // self._rate, values

    def run(self) -> None:
        began = time.monotonic()
        while not self._stopping.is_set():
            while self.sent < (time.monotonic() - began) * self._rate:
                asset, ts_ms, values = self.expected(self.sent)
                payload = json.dumps({"ts": ts_ms, "values": values})
                sent = self._client.publish(f"plant/site/line/{asset}/telemetry", payload, qos=1)
                if sent.rc != mqtt.MQTT_ERR_SUCCESS:  # its own queue is full: try again
                    time.sleep(0.05)
                    continue
                self.sent += 1
            time.sleep(0.005)

    def stop(self) -> None:
        """Stop, and wait until the broker has acknowledged everything."""
        self._stopping.set()
        self.join()
        deadline = time.monotonic() + 120
        while self.acknowledged < self.sent and time.monotonic() < deadline:
            time.sleep(0.01)
        self._client.disconnect()
        self._client.loop_stop()


def _compare(
    publisher: _Publisher, settings: InfluxSettings, data_dir: Path, clock: SystemClock
) -> dict[str, Any]:
    assert publisher.acknowledged == publisher.sent, (
        f"the broker acknowledged {publisher.acknowledged} of {publisher.sent}"
    )
    wanted: dict[str, dict[int, dict[str, float]]] = {}
    for number in range(publisher.sent):
        asset, ts_ms, values = publisher.expected(number)
        wanted.setdefault(asset, {})[ts_ms] = values
    store = InfluxStore(settings, data_dir, clock)
    stored = lost = extra = 0
    try:
        for asset, rows in wanted.items():
            block = store.read_readings(AssetPath("site", "line", asset), *_EVER)
            found = {
                ts_ms: dict(zip(block.signals, values, strict=True))
                for ts_ms, values in zip(block.ts_ms.tolist(), block.values.tolist(), strict=True)
            }
            stored += len(found)
            lost += sum(found.get(ts_ms) != values for ts_ms, values in rows.items())
            extra += len(found.keys() - rows.keys())
    finally:
        store.close()
    return {"published": publisher.sent, "stored": stored, "lost": lost, "duplicated": extra}

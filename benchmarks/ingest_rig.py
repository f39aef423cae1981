"""What the cases of bench_ingest share: messages, the broker with its queue, InfluxDB, processes, figures."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import orjson
import paho.mqtt.client as mqtt
import psutil
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.settings import IngestSettings
from plant.topics import Topics
from vigie.servers import Influxd, Mosquitto

MACHINES = 20
BASE_MS = 1_700_000_000_000
RECEIVE_MAXIMUM = IngestSettings().receive_maximum
SIGNALS = ("temperature", "vibration_rms", "current", "pressure", "rpm", "flow", "level", "torque")
DEADLINE_S = 180.0
TELEGRAF = """
[agent]
  interval = "1s"
  flush_interval = "200ms"
  metric_batch_size = 5000
  metric_buffer_limit = 200000
  omit_hostname = true
  logfile = "{log}"
[[inputs.mqtt_consumer]]
  servers = ["tcp://127.0.0.1:{port}"]
  topics = ["plant/+/+/+/telemetry", "plant/+/+/+/telemetry/+", "plant/+/+/+/event"]
  qos = 1
  persistent_session = true
  client_id = "telegraf"
  max_undelivered_messages = 20000
  data_format = "json"
  json_time_key = "ts"
  json_time_format = "unix_ms"
[[outputs.influxdb_v2]]
  urls = ["{url}"]
  token = "{token}"
  organization = "{org}"
  bucket = "{bucket}"
"""


def readings(count: int, seed: int) -> list[bytes]:
    """The payloads of one machine: eight values with the digits real sensors send."""
    random_source = random.Random(seed)
    return [
        orjson.dumps(
            {
                "ts": BASE_MS + i * 100,
                "values": {name: round(random_source.gauss(50, 10), 2) for name in SIGNALS},
            }
        )
        for i in range(count)
    ]


class Bench:
    """One broker, the number of messages, and what every case needs."""

    def __init__(self, broker: Mosquitto, messages: int, seed: int, scratch: Path) -> None:
        self.broker = broker
        self.messages = messages // MACHINES * MACHINES
        self.seed = seed
        self.scratch = scratch

    def open_session(self, client_id: str, filters: list[str], protocol: int) -> None:
        """Subscribe once and go away: the broker queues from now on."""
        client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=protocol,
            clean_session=None if protocol == mqtt.MQTTv5 else False,
        )
        subscribed = threading.Event()
        client.on_connect = lambda c, *_: c.subscribe([(f, 1) for f in filters])
        client.on_subscribe = lambda *_: subscribed.set()
        if protocol == mqtt.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 3600
            client.connect("127.0.0.1", self.broker.port, clean_start=False, properties=properties)
        else:
            client.connect("127.0.0.1", self.broker.port)
        client.loop_start()
        assert subscribed.wait(10)
        client.disconnect()
        client.loop_stop()

    def fill(self) -> None:
        """Queue all messages at the broker. One mosquitto_pub per machine: past 65,535 it ends early."""
        each = self.messages // MACHINES
        for machine in range(MACHINES):
            lines = b"\n".join(readings(each, self.seed + machine)) + b"\n"
            topic = f"plant/lyon/l1/pump-{machine}/telemetry"
            command = ["mosquitto_pub", "-p", str(self.broker.port), "-t", topic, "-q", "1", "-l"]
            subprocess.run(command, input=lines, check=True)

    def prepare(self, case: str, filters: list[str], workers: int = 1, *, v5: bool = True) -> None:
        for worker in range(workers):
            client_id = (
                case if case in {"paho", "raw_socket", "telegraf"} else f"{case}-ingest-{worker}"
            )
            self.open_session(client_id, filters, mqtt.MQTTv5 if v5 else mqtt.MQTTv311)
        self.fill()

    def child(self, case: str, spec: dict[str, Any]) -> subprocess.Popen[bytes]:
        spec = {
            "port": self.broker.port,
            "messages": self.messages,
            "workers": 1,
            "receive_maximum": RECEIVE_MAXIMUM,
            **spec,
        }
        command = [sys.executable, "-m", "benchmarks.ingest_child", case, json.dumps(spec)]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def figures(self, seconds: float, stored: int, usage: Any, peak_mib: float) -> dict[str, Any]:
        """The figures of a case; `peak_mib` as the process itself saw it."""
        rate = self.messages / seconds if seconds > 0 else 0.0
        return {
            "messages": self.messages,
            "msgs_per_s": round(rate),
            "values_per_s": round(rate * len(SIGNALS)),
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
            "peak_mib": round(peak_mib, 1),
            "lost": self.messages - stored,
        }


def with_servers(
    figures: dict[str, Any], start_cpu_s: float, **servers_cpu_s: float
) -> dict[str, Any]:
    """Add what the servers used, and the rate at which all cores would be busy with all of it."""
    spent = figures["cpu_s"] - start_cpu_s + sum(servers_cpu_s.values())
    bound = (os.cpu_count() or 1) * figures["messages"] / spent
    rounded = {name: round(cpu_s, 2) for name, cpu_s in servers_cpu_s.items()}
    return {**figures, **rounded, "cores_msgs_per_s": round(bound)}


def server_cpu_s(server: Influxd | Mosquitto) -> float:
    """CPU seconds a server has used since its start."""
    assert server.process is not None
    times = psutil.Process(server.process.pid).cpu_times()
    return round(times.user + times.system, 2)


def finish(process: subprocess.Popen[bytes]) -> tuple[dict[str, Any], Any]:
    """Wait for a child; return what it said and what it used (its own children included)."""
    assert process.stdout is not None
    said = json.loads(
        process.stdout.read() or b'{"first": 0, "last": 0, "stored": 0, "peak_mib": 0}'
    )
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return said, usage


def contract_filters(prefix: str = "") -> list[str]:
    return [prefix + topic for topic in Topics().subscriptions()]


def count_in_influx(server: Influxd, bucket: str, measurement: str, field: str) -> int:
    """Count points by a query over the whole time range."""
    start, stop = BASE_MS // 1000 - 10, BASE_MS // 1000 + 10_000_000
    query = (
        f'from(bucket:"{bucket}") |> range(start: {start}, stop: {stop})'
        f' |> filter(fn:(r)=>r._measurement=="{measurement}" and r._field=="{field}")'
        ' |> group() |> count() |> keep(columns:["_value"])'
    )
    request = urllib.request.Request(
        f"{server.url}/api/v2/query?org={server.org}",
        data=query.encode(),
        headers={
            "Authorization": f"Token {server.token}",
            "Content-Type": "application/vnd.flux",
            "Accept": "application/csv",
        },
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        lines = [line for line in answer.read().decode().splitlines() if line.strip()]
    return int(lines[-1].split(",")[-1]) if len(lines) > 1 else 0


def taken_by_influx(server: Influxd) -> int:
    """Return how many points influxd says it has taken: it need not search for them."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=60) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("storage_writer_ok_points_sum"):
                return int(float(line.split()[-1]))
    return 0


def watch_influx(bench: Bench, server: Influxd) -> tuple[int, float]:
    """Wait until influxd has taken all points; return how many it had at first sight, and seconds since.

    The start of a process is not throughput. To count the points in the bucket all the while would keep a
    core busy for a fifth of the time.
    """
    began, first = time.monotonic(), None
    while True:
        found, now = taken_by_influx(server), time.monotonic()
        if found and first is None:
            first = (now, found)
        if found >= bench.messages or now - began > DEADLINE_S:
            at, early = first or (now, 0)
            return early, now - at
        time.sleep(0.05)


def settings_of(server: Influxd) -> dict[str, Any]:
    return {
        "url": server.url, "org": server.org, "bucket": server.bucket,
        "readings_bucket": server.bucket, "token": server.token, "idle_s": 0.02,
    }  # fmt: skip

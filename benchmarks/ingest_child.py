"""The measured side of bench_ingest: each case in a process of its own, so that its figures are its own.

Prints one JSON line {"first": s, "last": s, "stored": n}: seconds of the wall clock, of the first message
received and of the moment when all were stored; of InfluxDB also `forwarded`, when it had taken the last one.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from ingest.collector import spare_collector
from vigie.logs import configure_logs

DEADLINE_S = 180.0


def paho(spec: dict[str, Any]) -> dict[str, Any]:
    """A bare paho subscriber that only counts (stock paho acknowledges by itself)."""
    import paho.mqtt.client as mqtt
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, client_id=spec["client_id"], protocol=mqtt.MQTTv5
    )
    done = threading.Event()
    seen = {"count": 0, "first": 0.0}

    def on_message(*_: Any) -> None:
        if not seen["count"]:
            seen["first"] = time.time()
        seen["count"] += 1
        if seen["count"] == spec["messages"]:
            done.set()

    client.on_message = on_message
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3600
    properties.ReceiveMaximum = spec["receive_maximum"]
    client.connect("127.0.0.1", spec["port"], clean_start=False, properties=properties)
    client.loop_start()
    done.wait(DEADLINE_S)
    last = time.time()
    client.disconnect()
    client.loop_stop()
    return {"first": seen["first"], "last": last, "stored": seen["count"]}


def raw_socket(spec: dict[str, Any]) -> dict[str, Any]:
    """Read frames, count them, acknowledge each piece: what plain Python can take off a socket."""
    import socket

    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3600
    properties.ReceiveMaximum = spec["receive_maximum"]
    name = spec["client_id"].encode()
    body = b"\0\4MQTT\5\0\0\x3c" + properties.pack() + len(name).to_bytes(2, "big") + name
    sock = socket.create_connection(("127.0.0.1", spec["port"]))
    sock.settimeout(DEADLINE_S)
    sock.sendall(b"\x10" + bytes([len(body)]) + body)
    count, first, left = 0, 0.0, b""
    while count < spec["messages"]:
        data = sock.recv(1 << 18)
        if not data:
            break
        if len(data) < 1 << 16:
            time.sleep(
                0.001
            )  # let some more arrive: a read for each message costs more than the message
        piece = left + data
        first = first or time.time()
        position, size, mids = 0, len(piece), []
        while size - position > 4:
            length, body_at = piece[position + 1], position + 2
            if length & 128:  # frames of this benchmark are shorter than 16,384 bytes
                length, body_at = (length & 127) | piece[position + 2] << 7, position + 3
            if body_at + length > size:
                break
            if piece[position] >> 4 == 3:
                mid = body_at + 2 + (piece[body_at] << 8 | piece[body_at + 1])
                mids.append(piece[mid : mid + 2])
            position = body_at + length
        left = piece[position:]
        if mids:
            count += len(mids)
            sock.sendall(b"\x40\2" + b"\x40\2".join(mids))
    last = time.time()
    sock.close()
    return {"first": first, "last": last, "stored": count}


def journal(spec: dict[str, Any]) -> dict[str, Any]:
    """Vigie from the broker to the durable journal, and on to InfluxDB when asked, as `vigie run` does it."""
    from ingest.settings import BrokerSettings, IngestSettings
    from ingest.subscriber import Subscriber
    from ingest.workers import Workers
    from plant.clock import SystemClock
    from plant.config import Plant
    from store.forwarder import Forwarder
    from store.journal import Journal
    from store.schema import journal_path
    from store.settings import InfluxSettings

    data_dir = Path(spec["data_dir"])
    broker = BrokerSettings(port=spec["port"], client_id=spec["client_id"])
    settings = IngestSettings(
        receive=spec.get("receive", "bulk"),
        workers=spec["workers"],
        receive_maximum=spec["receive_maximum"],
    )
    if settings.workers > 1:
        work: Any = Workers(
            broker, settings, Plant(), data_dir, prepare=partial(configure_logs, "error")
        )
    else:
        journal = Journal(journal_path(data_dir))
        work = Subscriber(broker, settings, Plant(), journal, SystemClock())
        work.warm_up()
        if "influx" in spec:
            forwarder = Forwarder(InfluxSettings(**spec["influx"]), data_dir, SystemClock())
            journal.tail = forwarder.tail_of(journal.path)
            forwarder.start()
    spare_collector()
    started_cpu_s = time.process_time()
    if settings.workers > 1:
        started_cpu_s *= 1 + settings.workers  # each of them loads what is loaded here
    work.start(10)
    until = time.time() + DEADLINE_S
    while time.time() < until:
        if work.stats().stored >= spec["messages"]:
            break
        time.sleep(0.01)
    last = time.time()
    if "influx" in spec:
        forwarder.drain(DEADLINE_S)
    forwarded = time.time()
    peak = peak_mib()
    work.stop()
    if "influx" in spec:
        forwarder.close()
    stored = work.stats().stored
    return {
        "first": first_arrival(data_dir),
        "last": last,
        "forwarded": forwarded,
        "stored": stored,
        "peak_mib": peak,
        "start_cpu_s": started_cpu_s,
    }


def peak_mib(pid: int | None = None) -> float:
    """The most memory a process and its children have used so far, in MiB.

    Not from getrusage: its figure starts at what the parent used when it forked.
    """
    parent = psutil.Process(pid)
    total = 0
    for process in (parent, *parent.children(recursive=True)):
        with contextlib.suppress(OSError, StopIteration):  # one that has just ended
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            total += int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return round(total / 1024, 1)


def first_arrival(data_dir: Path) -> float:
    """When the first message was taken, whichever worker took it."""
    from store.schema import connect, journal_files

    moments = []
    for file in journal_files(data_dir):
        db = connect(file, read_only=True)
        moments += [
            row[0] / 1000 for row in db.execute("select min(received) from reading") if row[0]
        ]
        db.close()
    return min(moments, default=0.0)


def forward(spec: dict[str, Any]) -> dict[str, Any]:
    """The journal's forwarder to InfluxDB, until everything has arrived."""
    from plant.clock import SystemClock
    from store.forwarder import Forwarder
    from store.settings import InfluxSettings

    forwarder = Forwarder(InfluxSettings(**spec["influx"]), Path(spec["data_dir"]), SystemClock())
    spare_collector()
    started_cpu_s = time.process_time()
    first = time.time()
    forwarder.start()
    forwarder.drain(DEADLINE_S)
    forwarded = time.time()
    forwarder.close()
    return {"first": first, "forwarded": forwarded, "start_cpu_s": started_cpu_s}


if __name__ == "__main__":
    configure_logs("error")
    spec = json.loads(sys.argv[2])
    cases = {"paho": paho, "raw_socket": raw_socket, "journal": journal, "forward": forward}
    said = cases[sys.argv[1]](spec)
    print(json.dumps({"peak_mib": peak_mib(), **said}))

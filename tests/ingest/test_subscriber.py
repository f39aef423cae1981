"""Against a real broker: what was acknowledged to the publisher is in the journal, once."""

from __future__ import annotations

import itertools
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import orjson
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from ingest.client import secure
from ingest.retire import retire_workers
from ingest.settings import BrokerSettings, IngestSettings
from ingest.sparkplug_message import Payload
from ingest.subscriber import Subscriber
from ingest.workers import Workers, worker_journal
from plant.asset import AssetPath
from plant.clock import SystemClock
from plant.config import Plant
from plant.errors import BrokerError, StoreError
from plant.reading import Reading
from plant.topics import BRIDGE_HEALTH
from store import schema
from store.journal import Batch, Journal
from store.quarantine import Quarantine
from tests.servers import Mosquitto, free_port
from vigie.servers import EmbeddedBroker

T0 = 1_763_800_000_000
_numbers = itertools.count()


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


class Publisher:
    """A patient device: QoS 1, tells what the broker has acknowledged."""

    def __init__(self, port: int, protocol: mqtt.MQTTProtocolVersion = mqtt.MQTTv5) -> None:
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=f"device-{next(_numbers)}", protocol=protocol
        )
        self.client.max_inflight_messages_set(100)
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port, 30)
        self.client.loop_start()

    def send(self, topic: str, *payloads: bytes, retain: bool = False, qos: int = 1) -> None:
        wait_until(self.client.is_connected)
        infos = [
            self.client.publish(topic, payload, qos=qos, retain=retain) for payload in payloads
        ]
        for info in infos:
            info.wait_for_publish(20)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def telemetry(ts: int, **values: float) -> bytes:
    return orjson.dumps({"ts": ts, "values": values or {"a": 1.0}})


def stored(journal: Journal) -> list[tuple[str, int, dict[str, float]]]:
    return stored_in(journal.path)


def stored_in(path: Path) -> list[tuple[str, int, dict[str, float]]]:
    db = schema.connect(path, read_only=True)
    sets = {
        i: schema.signal_set_names(n) for i, n in db.execute("select id, names from signal_set")
    }
    rows = db.execute(
        "select path, ts, signals, vals from reading join asset on asset.id = asset order by reading.id"
    ).fetchall()
    db.close()
    return [
        (path, ts, dict(zip(sets[signals], np.frombuffer(vals).tolist(), strict=True)))
        for path, ts, signals, vals in rows
    ]


@pytest.fixture
def root() -> str:
    """A topic root of one's own on the shared broker."""
    return f"root{next(_numbers)}"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(schema.journal_path(tmp_path))
    yield journal
    journal.close()


@pytest.fixture
def subscribe(journal: Journal, root: str):
    """Start subscribers that end with the test."""
    started: list[Subscriber] = []

    def start(port: int, protocol: str = "5", **settings) -> Subscriber:
        broker = BrokerSettings(port=port, client_id=root, protocol=protocol)
        subscriber = Subscriber(
            broker, IngestSettings(**settings), Plant(root=root), journal, SystemClock()
        )
        subscriber.start(wait_s=10)
        started.append(subscriber)
        return subscriber

    yield start
    for subscriber in started:
        subscriber.stop()


both_ways = pytest.mark.parametrize("receive", ["bulk", "stock"])


@both_ways
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_readings_and_events_reach_the_journal(
    mosquitto: Mosquitto, journal: Journal, subscribe, root: str, receive: str, protocol: str
) -> None:
    subscriber = subscribe(mosquitto.port, protocol, receive=receive)
    device = Publisher(mosquitto.port)
    device.send(f"{root}/s/l/p1/telemetry", *(telemetry(T0 + i, b=i, a=2.5) for i in range(300)))
    device.send(f"{root}/s/l/p1/event", orjson.dumps({"ts": T0, "kind": "stop"}))
    device.send(f"{root}/s/l/p1/telemetry", b"nonsense")
    device.send(f"{root}/s/l/p2/telemetry", telemetry(T0, c=1), qos=0)
    device.send(f"{root}/s/l/p3/telemetry", telemetry(T0, c=1), qos=2)
    wait_until(lambda: subscriber.stats().received == 304)
    device.close()
    subscriber.stop()
    stats = subscriber.stats()
    assert (stats.stored, stats.events, stats.rejected) == (302, 1, {"json": 1})
    rows = stored(journal)
    from_p1 = [row for row in rows if row[0] == "s/l/p1"]
    assert from_p1 == [("s/l/p1", T0 + i, {"a": 2.5, "b": float(i)}) for i in range(300)]
    assert {path for path, _, _ in rows} == {"s/l/p1", "s/l/p2", "s/l/p3"}
    (item,) = Quarantine(journal.path).items()
    assert (item.topic_text, item.payload) == (f"{root}/s/l/p1/telemetry", b"nonsense")


@both_ways
def test_what_was_sent_while_down_comes_later(
    mosquitto: Mosquitto, journal: Journal, subscribe, root: str, receive: str
) -> None:
    subscribe(mosquitto.port, receive=receive).stop()
    device = Publisher(mosquitto.port)
    device.send(f"{root}/s/l/p/telemetry", *(telemetry(T0 + i) for i in range(500)))
    device.close()
    subscriber = subscribe(mosquitto.port, receive=receive)
    wait_until(lambda: subscriber.stats().stored == 500)
    assert [ts for _, ts, _ in stored(journal)] == [T0 + i for i in range(500)]


@both_ways
def test_nothing_is_acknowledged_that_could_not_be_stored(
    mosquitto: Mosquitto, journal: Journal, subscribe, root: str, receive: str, monkeypatch
) -> None:
    commit, full = journal.commit, [True]

    def failing(batch: Batch):
        if full[0]:
            raise StoreError("the disk is full")
        return commit(batch)

    monkeypatch.setattr(journal, "commit", failing)
    subscriber = subscribe(mosquitto.port, receive=receive, retry_s=0.1)
    device = Publisher(mosquitto.port)
    said: list[dict] = []
    device.client.on_message = lambda _c, _d, message: said.append(orjson.loads(message.payload))
    device.client.subscribe(BRIDGE_HEALTH, 1)
    device.send(f"{root}/s/l/p/telemetry", *(telemetry(T0 + i) for i in range(200)))
    wait_until(lambda: bool(subscriber.stats().blocked))
    assert subscriber.stats().acknowledged == 0
    assert "disk is full" in subscriber.stats().blocked
    device.send(f"{root}/s/l/p/telemetry", *(telemetry(T0 + i) for i in range(200, 250)))
    full[0] = False
    wait_until(lambda: subscriber.stats().stored == 250)
    wait_until(lambda: subscriber.stats().acknowledged == 250)
    assert subscriber.stats().blocked == ""
    assert sorted(ts for _, ts, _ in stored(journal)) == [T0 + i for i in range(250)]
    wait_until(lambda: bool(said) and said[-1]["status"] == "ok")
    assert "disk is full" in next(m for m in said if m["status"] == "error")["problem"]
    device.client.on_message = None
    device.send(BRIDGE_HEALTH, b"", retain=True)
    device.close()


def test_retained_messages_older_than_what_is_stored_change_nothing(
    mosquitto: Mosquitto, journal: Journal, subscribe, root: str
) -> None:
    journal.commit(Batch([Reading(AssetPath("s", "l", "p"), T0, {"a": 1.0}, received_ms=T0)]))
    device = Publisher(mosquitto.port)
    device.send(f"{root}/s/l/p/telemetry", telemetry(T0 - 1000, a=9), retain=True)
    device.send(f"{root}/s/l/p/telemetry/a", b"9", retain=True)
    device.send(f"{root}/s/l/q/telemetry", telemetry(T0 - 1000, a=7), retain=True)
    subscriber = subscribe(mosquitto.port)
    wait_until(lambda: subscriber.stats().received == 3)
    wait_until(lambda: subscriber.stats().stored == 1)
    assert subscriber.stats().stale == 2
    assert stored(journal)[-1] == ("s/l/q", T0 - 1000, {"a": 7.0})
    device.close()


def test_a_missing_broker_is_one_clear_error(journal: Journal) -> None:
    port = free_port()
    subscriber = Subscriber(
        BrokerSettings(port=port), IngestSettings(), Plant(), journal, SystemClock()
    )
    with pytest.raises(BrokerError, match=f"127.0.0.1:{port} cannot be used"):
        subscriber.start(wait_s=0.5)


@both_ways
def test_a_killed_broker_loses_nothing(
    own_mosquitto: Mosquitto, journal: Journal, subscribe, root: str, receive: str
) -> None:
    subscriber = subscribe(own_mosquitto.port, receive=receive)
    device = Publisher(own_mosquitto.port)
    sent = 0
    for _ in range(2):
        device.send(f"{root}/s/l/p/telemetry", *(telemetry(T0 + sent + i) for i in range(100)))
        sent += 100
        time.sleep(
            1.1
        )  # the broker writes its state once a second: what it acknowledged is on disk
        own_mosquitto.kill()
        own_mosquitto.start()
        wait_until(lambda: subscriber.stats().connected)
    device.send(f"{root}/s/l/p/telemetry", telemetry(T0 + sent))
    wait_until(lambda: len(stored(journal)) == sent + 1)
    assert subscriber.stats().epoch == 3
    device.close()


def test_the_demo_broker_is_enough_to_look_at_vigie(
    journal: Journal, subscribe, root: str, tmp_path: Path
) -> None:
    with EmbeddedBroker(directory=tmp_path / "amqtt") as broker:
        subscriber = subscribe(broker.port, "3.1.1")
        device = Publisher(broker.port, mqtt.MQTTv311)
        device.send(f"{root}/s/l/p/telemetry", *(telemetry(T0 + i) for i in range(200)))
        wait_until(lambda: subscriber.stats().stored == 200)
        device.close()
        subscriber.stop()


@both_ways
def test_an_unknown_sparkplug_node_is_asked_for_its_births(
    mosquitto: Mosquitto, journal: Journal, subscribe, root: str, receive: str
) -> None:
    subscriber = subscribe(mosquitto.port, receive=receive, sparkplug_groups=(root,))
    device = Publisher(mosquitto.port)
    commands: list[bytes] = []
    device.client.on_message = lambda _c, _d, message: commands.append(message.payload)
    device.client.subscribe(f"spBv1.0/{root}/NCMD/press", 1)
    data = Payload(timestamp=T0, seq=5)
    data.metrics.add(alias=1, double_value=7.5, timestamp=T0)
    device.send(f"spBv1.0/{root}/NDATA/press", data.SerializeToString())
    wait_until(lambda: bool(commands))
    birth = Payload(timestamp=T0, seq=0)
    birth.metrics.add(name="Speed", alias=1, datatype=10, double_value=7.0, timestamp=T0)
    data.seq = 1
    data.metrics[0].timestamp = T0 + 1
    device.send(f"spBv1.0/{root}/NBIRTH/press", birth.SerializeToString())
    device.send(f"spBv1.0/{root}/NDATA/press", data.SerializeToString())
    wait_until(lambda: subscriber.stats().stored == 2)
    assert stored(journal) == [
        (f"{root}/press/press", T0, {"Speed": 7.0}),
        (f"{root}/press/press", T0 + 1, {"Speed": 7.5}),
    ]
    assert subscriber.stats().rejected == {"sparkplug_no_birth": 1}
    assert subscriber.stats().sparkplug["rebirth_requests"] == 1
    device.close()


def test_workers_share_the_load_and_each_has_its_journal(
    mosquitto: Mosquitto, root: str, tmp_path: Path
) -> None:
    broker = BrokerSettings(port=mosquitto.port, client_id=root)
    workers = Workers(broker, IngestSettings(workers=2), Plant(root=root), tmp_path)
    workers.start(wait_s=20)
    device = Publisher(mosquitto.port)
    device.send(f"{root}/s/l/p/telemetry", *(telemetry(T0 + i) for i in range(400)))
    wait_until(lambda: workers.stats().stored == 400)
    first, _ = workers._processes[0]
    first.kill()  # it is started again and goes on where its session stands
    device.send(f"{root}/s/l/p/telemetry", *(telemetry(T0 + i) for i in range(400, 800)))
    device.close()
    files = [worker_journal(tmp_path, worker) for worker in range(2)]

    def times() -> set[int]:
        return {ts for file in files for _, ts, _ in stored_in(file)}

    wait_until(lambda: len(times()) == 800)
    workers.stop()
    assert all(stored_in(file) for file in files)
    assert sum(len(stored_in(file)) for file in files) == 800


def test_a_worker_less_leaves_nothing_behind(
    mosquitto: Mosquitto, root: str, tmp_path: Path
) -> None:
    broker = BrokerSettings(port=mosquitto.port, client_id=root)
    two, one = IngestSettings(workers=2), IngestSettings(workers=1)
    plant = Plant(root=root)
    workers = Workers(broker, two, plant, tmp_path)
    workers.start(wait_s=20)
    workers.stop()
    device = Publisher(mosquitto.port)
    device.send(f"{root}/s/l/p/telemetry", *(telemetry(T0 + i) for i in range(100)))
    waiting = retire_workers(broker, one, plant, tmp_path, SystemClock())
    assert 0 < waiting < 100  # what the broker had dealt to the second worker
    assert retire_workers(broker, one, plant, tmp_path, SystemClock()) == 0
    journal = Journal(worker_journal(tmp_path, 0))
    subscriber = Subscriber(broker, one, plant, journal, SystemClock())
    subscriber.start(wait_s=10)
    device.send(f"{root}/s/l/p/telemetry", *(telemetry(T0 + i) for i in range(100, 200)))
    wait_until(lambda: subscriber.stats().received == 200 - waiting)
    subscriber.stop()
    journal.close()
    device.close()
    times = [ts for worker in (0, 1) for _, ts, _ in stored_in(worker_journal(tmp_path, worker))]
    assert sorted(times) == [T0 + i for i in range(200)]


TLS = Path(__file__).parent / "tls"


@both_ways
def test_tls_and_a_password(journal: Journal, root: str, tmp_path: Path, receive: str) -> None:
    """The certificate in tests/ingest/tls is for loopback only and valid for a hundred years."""
    port = free_port()
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), "vigie", "secret"], check=True)
    passwords.chmod(0o600)
    (tmp_path / "password").write_text("secret\n")
    config = "\n".join(
        [
            f"listener {port} 127.0.0.1", "allow_anonymous false", f"password_file {passwords}",
            f"certfile {TLS / 'cert.pem'}", f"keyfile {TLS / 'key.pem'}",
        ]
    )  # fmt: skip
    broker = {"port": port, "client_id": root, "ca_file": TLS / "cert.pem", "username": "vigie"}
    with Mosquitto(tmp_path / "broker", port, config=config):
        good = BrokerSettings(**broker, password_file=tmp_path / "password")
        settings = IngestSettings(receive=receive)
        subscriber = Subscriber(good, settings, Plant(root=root), journal, SystemClock())
        subscriber.start(wait_s=10)
        device = Publisher.__new__(Publisher)
        device.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        secure(device.client, good)
        device.client.connect("127.0.0.1", port)
        device.client.loop_start()
        device.send(f"{root}/s/l/p/telemetry", *(telemetry(T0 + i, a=1) for i in range(3000)))
        wait_until(lambda: subscriber.stats().acknowledged == 3000)
        device.close()
        subscriber.stop()
        (tmp_path / "password").write_text("wrong\n")
        refused = Subscriber(good, settings, Plant(root=root), journal, SystemClock())
        with pytest.raises(BrokerError, match="username and password_file"):
            refused.start(wait_s=3)
    assert len(stored(journal)) == 3000


def test_every_reason_is_documented() -> None:
    root = Path(__file__).resolve().parents[2]
    documented = (root / "docs" / "ingest.md").read_text(encoding="utf-8")
    used: set[str] = set()
    for folder in ("ingest", "plant"):
        for file in (root / folder).glob("*.py"):
            text = file.read_text(encoding="utf-8")
            used.update(
                re.findall(r"(?:PayloadError|StampError|_UnknownMetricError)\(\s*\"(\w+)\"", text)
            )
    assert len(used) > 20
    assert {reason for reason in used if not re.search(rf"\b{reason}\b", documented)} == set()

"""The broker's retained topics equal the outbox, whatever happens to the broker."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.settings import BrokerSettings
from plant.errors import BrokerError
from plant.topics import BRIDGE_STATE
from serve.publisher import Publisher
from serve.settings import PublishSettings
from tests.serve.mqtt import Listener, wait_until
from tests.servers import Mosquitto, free_port
from vigie.servers import EmbeddedBroker

pytestmark = pytest.mark.mosquitto


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A Mosquitto without persistence: a restart forgets everything retained."""
    server = Mosquitto(directory=tmp_path / "broker")
    with server.start():
        yield server


def settings_for(port: int, client_id: str = "t") -> BrokerSettings:
    return BrokerSettings(host="127.0.0.1", port=port, client_id=client_id, connect_timeout_s=2)


def many(n: int, payload: bytes = b"x") -> list[tuple[str, bytes]]:
    return [(f"plant/s/l/a{i}/risk", payload + b"%d" % i) for i in range(n)]


def test_what_is_put_is_retained(broker: Mosquitto, tmp_path: Path) -> None:
    publisher = Publisher(settings_for(broker.port), tmp_path / "outbox.sqlite")
    publisher.start(wait_s=10)
    publisher.put(many(300))
    assert publisher.wait_idle(20)
    with Listener(broker.port) as late:
        late.wait(lambda latest: len(latest) >= 301)
        assert late.latest["plant/s/l/a7/risk"] == b"x7"
        assert late.latest[BRIDGE_STATE] == b"online"
        assert all(retained for _, _, retained in late.heard)
    stats = publisher.stats()
    assert stats.most_in_flight <= 20
    assert stats.acknowledged == 301
    publisher.stop()


def test_a_restarted_broker_without_memory_gets_everything_again(
    broker: Mosquitto, tmp_path: Path
) -> None:
    publisher = Publisher(settings_for(broker.port), tmp_path / "outbox.sqlite")
    publisher.start(wait_s=10)
    publisher.put(many(200, b"old"))
    assert publisher.wait_idle(20)
    broker.kill()
    wait_until(lambda: not publisher.stats().connected)
    publisher.put(many(100, b"new"))  # while nobody listens
    publisher.put(many(50, b"newest"))
    broker.start()
    wait_until(lambda: publisher.stats().connections == 2)
    assert publisher.wait_idle(20)
    with Listener(broker.port, "plant/#") as late:
        late.wait(lambda latest: len(latest) == 200)
        expected = dict(many(200, b"old")) | dict(many(100, b"new")) | dict(many(50, b"newest"))
        assert late.latest == expected
    assert publisher.stats().most_in_flight <= 20
    publisher.stop()


def test_unchanged_payloads_are_not_sent_again_but_heartbeats_are(
    broker: Mosquitto, tmp_path: Path
) -> None:
    publisher = Publisher(settings_for(broker.port), tmp_path / "outbox.sqlite")
    publisher.start(wait_s=10)
    with Listener(broker.port, "plant/#") as listener:
        for repeat in (False, False, True):
            publisher.put([("plant/x", b"1")], repeat=repeat)
            assert publisher.wait_idle(10)
        publisher.put([("plant/y", b"end")])
        listener.wait_for("plant/y")
        assert [topic for topic, _, _ in listener.heard] == ["plant/x", "plant/x", "plant/y"]
    publisher.stop()


def test_an_empty_payload_clears_a_topic_for_good(broker: Mosquitto, tmp_path: Path) -> None:
    publisher = Publisher(settings_for(broker.port), tmp_path / "outbox.sqlite")
    publisher.start(wait_s=10)
    publisher.put([("plant/x", b"1"), ("plant/y", b"1")])
    publisher.put([("plant/x", b"")])
    assert publisher.wait_idle(10)
    with Listener(broker.port, "plant/#") as late:
        late.wait_for("plant/y")
        assert "plant/x" not in late.latest
    publisher.stop()


def test_a_clean_stop_says_offline(broker: Mosquitto, tmp_path: Path) -> None:
    publisher = Publisher(settings_for(broker.port), tmp_path / "outbox.sqlite")
    publisher.start(wait_s=10)
    publisher.put([("plant/x", b"last words")])
    with Listener(broker.port) as listener:
        listener.wait_for(BRIDGE_STATE, b"online")
        publisher.stop()
        listener.wait_for(BRIDGE_STATE, b"offline")
        assert listener.latest["plant/x"] == b"last words"


_VICTIM = """
import sys, time
from pathlib import Path
from ingest.settings import BrokerSettings
from serve.publisher import Publisher
publisher = Publisher(BrokerSettings(port=int(sys.argv[1]), client_id="victim"), Path(sys.argv[2]))
publisher.start(wait_s=10)
publisher.put([(f"plant/s/l/a{i}/risk", b"v") for i in range(50)])
print("up", file=sys.stderr, flush=True)
time.sleep(60)
"""


def test_a_killed_process_leaves_its_last_will_and_its_successor_goes_on(
    broker: Mosquitto, tmp_path: Path
) -> None:
    outbox = tmp_path / "outbox.sqlite"
    with (
        Listener(broker.port) as listener,
        subprocess.Popen(
            [sys.executable, "-c", _VICTIM, str(broker.port), str(outbox)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as victim,
    ):
        assert victim.stderr is not None
        assert victim.stderr.readline().strip() == "up"
        listener.wait_for(BRIDGE_STATE, b"online")
        victim.kill()
        listener.wait_for(BRIDGE_STATE, b"offline")
        successor = Publisher(settings_for(broker.port, "victim"), outbox)
        successor.start(wait_s=10)
        assert successor.wait_idle(10)
        listener.wait_for(BRIDGE_STATE, b"online")
        listener.wait(lambda latest: len([t for t in latest if t.startswith("plant/")]) == 50)
        successor.stop()


def test_a_service_that_makes_no_steps_shows_as_offline(broker: Mosquitto, tmp_path: Path) -> None:
    publisher = Publisher(
        settings_for(broker.port), tmp_path / "outbox.sqlite", PublishSettings(silent_after_s=1.0)
    )
    publisher.start(wait_s=10)
    with Listener(broker.port) as listener:
        listener.wait_for(BRIDGE_STATE, b"offline")
        publisher.beat()
        listener.wait_for(BRIDGE_STATE, b"online")
    publisher.stop()


def test_commands_arrive_once_and_wait_for_a_process_that_is_down(
    broker: Mosquitto, tmp_path: Path
) -> None:
    def listening() -> Publisher:
        publisher = Publisher(
            settings_for(broker.port),
            tmp_path / "outbox.sqlite",
            filters=("vigie/bridge/request/+",),
        )
        publisher.start(wait_s=10)
        return publisher

    publisher = listening()
    with Listener(broker.port) as person:
        person.publish("vigie/bridge/request/assets", b"{}", retain=True)  # ignored next time
        wait_until(lambda: publisher._link is not None and not publisher._link.inbound.empty())
        (first,) = publisher.commands()
        first.acknowledge()
        person.publish("vigie/bridge/request/ack", b"unfinished")
        wait_until(lambda: publisher._link is not None and not publisher._link.inbound.empty())
        publisher.commands()  # taken, but never acknowledged: the process dies
        publisher.stop()
        person.publish("vigie/bridge/request/ack", b"while down")
        publisher = listening()
        heard: list[bytes] = []

        def both() -> bool:
            for command in publisher.commands():
                heard.append(command.payload)
                command.acknowledge()
            return len(heard) >= 2

        wait_until(both)
        assert heard == [b"unfinished", b"while down"]
        person.publish("vigie/bridge/request/assets", b"", retain=True)
    publisher.stop()


def test_the_embedded_broker_without_mqtt_5_works_too(tmp_path: Path) -> None:
    with EmbeddedBroker(directory=tmp_path / "amqtt") as server:
        publisher = Publisher(settings_for(server.port), tmp_path / "outbox.sqlite")
        publisher.start(wait_s=20)
        publisher.put(many(60))
        assert publisher.wait_idle(20)
        with Listener(server.port, "plant/#", protocol=4) as late:
            late.wait(lambda latest: len(latest) == 60)
        publisher.send("vigie/bridge/response/assets", json.dumps({}).encode())
        publisher.stop()


def test_a_missing_broker_is_one_sentence(tmp_path: Path) -> None:
    publisher = Publisher(settings_for(free_port()), tmp_path / "outbox.sqlite")
    with pytest.raises(BrokerError, match="cannot be used"):
        publisher.start(wait_s=1)


def test_a_frozen_broker_is_given_up_and_found_again(broker: Mosquitto, tmp_path: Path) -> None:
    settings = settings_for(broker.port).model_copy(update={"keepalive_s": 1})
    publisher = Publisher(settings, tmp_path / "outbox.sqlite")
    publisher.start(wait_s=10)
    broker.freeze()
    publisher.put(many(40))
    wait_until(lambda: not publisher.stats().connected)
    broker.thaw()
    wait_until(lambda: publisher.stats().connected)
    assert publisher.wait_idle(20)
    assert publisher.stats().most_in_flight <= 20
    publisher.stop()


def test_wrong_credentials_are_one_sentence_and_right_ones_work(tmp_path: Path) -> None:
    port = free_port()
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "vigie", "secret"], check=True)
    passwords.chmod(0o644)
    config = f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\n"
    with Mosquitto(directory=tmp_path / "broker", port=port, config=config):
        refused = Publisher(settings_for(port), tmp_path / "a.sqlite")
        with pytest.raises(BrokerError, match="Not authorized"):
            refused.start(wait_s=2)
        secret = tmp_path / "secret"
        secret.write_text("secret\n")
        login = {"username": "vigie", "password_file": secret}
        publisher = Publisher(settings_for(port).model_copy(update=login), tmp_path / "b.sqlite")
        publisher.start(wait_s=10)
        publisher.put([("plant/x", b"1")])
        assert publisher.wait_idle(10)
        publisher.stop()
    missing = settings_for(port).model_copy(
        update={"username": "v", "password_file": tmp_path / "no"}
    )
    with pytest.raises(BrokerError, match="cannot be read"):
        Publisher(missing, tmp_path / "c.sqlite").start(wait_s=1)

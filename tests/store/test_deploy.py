"""The shipped configuration: the real broker runs with it, and holds everybody to their topics."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from tests.servers import Mosquitto, ServerMissingError

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
USERS = ("vigie", "operator", "cmms", "lyon/l1/pump-3")


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """The shipped mosquitto.conf with its paths and its port replaced, and fresh certificates."""
    if shutil.which("openssl") is None or shutil.which("mosquitto_passwd") is None:
        pytest.skip("SKIPPED FOR WANT OF openssl or mosquitto_passwd: run `make servers`")
    place = tmp_path_factory.mktemp("broker")
    for folder in ("certs", "data", "config"):
        (place / folder).mkdir()
    run(
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        "-keyout", place / "certs/server.key", "-out", place / "certs/server.crt",
        "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
    )  # fmt: skip
    shutil.copy(place / "certs/server.crt", place / "certs/ca.crt")
    shutil.copy(DEPLOY / "mosquitto/acl", place / "config/acl")
    (place / "config/passwords").write_text("")
    for user in USERS:
        run("mosquitto_passwd", "-b", place / "config/passwords", user, "secret")
    config = (DEPLOY / "mosquitto/mosquitto.conf").read_text().replace("/mosquitto/", f"{place}/")
    try:
        server = Mosquitto(place)
    except ServerMissingError as error:
        pytest.skip(f"SKIPPED FOR WANT OF A SERVER: {error}")
    server.config = config.replace("listener 8883", f"listener {server.port} 127.0.0.1")
    with server:
        yield server


class Person:
    """A client that waits for the broker's word on everything."""

    def __init__(self, broker: Mosquitto, user: str, password: str = "secret") -> None:
        self._done = threading.Event()
        self._codes: list[ReasonCode] = []
        self.connected = False
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=f"id-{user}", protocol=mqtt.MQTTv5
        )
        self.client.username_pw_set(user, password)
        context = ssl.create_default_context(cafile=str(broker.directory / "certs/ca.crt"))
        self.client.tls_set_context(context)
        self._connected = threading.Event()
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *args: self._note(args[3])
        self.client.on_publish = lambda *args: self._note([args[3]])
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        assert self._connected.wait(10)

    def _on_connect(self, *args: Any) -> None:
        # This Mosquitto ends the connection after a refused publish; paho comes back by itself.
        self.connected = not args[3].is_failure
        self._connected.set()

    def _note(self, codes: list[ReasonCode]) -> None:
        self._codes = list(codes)
        self._done.set()

    def _wait(self) -> list[ReasonCode]:
        assert self._done.wait(10)
        self._done.clear()
        return self._codes

    def may_write(self, topic: str) -> bool:
        self.client.publish(topic, b"1", qos=1)
        return not self._wait()[0].is_failure

    def may_read(self, topic: str) -> bool:
        self.client.subscribe(topic, qos=1)
        return not self._wait()[0].is_failure

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.mark.mosquitto
def test_each_user_may_do_its_work_and_nothing_else(broker: Mosquitto) -> None:
    people = {user: Person(broker, user) for user in USERS}
    pump = "plant/lyon/l1/pump-3"
    writes = {
        "vigie": ([f"{pump}/risk", f"{pump}/risk/state", f"{pump}/alarm", "plant/lyon/l1/risk",
                   "vigie/bridge/state", "homeassistant/sensor/x/config"],
                  [f"{pump}/telemetry", f"{pump}/event", "other/topic"]),
        "operator": ([f"{pump}/alarm/ack", f"{pump}/alarm/shelve", "vigie/bridge/request/train"],
                     [f"{pump}/risk", f"{pump}/event", "vigie/bridge/state"]),
        "cmms": ([f"{pump}/event"], [f"{pump}/telemetry", f"{pump}/risk"]),
        "lyon/l1/pump-3": ([f"{pump}/telemetry", f"{pump}/telemetry/flow", f"{pump}/event"],
                           ["plant/lyon/l1/pump-4/telemetry", f"{pump}/risk"]),
    }  # fmt: skip
    for user, (allowed, denied) in writes.items():
        assert [t for t in allowed if not people[user].may_write(t)] == [], user
        assert [t for t in denied if people[user].may_write(t)] == [], user
    vigie = people["vigie"]
    for topic in ("plant/+/+/+/telemetry", "plant/+/+/+/telemetry/+", "plant/+/+/+/event",
                  "spBv1.0/#", "vigie/bridge/request/+"):  # fmt: skip
        assert vigie.may_read(topic), topic
        assert vigie.may_read(f"$share/vigie/{topic}"), topic
    for person in people.values():
        person.close()


@pytest.mark.mosquitto
def test_nobody_comes_in_without_the_right_password(broker: Mosquitto) -> None:
    for user, password in (("vigie", "wrong"), ("nobody", "secret")):
        person = Person(broker, user, password)
        assert not person.connected
        person.close()


def test_compose_names_what_is_there() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert set(compose["services"]) == {"mosquitto", "influxdb", "vigie"}
    assert compose["services"]["influxdb"]["image"] == "influxdb:2.7"
    for name, service in compose["services"].items():
        for secret in service.get("secrets", []):
            assert secret in compose["secrets"], (name, secret)
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./mosquitto"):
                assert (DEPLOY / source).exists(), source
            elif not source.startswith("."):
                assert source in compose["volumes"], source
    assert (DEPLOY / "Dockerfile").exists()
    copied = (DEPLOY / "Dockerfile").read_text()
    for package in (
        "plant",
        "store",
        "ingest",
        "features",
        "models",
        "serve",
        "simulator",
        "vigie",
    ):
        assert f"COPY {package} {package}" in copied


@pytest.mark.parametrize("script", ["servers", "influxd/build", "influxd/rustc-wrapper"])
def test_scripts_are_plain_shell(script: str) -> None:
    run("sh", "-n", DEPLOY / script)
    assert (DEPLOY / script).stat().st_mode & 0o100


def test_the_service_starts_a_command_that_exists() -> None:
    unit = (DEPLOY / "vigie.service").read_text()
    start = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    arguments = start.split()[1:]
    from vigie.cli import app

    names = {command.name for command in app.registered_commands}
    assert arguments[-1] in names

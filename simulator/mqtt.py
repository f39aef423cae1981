"""A paho client that never lets more messages lie unacknowledged than the broker can hold."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from plant.errors import BrokerError


@dataclass(frozen=True, slots=True)
class Broker:
    """Where to publish. `mqtt5` False speaks MQTT 3.1.1, which every broker knows."""

    host: str = "127.0.0.1"
    port: int = 1883
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    mqtt5: bool = False
    connect_timeout_s: float = 10.0

    @property
    def password(self) -> str | None:
        """The password, from its file; None when there is none."""
        return Path(self.password_file).read_text().strip() if self.password_file else None


class Publisher:
    """Publishes with QoS 0-2, in order, with at most `window` messages unacknowledged.

    will: topic and payload the broker publishes if this client dies. command: a topic to listen on, and
    what to do when something is said there or the connection was lost and is back (paho's thread).
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        *,
        qos: int = 1,
        window: int = 200,
        will: tuple[str, bytes] | None = None,
        command: tuple[str, Callable[[], None]] | None = None,
    ) -> None:
        self._command = command
        self._broker, self._qos, self._window = broker, qos, window
        protocol = mqtt.MQTTv5 if broker.mqtt5 else mqtt.MQTTv311
        clean = None if broker.mqtt5 else True
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id, clean_session=clean, protocol=protocol
        )
        # On every acknowledgement paho walks all messages in flight, so few in flight and more in its
        # queue cost half as much as all in flight; and 20 is what Mosquitto grants an MQTT 5 client.
        self._client.max_inflight_messages_set(min(window, 20))
        if broker.username:
            self._client.username_pw_set(broker.username, broker.password)
        if broker.ca_file:
            self._client.tls_set(broker.ca_file)
        if will is not None:
            self._client.will_set(*will, qos=1)
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        if command is not None:
            self._client.on_message = lambda *_: command[1]()
        self._connected, self._refused = threading.Event(), ""
        self._room, self._waiting = threading.Event(), False
        self.published = self.acknowledged = 0

    def _on_connect(
        self,
        client: mqtt.Client,
        userdata: object,
        flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._refused = str(reason) if reason.is_failure else ""
        if self._command is not None and not reason.is_failure:
            client.subscribe(self._command[0], qos=1)
            if self._connected.is_set():
                self._command[1]()
        self._connected.set()

    def _on_publish(self, *_: object) -> None:
        self.acknowledged += 1
        if self._waiting and self.outstanding * 2 <= self._window:
            self._room.set()

    def connect(self) -> None:
        """Connect and start the network thread. Raises BrokerError saying what to mend."""
        where = f"{self._broker.host}:{self._broker.port}"
        fix = "Start the broker or mend [broker] host and port."
        try:
            self._client.connect(self._broker.host, self._broker.port, keepalive=60)
        except OSError as error:
            raise BrokerError(f"no MQTT broker answers at {where}.", fix=fix) from error
        self._client.loop_start()
        if not self._connected.wait(self._broker.connect_timeout_s):
            self.close()
            raise BrokerError(f"the broker at {where} does not finish the connection.", fix=fix)
        if self._refused:
            self.close()
            raise BrokerError(
                f"the broker at {where} refuses the connection: {self._refused}.",
                fix="Mend username and password file.",
            )

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish, waiting for room first. Raises BrokerError when the broker is gone for a minute."""
        if self.outstanding >= self._window:
            self._wait_for_room()
        info = self._client.publish(topic, payload, self._qos, retain)
        self.published += 1
        if info.rc not in {MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN}:
            raise BrokerError(f"the message could not be published: {mqtt.error_string(info.rc)}.")

    def _wait_for_room(self) -> None:
        """Wait until half the window is free: waking up for every single message costs more."""
        self._room.clear()
        self._waiting = True
        if self.outstanding * 2 > self._window and not self._room.wait(60.0):
            raise BrokerError("the broker has not acknowledged anything for a minute.")
        self._waiting = False

    @property
    def outstanding(self) -> int:
        """Messages not acknowledged yet."""
        return self.published - self.acknowledged

    def drain(self, timeout_s: float = 30.0) -> None:
        """Wait until everything is acknowledged. Raises BrokerError when that takes too long."""
        deadline = time.monotonic() + timeout_s
        while self.outstanding > 0:
            if time.monotonic() > deadline:
                raise BrokerError(f"{self.outstanding} messages were never acknowledged.")
            time.sleep(0.002)

    def close(self) -> None:
        """Disconnect cleanly and stop the network thread."""
        self._client.disconnect()
        self._client.loop_stop()

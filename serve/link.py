"""One MQTT connection of the publisher, from connect to disconnect.

Each connection is a new paho client: its packet ids, its acknowledgements and its queue die with it,
so nothing of an old connection can be taken for news of the present one. paho's own thread moves the
bytes; its callbacks only put facts into queues, because paho holds its locks while it calls them.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ingest.client import secure
from ingest.settings import BrokerSettings
from plant.topics import BRIDGE_STATE

log = structlog.get_logger()

MAX_INBOUND_BYTES = 65_536
_UNSUPPORTED_VERSION = 0x84


@dataclass(frozen=True, slots=True)
class Inbound:
    """A command from the broker; acknowledge it when it has been carried out."""

    topic: str
    payload: bytes
    acknowledge: Callable[[], None]


class Link:
    """A connection: `wait_ready`, `send`, `acks`, `inbound`, `close`. Not reusable."""

    def __init__(
        self,
        broker: BrokerSettings,
        protocol: MQTTProtocolVersion,
        filters: tuple[str, ...],
        wake: threading.Event,
        max_in_flight: int,
    ) -> None:
        self.acks: queue.SimpleQueue[tuple[int, bool]] = queue.SimpleQueue()
        self.inbound: queue.Queue[Inbound] = queue.Queue(maxsize=1_000)
        self.protocol = protocol
        self.refusal = ""
        self.version_refused = False
        self.was_answered = False
        self._filters = filters
        self._wake = wake
        self._ready = threading.Event()
        self._closed = threading.Event()
        self._client = make_client(broker, f"{broker.client_id}-serve", protocol)
        self._client.manual_ack_set(True)
        self._client.max_inflight_messages_set(max_in_flight)
        self._client.will_set(BRIDGE_STATE, b"offline", qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        self._broker = broker

    @property
    def is_open(self) -> bool:
        """Tell whether the broker has accepted us and the connection still stands."""
        return self._ready.is_set() and not self._closed.is_set()

    def open(self, timeout_s: float) -> bool:
        """Connect and wait for the broker's answer; False when it refuses or does not answer.

        Raises OSError when it cannot be reached.
        """
        options: dict[str, Any] = {}
        if self.protocol == MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho
            properties.SessionExpiryInterval = self._broker.session_expiry_s
            options = {"clean_start": False, "properties": properties}
        self._client.connect(
            self._broker.host, self._broker.port, keepalive=self._broker.keepalive_s, **options
        )
        self._client.loop_start()
        self._ready.wait(timeout_s)
        return self.is_open

    def send(self, topic: str, payload: bytes, *, retain: bool) -> int | None:
        """Hand a message to paho; return its packet id, None when the connection is gone."""
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def close(self) -> None:
        """Say goodbye and end paho's thread, even if the broker no longer answers."""
        self._client.disconnect()
        if not self._closed.wait(2.0):
            sock = self._client.socket()
            if sock is not None:
                sock.close()
            self._closed.wait(2.0)
        if self._closed.is_set():
            self._client.loop_stop()

    # paho calls the following from its own thread.

    def _on_connect(
        self, _client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _props: Any
    ) -> None:
        self.was_answered = True
        if reason.is_failure:
            self.refusal = str(reason)
            self.version_refused = reason.value == _UNSUPPORTED_VERSION
            self._closed.set()
        else:
            for topic_filter in self._filters:
                self._client.subscribe(topic_filter, qos=1)
        self._ready.set()
        self._wake.set()

    def _on_disconnect(
        self, _client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _props: Any
    ) -> None:
        self.refusal = self.refusal or str(reason)
        self._closed.set()
        self._ready.set()
        self._wake.set()

    def _on_publish(
        self, _client: mqtt.Client, _data: Any, mid: int, reason: ReasonCode, _props: Any
    ) -> None:
        self.acks.put((mid, not reason.is_failure))
        self._wake.set()

    def _on_message(self, client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        mid, qos = message.mid, message.qos

        def acknowledge() -> None:
            # After a disconnect the packet id may mean another message; the broker sends this one again.
            if not self._closed.is_set():
                client.ack(mid, qos)

        if message.retain or len(message.payload) > MAX_INBOUND_BYTES:
            # A retained command would be carried out again at every connection.
            log.warning("command ignored", retained=message.retain, size=len(message.payload))
            acknowledge()
            return
        try:
            self.inbound.put_nowait(Inbound(message.topic, bytes(message.payload), acknowledge))
        except queue.Full:
            log.warning("command postponed", reason="1,000 are waiting")
        except UnicodeDecodeError:
            log.warning("command ignored", reason="its topic is not UTF-8")
            acknowledge()


def make_client(
    broker: BrokerSettings, client_id: str, protocol: MQTTProtocolVersion
) -> mqtt.Client:
    """Return a paho client with the broker's credentials and TLS. Raises BrokerError."""
    # The session stays at the broker, so that a command sent while Vigie restarts is not lost.
    options: dict[str, Any] = {}
    if protocol != MQTTProtocolVersion.MQTTv5:
        options["clean_session"] = False
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=protocol,
        reconnect_on_failure=False,
        **options,
    )
    secure(client, broker)
    return client

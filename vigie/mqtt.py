"""Short-lived MQTT connections of commands: to look whether the broker is there, and to listen."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from ingest.client import secure, unreachable
from ingest.settings import BrokerSettings
from simulator.mqtt import Broker


@contextmanager
def connected(
    broker: BrokerSettings,
    name: str,
    *,
    filters: tuple[str, ...] = (),
    see: Callable[[str, bytes], None] | None = None,
) -> Iterator[mqtt.Client]:
    """Yield a client the broker has accepted, subscribed to `filters` at QoS 1; leaves no session.

    `see` gets every message's topic and payload, in paho's thread. Raises BrokerError.
    """
    is_v5 = broker.protocol == "5"
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=f"{broker.client_id}-{name}-{os.getpid()}",
        protocol=mqtt.MQTTv5 if is_v5 else mqtt.MQTTv311,
        clean_session=None if is_v5 else True,
    )
    secure(client, broker)
    ready, refusal = threading.Event(), ["no answer"]
    pending: set[int] = set()

    def on_connect(_c: Any, _d: Any, _flags: Any, reason: ReasonCode, _p: Any) -> None:
        refusal[0] = str(reason) if reason.is_failure else ""
        for topic_filter in () if reason.is_failure else filters:
            _, mid = client.subscribe(topic_filter, qos=1)
            pending.add(mid or 0)
        if not pending:
            ready.set()

    def on_subscribe(_c: Any, _d: Any, mid: int, _reasons: Any, _p: Any) -> None:
        pending.discard(mid)
        if not pending:
            ready.set()

    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    if see is not None:
        client.on_message = lambda _c, _d, message: see(message.topic, bytes(message.payload))
    try:
        client.connect(broker.host, broker.port, broker.keepalive_s)
    except OSError as error:
        raise unreachable(broker, error.strerror or str(error)) from error
    client.loop_start()
    try:
        if not ready.wait(broker.connect_timeout_s) or refusal[0]:
            raise unreachable(broker, refusal[0])
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def player_broker(broker: BrokerSettings) -> Broker:
    """Return the same broker as the simulator's player wants it."""
    return Broker(
        host=broker.host,
        port=broker.port,
        username=broker.username,
        password_file=str(broker.password_file or ""),
        ca_file=str(broker.ca_file or ""),
        mqtt5=broker.protocol == "5",
        connect_timeout_s=broker.connect_timeout_s,
    )

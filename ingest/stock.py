"""Stock paho behind the calls of `BulkClient`: slower, and the measure of its correctness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode

from ingest.run import Message, Publish, single

_MOST_DRAINED = 65_536


def as_publish(message: mqtt.MQTTMessage) -> Publish:
    """Return paho's message as the sink takes it."""
    return Publish(
        message._topic,
        bytes(message.payload),
        message.mid.to_bytes(2, "big") if message.qos else b"",
        message.qos,
        message.retain,
        message.dup,
        message.properties,
    )


class StockClient(mqtt.Client):
    """Stock paho behind the same two calls as `BulkClient`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.on_publishes: Callable[[list[Message]], None] = lambda _: None
        self.on_message = self._on_one
        self._taken = 0
        self.drain_on_close = True
        self._closing = False

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Read messages while there are some, so that a commit can hold more than one."""
        rc = MQTTErrorCode.MQTT_ERR_SUCCESS
        for _ in range(256):
            before = self._taken
            rc = super().loop_read(max_packets)
            if rc or self._taken == before:
                break
        return rc

    def _loop_rc_handle(self, rc: MQTTErrorCode) -> MQTTErrorCode:
        if rc == MQTTErrorCode.MQTT_ERR_PROTOCOL:
            self.drain_on_close = False  # what follows a malformed packet cannot be told apart
        return super()._loop_rc_handle(rc)

    def _sock_close(self) -> None:
        """Close, but first take the messages that have already arrived, as `BulkClient` does."""
        if self.drain_on_close and self._sock is not None and not self._closing:
            self._closing = True
            for _ in range(_MOST_DRAINED):
                if self._sock is None or self._packet_read():
                    break
            self._closing = False
        super()._sock_close()

    def _on_one(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._taken += 1
        self.on_publishes([as_publish(message)])

    def ack_many(self, messages: Sequence[Message]) -> None:
        """Acknowledge stored messages one by one."""
        for publish in single(messages):
            if publish.qos:
                self.ack(int.from_bytes(publish.mid, "big"), publish.qos)

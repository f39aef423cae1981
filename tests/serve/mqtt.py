"""A listener that remembers what it hears, for tests against a real broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


class Listener:
    """Subscribes to everything; `latest` by topic, `heard` in order, `publish` for commands."""

    def __init__(self, port: int, topic_filter: str = "#", protocol: int = 5) -> None:
        self.latest: dict[str, bytes] = {}
        self.heard: list[tuple[str, bytes, bool]] = []
        self._lock = threading.Lock()
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=protocol)  # type: ignore[arg-type]
        self._client.on_connect = lambda *_: self._client.subscribe(topic_filter, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(10)

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        with self._lock:
            self.heard.append((message.topic, message.payload, message.retain))
            self.latest[message.topic] = message.payload

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)

    def wait(self, condition: Callable[[dict[str, bytes]], Any], timeout_s: float = 20.0) -> Any:
        deadline = time.monotonic() + timeout_s
        while True:
            with self._lock:
                found = condition(dict(self.latest))
            if found:
                return found
            assert time.monotonic() < deadline, f"not heard in {timeout_s} s: {sorted(self.latest)}"
            time.sleep(0.02)

    def wait_for(self, topic: str, payload: bytes | None = None) -> bytes:
        self.wait(lambda latest: topic in latest and payload in {None, latest[topic]})
        return self.latest[topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def wait_until(condition: Callable[[], Any], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)

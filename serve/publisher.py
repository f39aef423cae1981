"""Keeps the broker's retained topics equal to the outbox, whatever happens to broker or network.

Everything retained goes through the durable outbox; at most `max_in_flight` messages are sent and
not yet acknowledged; on every connection all of it is sent again, because the broker may have
forgotten. `vigie/bridge/state` is `online` while connected and stepping, `offline` by last will, on a
clean stop, and when the service has stopped making steps.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
from paho.mqtt.enums import MQTTProtocolVersion

from ingest.settings import BrokerSettings
from plant.errors import BrokerError
from plant.topics import BRIDGE_STATE
from serve.link import Inbound, Link
from serve.outbox import Outbox
from serve.settings import PublishSettings

log = structlog.get_logger()

_GOODBYE_S = 10.0
_PROBE_S = 3.0
_MAX_BACKOFF_S = 30.0
_MAX_RESPONSES = 1_000


@dataclass(frozen=True, slots=True)
class PublisherStats:
    """Counters since start; `waiting` and `in_flight` are of this moment."""

    connected: bool = False
    connections: int = 0
    acknowledged: int = 0
    refused: int = 0
    waiting: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    last_error: str = ""


class Publisher:
    """Retained topics through a durable outbox. `start`, `put`, `send`, `beat`, `commands`, `stop`."""

    def __init__(
        self,
        broker: BrokerSettings,
        outbox_path: Path,
        settings: PublishSettings | None = None,
        *,
        filters: tuple[str, ...] = (),
    ) -> None:
        """Open the outbox; `filters` are the topics commands arrive on."""
        self._broker = broker
        self._settings = settings or PublishSettings()
        self._filters = filters
        self._outbox = Outbox(outbox_path)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._idle = threading.Event()
        self._dirty: OrderedDict[str, None] = OrderedDict()
        self._responses: deque[tuple[str, bytes]] = deque(maxlen=_MAX_RESPONSES)
        self._in_flight: dict[int, tuple[str, int]] = {}
        self._link: Link | None = None
        self._protocol = (
            MQTTProtocolVersion.MQTTv5 if broker.protocol == "5" else MQTTProtocolVersion.MQTTv311
        )
        self._proven = False
        self._closed = False
        self._stats = PublisherStats()
        self._last_beat = time.monotonic()
        self._said = ""
        self._thread: threading.Thread | None = None

    def start(self, wait_s: float = 0.0) -> None:
        """Begin to publish in the background.

        With `wait_s`, raises BrokerError when the broker has not accepted us by then.
        """
        self.beat()
        self._thread = threading.Thread(target=self._run, name="vigie-publisher", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + wait_s
        while wait_s and not self._stats.connected:
            if time.monotonic() > deadline:
                reason = self._stats.last_error or "no answer"
                self.stop()
                raise BrokerError(
                    f"the MQTT broker {self._broker.host}:{self._broker.port} cannot be used ({reason}).",
                    fix="Check [broker] in vigie.toml and that the broker runs.",
                )
            time.sleep(0.02)

    def listen(self, filters: tuple[str, ...]) -> None:
        """Take commands on these topics too; before `start`."""
        self._filters = (*self._filters, *filters)

    def put(self, items: Iterable[tuple[str, bytes]], *, repeat: bool = False) -> None:
        """Make these the latest retained payloads; an empty one clears its topic.

        Unchanged ones are not sent again, unless `repeat` (a heartbeat) asks for it.
        """
        if self._closed:
            return
        pairs = list(items)
        changed = self._outbox.put_many(pairs)
        with self._lock:
            for topic in [topic for topic, _ in pairs] if repeat else changed:
                self._dirty[topic] = None
                self._dirty.move_to_end(topic)
            self._idle.clear()
        self._wake.set()

    def send(self, topic: str, payload: bytes) -> None:
        """Send one message that is not retained, once; while there is no connection it is dropped."""
        with self._lock:
            if self._stats.connected:
                self._responses.append((topic, payload))
                self._idle.clear()
        self._wake.set()

    def beat(self) -> None:
        """Say that the pipeline is alive; without it the bridge's state becomes offline."""
        self._last_beat = time.monotonic()

    def commands(self) -> list[Inbound]:
        """Return the commands that have arrived; acknowledge each when it is done."""
        link = self._link
        found: list[Inbound] = []
        while link is not None and not link.inbound.empty():
            found.append(link.inbound.get_nowait())
        return found

    def stats(self) -> PublisherStats:
        """Return the counters."""
        with self._lock:
            return replace(
                self._stats,
                waiting=len(self._dirty) + len(self._responses),
                in_flight=len(self._in_flight),
            )

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until the broker has acknowledged everything; tell whether it has."""
        return self._idle.wait(timeout_s)

    def stop(self, timeout_s: float = 5.0) -> None:
        """Send what is left, say offline, disconnect. A clean stop: the last will stays unused.

        Twice is harmless; what is put afterwards is dropped.
        """
        if self._closed:
            return
        self._closed = True
        if self._thread is not None:
            if self._stats.connected:
                self._idle.wait(timeout_s)
            self._stopping.set()
            self._wake.set()
            self._thread.join(timeout_s + _GOODBYE_S)
            self._thread = None
        self._outbox.close()

    def _run(self) -> None:
        backoff_s = 0.5
        while not self._stopping.is_set():
            try:
                if self._connect_and_pump():
                    backoff_s = 0.5
            except (OSError, BrokerError) as error:
                self._note_error(str(error))
            except Exception as error:  # whatever breaks, the thread must live and say so
                log.exception("publisher failed; reconnecting")
                self._note_error(str(error))
            if self._stopping.wait(backoff_s):
                break
            backoff_s = min(2 * backoff_s, _MAX_BACKOFF_S)

    def _connect_and_pump(self) -> bool:
        """Live through one connection; tell whether the broker had accepted it."""
        link = Link(
            self._broker,
            self._protocol,
            self._filters,
            self._wake,
            self._settings.max_in_flight,
        )
        try:
            patience_s = self._broker.connect_timeout_s
            if not self._proven and self._protocol == MQTTProtocolVersion.MQTTv5:
                patience_s = min(patience_s, _PROBE_S)
            if not link.open(patience_s):
                self._note_error(link.refusal or "the broker does not answer")
                self._choose_version(link)
                return False
            self._proven = True
            self._connected(link)
            while link.is_open:
                self._pump(link)
                if self._stopping.is_set():
                    self._farewell(link)
                    break
                self._wake.wait(0.25)
                self._wake.clear()
            return True
        finally:
            self._disconnected(link)
            link.close()

    def _choose_version(self, link: Link) -> None:
        """After a failed attempt try the other MQTT version, until one has worked once.

        A broker of 3.1.1 refuses MQTT 5 when it is well made, and is silent or hangs up when not.
        """
        if self._broker.protocol != "5" or self._proven:
            return
        if link.refusal and not link.version_refused and link.was_answered:
            return  # it understood us and refuses for another reason
        newer, older = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
        self._protocol = older if self._protocol == newer else newer

    def _connected(self, link: Link) -> None:
        with self._lock:
            self._in_flight.clear()
            self._dirty = OrderedDict.fromkeys(self._outbox.topics())
            self._link = link
            self._stats = replace(
                self._stats, connected=True, connections=self._stats.connections + 1, last_error=""
            )
        self._said = ""
        log.info("publisher connected", topics=len(self._dirty))

    def _disconnected(self, link: Link) -> None:
        with self._lock:
            was = self._stats.connected
            self._link = None
            self._in_flight.clear()
            self._responses.clear()
            self._stats = replace(self._stats, connected=False)
        if was and not self._stopping.is_set():
            log.warning("publisher disconnected", reason=link.refusal)

    def _pump(self, link: Link) -> None:
        """Take the acknowledgements, then fill the places that are free."""
        self._collect(link)
        silent = time.monotonic() - self._last_beat > self._settings.silent_after_s
        state = "offline" if silent else "online"
        room = len(self._in_flight) < self._settings.max_in_flight
        if state != self._said and room and self._send(link, BRIDGE_STATE, state.encode(), -1):
            self._said = state
        while len(self._in_flight) < self._settings.max_in_flight and link.is_open:
            with self._lock:
                response = self._responses.popleft() if self._responses else None
                topic = None
                if response is None and self._dirty:
                    topic, _ = self._dirty.popitem(last=False)
            if response is not None:
                self._send(link, response[0], response[1], -1, retain=False)
            elif topic is not None:
                latest = self._outbox.get(topic)
                if latest is not None:
                    self._send(link, topic, latest[0], latest[1])
            else:
                break
        with self._lock:
            if not (self._in_flight or self._dirty or self._responses):
                self._idle.set()

    def _send(
        self, link: Link, topic: str, payload: bytes, version: int, *, retain: bool = True
    ) -> bool:
        mid = link.send(topic, payload, retain=retain)
        if mid is None:
            return False  # the connection is gone; the next one sends everything again
        with self._lock:
            self._in_flight[mid] = (topic, version)
            most = max(self._stats.most_in_flight, len(self._in_flight))
            self._stats = replace(self._stats, most_in_flight=most)
        return True

    def _collect(self, link: Link) -> None:
        while not link.acks.empty():
            mid, accepted = link.acks.get_nowait()
            with self._lock:
                topic, version = self._in_flight.pop(mid, ("", -1))
                self._stats = replace(
                    self._stats,
                    acknowledged=self._stats.acknowledged + accepted,
                    refused=self._stats.refused + (not accepted),
                )
            if not accepted:
                log.error("the broker refused a message", topic=topic)
            elif version >= 0:
                self._outbox.forget(topic, version)

    def _farewell(self, link: Link) -> None:
        """Say offline ourselves: after a clean disconnect the broker drops the last will."""
        self._send(link, BRIDGE_STATE, b"offline", -1)
        deadline = time.monotonic() + 2.0
        while self._in_flight and link.is_open and time.monotonic() < deadline:
            self._wake.wait(0.1)
            self._wake.clear()
            self._collect(link)

    def _note_error(self, message: str) -> None:
        if message != self._stats.last_error:
            log.warning("no broker", host=self._broker.host, port=self._broker.port, reason=message)
        with self._lock:
            self._stats = replace(self._stats, last_error=message)

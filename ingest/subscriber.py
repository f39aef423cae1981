"""The MQTT side of ingest: connect, subscribe, receive, and acknowledge what is durable.

One thread does all of it, so that there is nothing to lock and an acknowledgement can only follow its
commit. Each connection has a paho client of its own: packet ids start afresh after a broker's restart, and
a late acknowledgement must not hit another message. paho's own loop is not used: its select() fails past
descriptor 1023, and an exception in a callback ends it while `is_connected()` stays true.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from typing import Any

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.bulk import BulkClient
from ingest.client import connect, make_client, unreachable
from ingest.guard import GuardedThread
from ingest.health import health_message
from ingest.plain import PlainReader
from ingest.router import Router
from ingest.run import Message, count
from ingest.settings import BrokerSettings, IngestSettings
from ingest.sink import Sink
from ingest.stats import IngestStats, Rate
from ingest.stock import StockClient
from ingest.subscriptions import plan
from ingest.waveform import WaveformFactory, speed_signals
from plant.clock import Clock
from plant.config import Plant
from plant.errors import BrokerError
from plant.topics import Topics
from store.journal import Journal

_log = structlog.get_logger(__name__)

_FIRST_DELAY_S = 0.2
_LONGEST_DELAY_S = 3.0
#: While a commit is gathered, messages are left to arrive: a read for each costs more than the message.
_GATHER_S = 0.001
_WORTH_A_READ = 500
#: So long a commit may wait for the forwarder to InfluxDB: some 100,000 messages a second go on all the same.
_LET_FORWARDER_S = 0.03


class Subscriber:
    """Takes messages from the broker into the journal until it is stopped.

    start: begin in the background; with `wait_s` raise BrokerError if the broker has not accepted
    the subscription by then. stop: commit, acknowledge and disconnect; the broker keeps the session.
    """

    def __init__(
        self,
        broker: BrokerSettings,
        settings: IngestSettings,
        plant: Plant,
        journal: Journal,
        clock: Clock,
        *,
        worker: int = 0,
        waveform_factory: WaveformFactory | None = None,
        retiring: bool = False,
    ) -> None:
        """`retiring`: take no new messages, only what the broker still keeps for this worker."""
        self._broker = broker
        self._clock = clock
        self._journal = journal
        self._retiring = retiring
        self._settings = settings
        self._worker = worker
        self._client_id = f"{broker.client_id}-ingest-{worker}"
        self._router = Router(Topics(plant.root), settings)
        remember = speed_signals(plant) if waveform_factory is not None else frozenset()
        self.sink = Sink(self._router, settings, journal, clock, remember=remember)
        if waveform_factory is not None:
            self.sink.waveform_reader = waveform_factory(plant, self.sink.newest)
        self._plain: PlainReader | None = None
        if settings.receive == "bulk" and broker.protocol == "5":
            limits = self._router.limits
            self._plain = PlainReader(clock, limits.ahead_ms, limits.max_bytes)
            self.sink.plain = self._plain
        self._stopping = threading.Event()
        self._subscribed = threading.Event()
        self._wake_read, self._wake_write = socket.socketpair()
        self._guard = GuardedThread(self._run, "vigie-ingest", self._stopping)
        self._to_acknowledge: list[Message] = []
        self._epoch = 0
        self._read = 0  # messages of the last read
        self._error = ""
        self._said_blocked = False
        self._rate = Rate()

    def start(self, wait_s: float = 0.0) -> None:
        """Begin in the background. With `wait_s`, raises BrokerError if there is no subscription by then."""
        make_client(self._broker, self._client_id, mqtt.Client)  # complain about credentials here
        if self._plain is not None:
            self._plain.warm_up_beside()
        self._guard.start()
        if wait_s and not self._subscribed.wait(wait_s):
            reason = self._error or "no answer"
            self.stop()
            raise unreachable(self._broker, reason)

    def warm_up(self) -> None:
        """Load what reads plain messages fast, and wait for it; `start` does so in the background."""
        if self._plain is not None:
            self._plain.warm_up()

    def stop(self) -> None:
        """Commit and acknowledge what was taken, and disconnect."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._wake_write.send(b"x")
        if self._guard.join(30):
            self._wake_read.close()
            self._wake_write.close()

    def stats(self) -> IngestStats:
        """Return a snapshot of the counters; may be called from any thread."""
        tally = self.sink.tally
        return IngestStats(
            **tally.snapshot(),
            messages_per_s=self._rate.per_s(tally.received),
            pending=self.sink.pending,
            connected=self._subscribed.is_set(),
            epoch=self._epoch,
            error=self._error,
            sparkplug=dict(self._router.sparkplug.counts),
            clock_skew_ms={str(asset): skew for asset, skew in self.sink.skew.found.copy().items()},
        )

    # -- threads ----------------------------------------------------------------------------

    def _run(self) -> None:
        delay_s = _FIRST_DELAY_S
        while not self._stopping.is_set():
            self._guard.beat()
            epoch = self._epoch
            try:
                self._session()
            except BrokerError as error:
                self._error = str(error)
                _log.error("ingest.broker", reason=self._error)
            except OSError as error:
                self._error = str(error)
                _log.warning("ingest.no_broker", host=self._broker.host, reason=self._error)
            except Exception as error:  # a defect of ours must not end this thread
                self._error = f"{type(error).__name__}: {error}"
                _log.exception("ingest.session_failed")
            self._subscribed.clear()
            self._to_acknowledge = []  # of a connection that is gone: the broker sends them again
            self._commit_what_is_left()
            delay_s = _FIRST_DELAY_S if self._epoch > epoch else min(2 * delay_s, _LONGEST_DELAY_S)
            self._stopping.wait(delay_s)

    def _commit_what_is_left(self) -> None:
        """Store what was taken on the lost connection; it comes again and is then a repeat.

        While the journal cannot be written there is no point in connecting: memory would fill.
        """
        try:
            while not self.sink.flush() and not self._stopping.is_set():
                self._guard.beat()
                self._stopping.wait(self.sink.due_in_s())
        except Exception:  # the same: the broker sends again what was not acknowledged
            _log.exception("ingest.flush_failed")

    # -- one connection ---------------------------------------------------------------------

    def _session(self) -> None:
        kind: type[BulkClient | StockClient] = (
            BulkClient if self._settings.receive == "bulk" else StockClient
        )
        client = make_client(self._broker, self._client_id, kind)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        client.on_disconnect = self._on_disconnect
        client.on_publishes = self._on_publishes
        if isinstance(client, BulkClient):
            client.plain = self._plain
        connect(client, self._broker, self._settings.receive_maximum)
        poller = select.poll()
        sock = client.socket()
        poller.register(self._wake_read, select.POLLIN)
        try:
            misc_at = 0.0
            while sock is not None and client.socket() is sock and not self._stopping.is_set():
                now = self._guard.beat()
                if not self._poll(client, sock, poller):
                    break
                if self.sink.due_in_s() <= 0:
                    self._commit_and_acknowledge(client)
                if now >= misc_at and not self.sink.blocked:
                    client.loop_misc()  # keep-alive
                    self._say_blocked(client)
                    misc_at = now + 1.0
            if self._stopping.is_set():
                self._say_goodbye(client)
        finally:
            with contextlib.suppress(Exception):  # closing must not hide what went wrong
                client._sock_close()

    def _poll(self, client: Any, sock: Any, poller: select.poll) -> bool:
        """Wait for the socket or the next commit, then read and write once; False: give it up."""
        events = select.POLLOUT if client.want_write() else 0
        if not self.sink.blocked:  # what cannot be stored stays at the broker
            events |= select.POLLIN
        poller.register(sock, events)
        if 0 < self._read < _WORTH_A_READ and self.sink.pending:
            time.sleep(_GATHER_S)
        timeout_s = min(self.sink.due_in_s(), 0.5)
        if events & select.POLLIN and hasattr(sock, "pending") and sock.pending():
            timeout_s = 0.0  # TLS has decrypted more than was read; poll() does not know
            ready = {sock.fileno(): select.POLLIN}
            ready.update(poller.poll(0))
        else:
            ready = dict(poller.poll(timeout_s * 1000))
        happened = ready.get(sock.fileno(), 0)
        if happened & select.POLLOUT:
            client.loop_write()
        if happened & ~select.POLLOUT:
            if self.sink.blocked:
                client.drain_on_close = False
                return False  # lost while nothing can be stored: what is left in it comes again
            before = self.sink.pending
            client.loop_read()
            self._read = self.sink.pending - before
        return True

    def _commit_and_acknowledge(self, client: Any) -> None:
        stored = self.sink.flush()
        self._say_blocked(client)
        if not stored:
            return
        durable, self._to_acknowledge = self._to_acknowledge, []
        client.ack_many(durable)
        self.sink.tally.acknowledged += count(durable)
        answers, self.sink.outgoing = self.sink.outgoing, []
        for topic, payload in answers:
            client.publish(topic, payload, qos=0)
        if self._journal.tail is not None:
            self._journal.tail.wait_for_room(_LET_FORWARDER_S)

    def _say_blocked(self, client: Any) -> None:
        """Say on the health topic, once, that nothing is acknowledged any more, and once that it is again."""
        if self.sink.blocked != self._said_blocked and client.is_connected():
            topic, payload = health_message(self.stats(), self._clock.now_ms())
            client.publish(topic, payload, qos=0, retain=True)
            self._said_blocked = self.sink.blocked

    def _say_goodbye(self, client: Any) -> None:
        self._commit_and_acknowledge(client)
        client.drain_on_close = False  # the broker keeps what was not acknowledged
        properties = None
        if self._retiring:
            properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]  # paho's
            properties.SessionExpiryInterval = 0
        client.disconnect(properties=properties)
        until = time.monotonic() + 2.0
        while client.socket() is not None and client.want_write() and time.monotonic() < until:
            client.loop_write()
            time.sleep(0.005)

    # -- paho calls the following in our own thread --------------------------------------------

    def _on_publishes(self, messages: list[Message]) -> None:
        self._to_acknowledge.extend(messages)
        self.sink.take(messages)

    def _on_connect(
        self, client: mqtt.Client, _data: Any, flags: Any, reason: ReasonCode, _props: Any
    ) -> None:
        if reason.is_failure:
            self._error = str(reason)
            _log.error("ingest.refused", reason=self._error)
            return
        self._epoch += 1
        _log.info("ingest.connected", epoch=self._epoch, session_present=flags.session_present)
        is_v5 = self._broker.protocol == "5"
        todo = plan(
            self._router, self._settings, self._worker, shares=is_v5, retiring=self._retiring
        )
        if todo.unsubscribe and (flags.session_present or self._retiring):
            client.unsubscribe(list(todo.unsubscribe))
        if not todo.subscribe:
            return
        if not is_v5:
            client.subscribe([(topic, 1) for topic in todo.subscribe])
            return
        # Retained messages only for a subscription that is new: not at every reconnection.
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        client.subscribe([(topic, options) for topic in todo.subscribe])

    def _on_unsubscribe(
        self, _client: mqtt.Client, _data: Any, _mid: int, _reasons: list[ReasonCode], _props: Any
    ) -> None:
        if self._retiring:
            self._subscribed.set()

    def _on_subscribe(
        self, _client: mqtt.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _props: Any
    ) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            self._error = f"subscription refused: {refused[0]}"
            _log.error("ingest.subscription_refused", reasons=refused)
            return
        self._error = ""
        self._subscribed.set()

    def _on_disconnect(
        self, _client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _props: Any
    ) -> None:
        self._subscribed.clear()
        if not self._stopping.is_set():
            self._error = self._error or f"connection lost: {reason}"
            _log.warning("ingest.disconnected", reason=str(reason))

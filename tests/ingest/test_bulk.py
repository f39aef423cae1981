"""The bulk receive path hears exactly what stock paho hears, however the stream is cut."""

from __future__ import annotations

import itertools
import random
import socket
from collections.abc import Iterator

import paho.mqtt.client as mqtt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.bulk import BulkClient
from ingest.run import Publish
from ingest.stock import StockClient

V5, V311 = mqtt.MQTTv5, mqtt.MQTTv311


def varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, byte = divmod(value, 128)
        out.append(byte | (128 if value else 0))
        if not value:
            return bytes(out)


def frame(head: int, body: bytes) -> bytes:
    return bytes([head]) + varint(len(body)) + body


def publish_frame(message: Publish, protocol: int) -> bytes:
    head = 0x30 | message.dup << 3 | message.qos << 1 | message.retain
    body = len(message.topic).to_bytes(2, "big") + message.topic + message.mid
    if protocol == V5:
        body += message.properties.pack() if message.properties else b"\0"
    return frame(head, body + message.payload)


class Wire:
    """A client at one end of a socket pair, driven by hand; the broker's end is ours."""

    def __init__(self, kind: type[mqtt.Client], protocol: int) -> None:
        self.broker, end = socket.socketpair()
        self.client = kind(
            CallbackAPIVersion.VERSION2,
            client_id="x",
            protocol=protocol,
            clean_session=None if protocol == V5 else False,
            manual_ack=True,
        )
        end.setblocking(False)
        self.client._sock = end
        self.client._state = mqtt._ConnectionState.MQTT_CS_CONNECTED
        self.heard: list[Publish] = []
        self.subscribed: list[int] = []
        self.client.on_publishes = self.heard.extend
        self.client.on_subscribe = lambda _c, _d, mid, _r, _p: self.subscribed.append(mid)

    def feed(self, pieces: list[bytes]) -> bool:
        """Send the pieces one by one; return whether the connection still stands."""
        for piece in pieces:
            self.broker.setblocking(True)
            self.broker.sendall(piece)
            for _ in range(1000):
                if self.client.socket() is None:
                    return False
                try:
                    rc = self.client.loop_read()
                except Exception:  # stock paho lets struct.error out: the session would end with it
                    self.client._sock_close()
                    return False
                if rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    return False
                if not _readable(self.client.socket()):
                    break
        return self.client.socket() is not None

    def answers(self) -> bytes:
        while self.client.want_write():
            self.client.loop_write()
        self.broker.setblocking(False)
        try:
            return self.broker.recv(1 << 20)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self.client._sock_close()
        self.broker.close()


def _readable(sock: socket.socket | None) -> bool:
    if sock is None:
        return False
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False


@pytest.fixture
def wire() -> Iterator[type[Wire]]:
    made: list[Wire] = []

    class Kept(Wire):
        def __init__(self, *arguments) -> None:
            super().__init__(*arguments)
            made.append(self)

    yield Kept
    for one in made:
        one.close()


def plain(message: Publish) -> tuple:
    properties = message.properties
    shown = properties.json() if properties is not None and not properties.isEmpty() else {}
    return (*message[:6], shown)


def both(
    protocol: int, stream: bytes, cuts: list[int]
) -> tuple[list[tuple], list[tuple], bool, bool]:
    marks = sorted({cut % (len(stream) + 1) for cut in cuts} | {0, len(stream)})
    pieces = [stream[a:b] for a, b in itertools.pairwise(marks)]
    stock, bulk = Wire(StockClient, protocol), Wire(BulkClient, protocol)
    try:
        stands = stock.feed(pieces), bulk.feed(pieces)
        assert stock.subscribed == bulk.subscribed
        return [plain(m) for m in stock.heard], [plain(m) for m in bulk.heard], *stands
    finally:
        stock.close()
        bulk.close()


def make_properties(random_source: random.Random) -> Properties | None:
    properties = Properties(PacketTypes.PUBLISH)
    setters = {
        "PayloadFormatIndicator": lambda: random_source.randint(0, 1),
        "MessageExpiryInterval": lambda: random_source.randrange(2**32),
        "TopicAlias": lambda: random_source.randint(1, 65535),
        "ResponseTopic": lambda: "réponse/" + "x" * random_source.randrange(60),
        "CorrelationData": lambda: random_source.randbytes(random_source.randrange(40)),
        "SubscriptionIdentifier": lambda: random_source.randint(1, 268_435_455),
        "ContentType": lambda: "application/json",
        "UserProperty": lambda: (
            "k" * random_source.randrange(90),
            "v" * random_source.randrange(90),
        ),
    }
    for name in random_source.sample(list(setters), random_source.randrange(len(setters) + 1)):
        setattr(properties, name, setters[name]())
    return properties


messages = st.builds(
    Publish,
    topic=st.sampled_from(
        [b"plant/a/b/c/telemetry", b"t", b"x" * 300, b"\xff\xfe", "é/ü".encode()]
    ),
    payload=st.one_of(
        st.binary(max_size=40), st.integers(100, 40_000).map(lambda size: b"p" * size)
    ),
    qos=st.integers(0, 1),
    mid=st.integers(1, 65535).map(lambda mid: mid.to_bytes(2, "big")),
    retain=st.booleans(),
    dup=st.booleans(),
    properties=st.randoms(use_true_random=False).map(make_properties),
).map(lambda m: m if m.qos else m._replace(mid=b""))
suback = st.integers(1, 65535)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    protocol=st.sampled_from([V5, V311]),
    packets=st.lists(st.one_of(messages, suback, st.none()), max_size=20),
    cuts=st.lists(st.integers(0, 200_000), max_size=12),
)
def test_hears_what_stock_paho_hears(protocol: int, packets: list, cuts: list[int]) -> None:
    stream = b""
    for packet in packets:
        if packet is None:
            stream += frame(0xD0, b"")  # PINGRESP
        elif isinstance(packet, int):
            properties = b"\0" if protocol == V5 else b""
            stream += frame(0x90, packet.to_bytes(2, "big") + properties + b"\x01")
        else:
            stream += publish_frame(packet, protocol)
    stock, bulk, stock_stands, bulk_stands = both(protocol, stream, cuts)
    assert bulk == stock
    assert bulk_stands
    assert stock_stands
    sent = [p for p in packets if isinstance(p, Publish)]
    assert [m[:6] for m in bulk] == [tuple(m[:6]) for m in sent]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    protocol=st.sampled_from([V5, V311]),
    packets=st.lists(messages, min_size=1, max_size=5),
    damage=st.lists(
        st.tuples(st.integers(0, 100_000), st.integers(0, 255)), min_size=1, max_size=4
    ),
    cuts=st.lists(st.integers(0, 100_000), max_size=5),
)
def test_survives_damaged_streams_as_stock_paho_does(protocol, packets, damage, cuts) -> None:
    stream = bytearray(b"".join(publish_frame(packet, protocol) for packet in packets))
    for place, value in damage:
        stream[place % len(stream)] = value
    stock, bulk, stock_stands, bulk_stands = both(protocol, bytes(stream), cuts)
    if any(m[3] == 2 for m in bulk):
        return  # QoS 2 is delivered earlier and answered later than stock paho does, on purpose
    # A packet of type 0 makes stock paho lose its place in the stream; here it is refused.
    assert bulk == stock[: len(bulk)]
    if bulk_stands:
        assert stock_stands
        assert bulk == stock


@settings(max_examples=50, deadline=None)
@given(noise=st.binary(max_size=400), protocol=st.sampled_from([V5, V311]))
def test_noise_never_escapes_as_an_exception(noise: bytes, protocol: int) -> None:
    wire = Wire(BulkClient, protocol)
    wire.feed([noise])
    wire.close()


@pytest.mark.parametrize("protocol", [V5, V311])
def test_every_cut_of_a_stream_gives_the_same(protocol: int) -> None:
    made = make_properties(random.Random(5))
    stream = b"".join(
        publish_frame(message, protocol)
        for message in (
            Publish(b"a/b", b"1", b"\0\1", 1),
            Publish(b"a/b", b"x" * 200, b"", 0, True, False, made),
            Publish(b"a/c", b"", b"\xff\xff", 1, False, True),
        )
    )
    for cut in range(len(stream)):
        stock, bulk, *_ = both(protocol, stream, [cut])
        assert bulk == stock
        assert len(bulk) == 3


def test_a_large_payload_arrives_whole(wire) -> None:
    client = wire(BulkClient, V5)
    message = Publish(b"t", random.Random(1).randbytes(3_000_000), b"\0\7", 1)
    stream = publish_frame(message, V5)
    assert client.feed([stream[i : i + 100_000] for i in range(0, len(stream), 100_000)])
    assert [plain(m) for m in client.heard] == [plain(message)]


def test_acknowledges_in_one_write(wire) -> None:
    client = wire(BulkClient, V5)
    client.client.ack_many(
        [
            Publish(b"t", b"", b"\0\1", 1),
            Publish(b"t", b"", b"", 0),
            Publish(b"t", b"", b"\1\2", 1),
            Publish(b"t", b"", b"\0\3", 2),
        ]
    )
    assert client.answers() == b"\x40\2\0\1\x40\2\1\2\x50\2\0\3"


def test_qos_2_is_received_when_stored_and_released_after(wire) -> None:
    client = wire(BulkClient, V311)
    message = Publish(b"t", b"x", b"\0\5", 2)
    client.feed([publish_frame(message, V311)])
    assert client.heard == [message]
    assert client.answers() == b""  # not before it is durable
    client.client.ack_many([message])
    assert client.answers() == b"\x50\2\0\5"
    client.feed([frame(0x62, b"\0\5")])
    assert client.answers() == b"\x70\2\0\5"


@pytest.mark.parametrize("kind", [BulkClient, StockClient])
@pytest.mark.parametrize("protocol", [V5, V311])
def test_what_had_arrived_is_taken_when_the_connection_breaks(wire, kind, protocol) -> None:
    client = wire(kind, protocol)
    first, second = Publish(b"t", b"1", b"\0\1", 1), Publish(b"t", b"2", b"\0\2", 1)
    client.feed([publish_frame(first, protocol)])
    client.broker.sendall(publish_frame(second, protocol) + frame(0xD0, b""))
    client.broker.close()  # the broker dies: our next write fails before anything more is read
    for _ in range(3):
        client.client.ack_many([first])
        client.client.loop_write()
    assert client.client.socket() is None
    assert [message[:3] for message in client.heard] == [first[:3], second[:3]]


def test_what_only_paho_can_read_is_heard_in_its_place() -> None:
    """A property that reaches beyond the properties' length: paho takes it, so it must not vanish."""
    odd = frame(0x32, bytes.fromhex("0002fffe0001 0101010023 0001".replace(" ", "")))
    messages = [publish_frame(Publish(b"t", b"%d" % n, b"\0\1", 1), V5) for n in range(2)]
    stock, bulk, *stands = both(V5, messages[0] + odd + messages[1], [])
    assert bulk == stock
    assert [message[0] for message in bulk] == [b"t", b"\xff\xfe", b"t"]
    assert stands == [True, True]

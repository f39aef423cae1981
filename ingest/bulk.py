"""A paho client with a bulk receive path: what breaks paho's limit of some 7,000 messages a second.

paho reads a packet in three socket calls and makes objects, takes locks and formats a log line for each.
Here the socket is read in large pieces and PUBLISH packets are walked in the piece; the hearer gets all
of a piece at once. Every other packet, and every PUBLISH that is not plainly well-formed, is handed to
paho unchanged, so connecting, TLS, sessions, subscribing, keep-alive and refusing nonsense stay paho's.

This uses paho's private `_in_packet`, `_packet_handle`, `_packet_queue`, `_sock_recv` and `_loop_rc_handle`;
tests compare it with stock paho on fuzzed streams and would notice if they changed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MessageType, MQTTErrorCode
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.plain import PlainReader
from ingest.run import Message, Publish, Run
from ingest.stock import as_publish

READ_BYTES = 1 << 18
_MOST_DRAINED = 64
_PUBLISH = 0x30
_PUBLISH_QOS_1 = 0x32
_PUBLISH_QOS_2 = 0x34
_SHORTEST = 4  # length of a topic, packet id: less is not a PUBLISH of QoS 1
_PUBREL = 0x62
_ANSWER = (b"", b"\x40\x02", b"\x50\x02")  # by QoS; a message of QoS 0 has no packet id
_make = tuple.__new__
#: So often the compiled walk may find next to nothing before the rest of a piece goes the long way.
_PATIENCE = 4
_WORTH_A_CALL = 6


class BulkClient(mqtt.Client):
    """paho with `on_publishes(list of messages)` instead of `on_message`; acknowledge by `ack_many`.

    plain: reads what it can of a piece by itself, in runs; without it every message is a Publish.

    Drive it with loop_read, loop_write and loop_misc. A QoS 2 message is delivered when its PUBLISH
    arrives and its PUBREC is sent by `ack_many`, after it was stored; a repeat is the journal's to drop.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.plain: PlainReader | None = None
        self.on_publishes: Callable[[list[Message]], None] = lambda _: None
        self._received = bytearray()
        self._frame_size = 0  # of the packet that is not complete yet; 0: not known
        self._known_properties: dict[bytes, Properties] = {}
        self._walked: list[Message] = []
        self.on_message = self._on_one  # what paho finds well-formed after all
        self.drain_on_close = True
        self._closing = False

    def reconnect(self) -> MQTTErrorCode:
        """Connect again; half a packet of the old connection means nothing on the new one."""
        self._received = bytearray()
        self._frame_size = 0
        return super().reconnect()

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Read one piece from the socket and handle all packets that are complete."""
        if self._sock is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        try:
            data = self._sock_recv(READ_BYTES)
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        except OSError:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        if not data:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        with self._msgtime_mutex:
            self._last_bytes_received = time.monotonic()
        rc = self.feed(data)
        return self._loop_rc_handle(rc) if rc else rc

    def feed(self, data: bytes) -> MQTTErrorCode:
        """Take bytes of the stream, whatever their cut, and handle the packets they complete."""
        self._received += data
        if len(self._received) < self._frame_size:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        piece = bytes(self._received)
        publishes: list[Message] = []
        rc, consumed = self._walk(piece, publishes)
        del self._received[:consumed]
        if publishes:
            self.on_publishes(publishes)
        return rc

    def _sock_close(self) -> None:
        """Close, but first take the messages that have already arrived.

        A write fails as soon as the broker has died, while what it sent before lies unread here. A broker
        that had acknowledged these to their senders and not saved them yet could not send them again.
        """
        if self.drain_on_close and self._sock is not None and not self._closing:
            self._closing = True
            with contextlib.suppress(OSError):
                for _ in range(_MOST_DRAINED):
                    data = self._sock_recv(READ_BYTES)
                    if not data or self.feed(data):
                        break
        super()._sock_close()
        self._closing = False

    def ack_many(self, messages: Sequence[Message]) -> None:
        """Acknowledge stored messages in one write, in their order: PUBACK for QoS 1, PUBREC for QoS 2."""
        packets = b"".join([_acknowledgement(message) for message in messages])
        if packets:
            self._packet_queue(packets[0], packets, int.from_bytes(packets[-2:], "big"), 1)

    def _walk(  # noqa: PLR0912, PLR0915 - one loop: a call for each packet costs as much as reading it
        self, piece: bytes, publishes: list[Message]
    ) -> tuple[MQTTErrorCode, int]:
        """Handle the complete packets of a piece; return paho's code and the bytes used up."""
        position, size = 0, len(piece)
        parse, append = self._parse_publish, publishes.append
        is_v5 = self._protocol == mqtt.MQTTv5
        self._frame_size = 0
        self._walked = publishes
        plain = self.plain if is_v5 else None
        patience = _PATIENCE
        while size - position >= 2:
            head = piece[position]
            if plain is not None and patience and head == _PUBLISH_QOS_1:
                run, position = plain.read(piece, position)
                if run is not None:
                    append(run)
                patience -= run is None or len(run) < _WORTH_A_CALL
                if size - position < 2:
                    break
                head = piece[position]
            body = position + 2
            length = piece[position + 1]
            if length & 128:
                if size - body > 1 and piece[body] < 128:  # two bytes: what nearly all lengths take
                    length += (piece[body] << 7) - 128
                    body += 1
                else:
                    length, body = _varint(piece, position + 1, size)
                if body < 0:
                    return MQTTErrorCode.MQTT_ERR_PROTOCOL, position
                if length < 0:
                    break
            end = body + length
            if end > size:
                self._frame_size = end - position
                break
            if head == _PUBLISH_QOS_1 and is_v5 and length > _SHORTEST:
                # What nearly all packets are, read here: a call for each costs as much as the reading.
                after = body + 2 + (piece[body] << 8 | piece[body + 1])
                if after + 2 < end and not piece[after + 2]:
                    topic, mid = piece[body + 2 : after], piece[after : after + 2]
                    fields = (topic, piece[after + 3 : end], mid, 1, False, False, None)
                    append(_make(Publish, fields))
                    position = end
                    if plain is not None and patience:
                        # Its hearer learns from it: from here on the compiled walk may read its like.
                        self.on_publishes(publishes[:])
                        publishes.clear()
                    continue
            publish = parse(head, piece, body, end) if head & 0xF0 == _PUBLISH else None
            position = end
            if publish is not None:
                append(publish)
                continue
            if head & 0xF6 == _PUBLISH_QOS_2:
                # paho would acknowledge it by itself, before it is stored.
                return MQTTErrorCode.MQTT_ERR_PROTOCOL, position
            rc = self._hand_to_paho(head, piece[body:end])
            if rc or self._sock is None:
                return rc, position
        return MQTTErrorCode.MQTT_ERR_SUCCESS, position

    def _on_one(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._walked.append(as_publish(message))

    def _parse_publish(self, head: int, piece: bytes, body: int, end: int) -> Publish | None:
        """Read a PUBLISH packet; None when it is not plainly well-formed."""
        if end - body < 2 or head & 6 == 6:
            return None
        after = body + 2 + (piece[body] << 8 | piece[body + 1])
        topic = piece[body + 2 : after]
        mid = b""
        if head & 6:
            mid = piece[after : after + 2]
            after += 2
        properties = None
        if self._protocol == mqtt.MQTTv5:
            if after >= end:
                return None
            if piece[after]:
                properties, after = self._read_properties(piece, after, end)
            else:
                after += 1
        elif not topic:
            return None
        if after > end:
            return None
        fields = (
            topic, piece[after:end], mid, head >> 1 & 3, head & 1 == 1, head & 8 == 8, properties
        )  # fmt: skip
        return _make(Publish, fields)

    def _read_properties(self, piece: bytes, start: int, end: int) -> tuple[Properties | None, int]:
        """Read MQTT 5 properties; a position beyond the packet means that paho must judge it."""
        length, after = _varint(piece, start, end)
        if length < 0 or after + length > end:
            return None, end + 1
        raw = piece[start : after + length]
        found = self._known_properties.get(raw)
        if found is None:
            found = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
            try:
                found.unpack(raw)  # type: ignore[no-untyped-call]  # paho's
            except Exception:  # paho raises many kinds; it shall judge the packet itself
                return None, end + 1
            if len(self._known_properties) >= 1_000:
                self._known_properties.clear()
            self._known_properties[raw] = found
        return found, after + length

    def _hand_to_paho(self, head: int, body: bytes) -> MQTTErrorCode:
        """Let paho handle one complete packet as if it had read it itself."""
        if self._closing:
            return MQTTErrorCode.MQTT_ERR_SUCCESS  # only messages matter now
        self._in_packet = {
            "command": head,
            "have_remaining": 1,
            "remaining_count": [],
            "remaining_mult": 1,
            "remaining_length": len(body),
            "packet": bytearray(body),
            "to_process": 0,
            "pos": 0,
        }
        try:
            if head == _PUBREL and len(body) >= 2:
                # The message was stored before its PUBREC went out: nothing is left to deliver.
                return self._send_pubcomp(int.from_bytes(body[:2], "big"))
            return self._packet_handle()
        except MalformedPacket:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        finally:
            self._in_packet = {
                "command": 0,
                "have_remaining": 0,
                "remaining_count": [],
                "remaining_mult": 1,
                "remaining_length": 0,
                "packet": bytearray(),
                "to_process": 0,
                "pos": 0,
            }


def _acknowledgement(message: Message) -> bytes:
    if isinstance(message, Run):
        return message.acknowledgements()
    return _ANSWER[message.qos] + message.mid


def _varint(piece: bytes, start: int, end: int) -> tuple[int, int]:
    """Read a variable byte integer: its value and the position after it.

    (-1, 0) when it is cut off, (-1, -1) when it is longer than four bytes.
    """
    value = 0
    for index in range(4):
        if start + index >= end:
            return -1, 0
        byte = piece[start + index]
        value |= (byte & 127) << (7 * index)
        if not byte & 128:
            return value, start + index + 1
    return -1, -1


assert MessageType.PUBLISH == _PUBLISH  # noqa: S101 - paho's own constant, checked once

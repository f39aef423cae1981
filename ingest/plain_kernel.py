"""The compiled walk: plain telemetry messages of a piece of the broker's stream, one after the other.

It takes only what is exactly `{"ts": epoch ms, "values": {"name": number, …}, "seq"?: n}` in a PUBLISH
of QoS 1 without properties, of a topic and with names that were read the long way before; numbers of at most
19 digits without exponent. At anything else it stops: the long way reads that, or says what is wrong.
Tests compare it with the long way, message by message and bit by bit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingest.number_kernel import number_at
from store.compiled import compiled

PUBLISH_QOS_1 = 0x32
MOST_VALUES = 1_000  # of one message; more go the long way
_SEED, _PRIME = np.uint64(1469598103934665603), np.uint64(1099511628211)  # FNV-1a
_1, _2, _3, _4, _5, _6, _7 = (np.uint64(n) for n in range(1, 8))
_8, _16, _24, _32 = (np.uint64(n) for n in (8, 16, 24, 32))
_QUOTE, _COMMA, _ZERO, _NINE, _COLON, _SLASH, _OPEN, _CLOSE = 34, 44, 48, 57, 58, 92, 123, 125
_TS = np.frombuffer(b"ts", np.uint8)
_SEQ = np.frombuffer(b"seq", np.uint8)
_VALUES = np.frombuffer(b"values", np.uint8)


class Names(NamedTuple):
    """A hash table: name k is data[start[k]:start[k + 1]]; slots: int64[power of two], -1: free."""

    slots: NDArray[np.int64]
    start: NDArray[np.int64]
    data: NDArray[np.uint8]


class Scratch(NamedTuple):
    """Room for one message: its values in the order they came, its names joined by commas."""

    values: NDArray[np.float64]
    bits: NDArray[np.uint64]  # the same memory
    names: NDArray[np.uint8]


class Found(NamedTuple):
    """What the walk writes, one entry per message; values, spans and bits one per value (see Columns)."""

    topic: NDArray[np.int64]
    shape: NDArray[np.int64]
    ts_ms: NDArray[np.int64]
    seq: NDArray[np.int64]
    first: NDArray[np.int64]
    mid: NDArray[np.uint16]
    payload: NDArray[np.int64]
    end: NDArray[np.int64]
    values: NDArray[np.float64]
    bits: NDArray[np.uint64]  # the same memory as `values`
    spans: NDArray[np.int32]


@compiled
def _word(text: NDArray[np.uint8], at: np.uint64) -> np.uint64:
    """Return the eight bytes from `at` on as a number, the first one lowest."""
    a, b, c, d = text[at], text[at + _1], text[at + _2], text[at + _3]
    e, f, g, h = text[at + _4], text[at + _5], text[at + _6], text[at + _7]
    low = np.uint64(a) | np.uint64(b) << _8 | np.uint64(c) << _16 | np.uint64(d) << _24
    high = np.uint64(e) | np.uint64(f) << _8 | np.uint64(g) << _16 | np.uint64(h) << _24
    return low | high << _32


@compiled
def _is_name(names: Names, number: int, text: NDArray[np.uint8], start: int, stop: int) -> bool:
    i, at, end = np.uint64(start), np.uint64(names.start[number]), np.uint64(stop)
    if names.start[number + 1] - names.start[number] != stop - start:
        return False
    while i + _8 <= end:
        if _word(names.data, at) != _word(text, i):
            return False
        i += _8
        at += _8
    while i < end:
        if names.data[at] != text[i]:
            return False
        i += _1
        at += _1
    return True


@compiled
def slot_of(names: Names, text: NDArray[np.uint8], start: int, stop: int) -> tuple[int, int]:
    """Return (number, slot) of text[start:stop]; number -1 when it is not there, the slot being free."""
    mixed = _SEED
    i, end = np.uint64(start), np.uint64(stop)
    while i + _8 <= end:
        mixed = (mixed ^ _word(text, i)) * _PRIME
        mixed ^= mixed >> _32
        i += _8
    while i < end:
        mixed = (mixed ^ np.uint64(text[i])) * _PRIME
        i += _1
    mask = len(names.slots) - 1
    slot: Any = np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(0x7FFFFFFF)) & mask
    while True:
        number = names.slots[slot]
        if number < 0:
            return -1, slot
        if _is_name(names, number, text, start, stop):
            return number, slot
        slot = (slot + 1) & mask


@compiled
def place_all(names: Names, count: int) -> None:
    """Put the first `count` names into empty slots."""
    for number in range(count):
        _, slot = slot_of(names, names.data, names.start[number], names.start[number + 1])
        names.slots[slot] = number


@compiled
def _space(text: NDArray[np.uint8], at: int, stop: int) -> int:
    while at < stop and (text[at] == 32 or 9 <= text[at] <= 10 or text[at] == 13):
        at += 1
    return at


@compiled
def _is(text: NDArray[np.uint8], start: int, stop: int, wanted: NDArray[np.uint8]) -> bool:
    if stop - start != len(wanted):
        return False
    for i in range(len(wanted)):  # noqa: SIM110 - numba compiles no `all`
        if text[start + i] != wanted[i]:
            return False
    return True


@compiled
def _key(text: NDArray[np.uint8], at: int, stop: int) -> tuple[int, int, int]:
    """Read `"name":` at a position: where the name begins and ends, and what comes behind; -1: it is none."""
    if at >= stop or text[at] != _QUOTE:
        return -1, -1, -1
    start = at = at + 1
    while at < stop and text[at] != _QUOTE:
        if text[at] == _SLASH:
            return -1, -1, -1
        at += 1
    end = at
    at = _space(text, at + 1, stop)
    if at >= stop or text[at] != _COLON:
        return -1, -1, -1
    return start, end, _space(text, at + 1, stop)


@compiled
def _whole_at(text: NDArray[np.uint8], at: int, stop: int) -> tuple[int, int]:
    """Read a whole number of 1 to 18 digits: its value and where it ends; -1, -1: not plain."""
    begin, value = at, 0
    while at < stop and _ZERO <= text[at] <= _NINE and at - begin < 19:
        value = value * 10 + (text[at] - _ZERO)
        at += 1
    if at == begin or at - begin > 18 or (text[begin] == _ZERO and at - begin > 1):
        return -1, -1
    return value, at


@compiled
def _values_at(
    text: NDArray[np.uint8],
    at: int,
    stop: int,
    scratch: Scratch,
    spans: NDArray[np.int32],
    used: int,
) -> tuple[int, int, int]:
    """Read `{"name": number, …}`: how many, the length of the joined names, where it ends; -1: not plain."""
    count, length, most = 0, 0, min(len(scratch.values), len(spans) - used)
    if at >= stop or text[at] != _OPEN:
        return -1, -1, -1
    at = _space(text, at + 1, stop)
    while count < most:
        start, end, at = _key(text, at, stop)
        if at < 0 or at >= stop or length + end - start + 1 > len(scratch.names):
            return -1, -1, -1
        i, to = np.uint64(start), np.uint64(length)
        while i < np.uint64(end):
            scratch.names[to] = text[i]
            i += _1
            to += _1
        scratch.names[to] = _COMMA
        length += end - start + 1
        spans[used + count, 0] = at
        at = number_at(text, at, stop, scratch.values, scratch.bits, count)
        if at < 0:
            return -1, -1, -1
        spans[used + count, 1] = at
        count += 1
        at = _space(text, at, stop)
        if at < stop and text[at] == _CLOSE:
            return count, length, at + 1
        if at >= stop or text[at] != _COMMA:
            return -1, -1, -1
        at = _space(text, at + 1, stop)
    return -1, -1, -1


@compiled
def _message_at(  # noqa: PLR0911 - each is one way not to be plain
    text: NDArray[np.uint8],
    at: int,
    stop: int,
    scratch: Scratch,
    spans: NDArray[np.int32],
    used: int,
) -> tuple[int, int, int, int]:
    """Read a payload: time, seq (-1: none), number of values, length of the names; time -1: not plain."""
    nothing = (-1, -1, -1, -1)
    ts_ms, seq, count, length = nothing
    if at >= stop or text[at] != _OPEN:
        return nothing
    at = _space(text, at + 1, stop)
    while True:
        start, end, at = _key(text, at, stop)
        if at < 0:
            return nothing
        if ts_ms < 0 and _is(text, start, end, _TS):
            ts_ms, at = _whole_at(text, at, stop)
        elif count < 0 and _is(text, start, end, _VALUES):
            count, length, at = _values_at(text, at, stop, scratch, spans, used)
        elif seq < 0 and _is(text, start, end, _SEQ):
            seq, at = _whole_at(text, at, stop)
        else:
            return nothing
        if at < 0:
            return nothing
        at = _space(text, at, stop)
        if at < stop and text[at] == _CLOSE:
            break
        if at >= stop or text[at] != _COMMA:
            return nothing
        at = _space(text, at + 1, stop)
    if _space(text, at + 1, stop) != stop or count < 0:
        return nothing
    return ts_ms, seq, count, length


@compiled
def walk(
    piece: NDArray[np.uint8],
    position: int,
    earliest_ms: int,
    latest_ms: int,
    most_bytes: int,
    topics: Names,
    shapes: Names,
    places: NDArray[np.int64],
    place_at: NDArray[np.int64],
    found: Found,
    scratch: Scratch,
) -> tuple[int, int, int]:
    """Read plain messages from `position` on; return (messages, values, where the first other packet begins).

    places: the rank of each name among the sorted ones, those of shape k from place_at[k] on.
    """
    count, used, size = 0, 0, len(piece)
    while size - position > 4 and count < len(found.topic) and piece[position] == PUBLISH_QOS_1:
        body = position + 2
        length = int(piece[position + 1])
        if length & 128:
            if piece[body] & 128:
                break  # longer than 16 kB
            length += (int(piece[body]) << 7) - 128
            body += 1
        end = body + length
        if end > size or length < 8:
            break
        after = body + 2 + (int(piece[body]) << 8 | int(piece[body + 1]))
        payload = after + 3  # packet id, and properties of length 0
        if payload >= end or piece[after + 2] or end - payload > most_bytes:
            break
        topic, _ = slot_of(topics, piece, body + 2, after)
        if topic < 0:
            break
        ts_ms, seq, values, names = _message_at(piece, payload, end, scratch, found.spans, used)
        if ts_ms < earliest_ms or ts_ms > latest_ms:
            break
        shape, _ = slot_of(shapes, scratch.names, 0, names)
        if shape < 0 or place_at[shape + 1] - place_at[shape] != values:
            break  # the count: a name with a comma in it looks like two
        for i in range(values):
            found.values[used + places[place_at[shape] + i]] = scratch.values[i]
        found.topic[count], found.shape[count] = topic, shape
        found.ts_ms[count], found.seq[count], found.first[count] = ts_ms, seq, used
        found.mid[count] = np.uint16(piece[after]) << 8 | np.uint16(piece[after + 1])
        found.payload[count], found.end[count] = payload, end
        count += 1
        used += values
        position = end
    return count, used, position

"""Compiled loops over columns of readings: the checksums of their rows, and their line protocol."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from store.compiled import compiled

_POLYNOMIAL = 0xEDB88320  # CRC-32 of ISO 3309, as zlib's, reflected
_BYTE = np.uint64(255)
# Unsigned, so that the compiled loops need not look for indices that count from the end.
_1, _2, _3, _4, _5, _6, _7, _8 = (np.uint64(n) for n in range(1, 9))
#: How far behind what it writes `write_lines` may touch its output.
SLACK = 7


def _tables() -> NDArray[np.uint32]:
    """Return uint32[8, 256]: what a byte does to the checksum when 0 to 7 others follow it."""
    tables = np.zeros((8, 256), np.uint32)
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
        tables[0, byte] = crc
    for after in range(1, 8):
        tables[after] = (tables[after - 1] >> 8) ^ tables[0][tables[after - 1] & 0xFF]
    return tables


_TABLES = _tables()


@njit(cache=True, nogil=True)
def _add(crc: np.uint32, word: np.uint64) -> np.uint32:
    """Add eight bytes, the lowest first, to a checksum (Kounavis and Berry, 10.1109/TC.2008.85)."""
    mixed = word ^ np.uint64(crc)
    found = np.uint32(0)
    for byte in range(8):
        found ^= _TABLES[7 - byte, (mixed >> np.uint64(8 * byte)) & _BYTE]
    return found


@njit(cache=True, nogil=True)
def checksums(
    heads: NDArray[np.uint64],
    words: NDArray[np.uint64],
    first: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> NDArray[np.uint32]:
    """Return `schema.reading_crc` of every row, uint32[n].

    heads: uint64[n, 7], the integers it covers; words: uint64[m], the bits of all values; first, counts:
    int64[n], where a row's values begin and how many they are.
    """
    rows = len(first)
    found = np.empty(rows, np.uint32)
    for row in range(rows):
        crc = np.uint32(0xFFFFFFFF)
        for at in range(7):
            crc = _add(crc, heads[row, at])
        for at in range(first[row], first[row] + counts[row]):
            crc = _add(crc, words[at])
        found[row] = crc ^ np.uint32(0xFFFFFFFF)
    return found


@compiled
def _copy(source: NDArray[np.uint8], start: int, stop: int, out: NDArray[np.uint8], at: int) -> int:
    """Copy source[start:stop] to out[at:]; return where it ends. May overwrite the `SLACK` bytes behind.

    Eight bytes at a time: read before any is written, the compiler moves them in one go.
    """
    whole = np.uint64(max(len(source) - 7, 0))  # from here on eight bytes would reach too far
    i, end, to = np.uint64(start), np.uint64(stop), np.uint64(at)
    while i < end and i < whole:
        a, b, c, d = source[i], source[i + _1], source[i + _2], source[i + _3]
        e, f, g, h = source[i + _4], source[i + _5], source[i + _6], source[i + _7]
        out[to], out[to + _1], out[to + _2], out[to + _3] = a, b, c, d
        out[to + _4], out[to + _5], out[to + _6], out[to + _7] = e, f, g, h
        i += _8
        to += _8
    while i < end:
        out[to] = source[i]
        i += _1
        to += _1
    return at + stop - start


@compiled
def write_lines(
    order: NDArray[np.int64],
    text: NDArray[np.uint8],
    spans: NDArray[np.int32],
    first: NDArray[np.int64],
    ts_ms: NDArray[np.int64],
    head: NDArray[np.int64],
    heads: NDArray[np.uint8],
    head_at: NDArray[np.int64],
    shape: NDArray[np.int64],
    fields: NDArray[np.uint8],
    field_at: NDArray[np.int64],
    shape_at: NDArray[np.int64],
    received: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> int:
    """Write the line of each reading in `order`; return how many bytes of `out` they take.

    A line: heads[head_at[head]…], then for each value its field's name (fields[field_at[…]…], of shape s
    from shape_at[s] on) and its digits text[spans[…]], then `received` and the time.
    """
    at = 0
    for i in order:
        at = _copy(heads, head_at[head[i]], head_at[head[i] + 1], out, at)
        field = shape_at[shape[i]]
        value = first[i]
        while field < shape_at[shape[i] + 1]:
            at = _copy(fields, field_at[field], field_at[field + 1], out, at)
            at = _copy(text, spans[value, 0], spans[value, 1], out, at)
            field += 1
            value += 1
        at = _copy(received, 0, len(received), out, at)
        digits, left = 1, ts_ms[i] // 10
        while left:
            digits += 1
            left //= 10
        left = ts_ms[i]
        for place in range(at + digits - 1, at - 1, -1):
            out[place] = 48 + left % 10
            left //= 10
        at += digits
        out[at] = 10
        at += 1
    return at

"""Sparkplug B 3.0: births, data and death certificates, with just enough protobuf to write them.

Eclipse Sparkplug Specification 3.0.0 (2022), ch. 6: payload fields timestamp 1, metrics 2, seq 3; metric
fields name 1, alias 2, timestamp 3, datatype 4, is_null 7, long 11, double 13, boolean 14, string 15.
The site is the group, the line the edge node, the machine the device.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterable, Sequence
from itertools import starmap

from plant.asset import AssetPath

_INT64, _DOUBLE, _BOOLEAN, _STRING = 4, 10, 11, 12


def varint(value: int) -> bytes:
    """Write an unsigned number as protobuf does: seven bits a byte, lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """Write a varint field."""
    return varint(field << 3) + varint(value)


def blob(field: int, value: bytes) -> bytes:
    """Write a length-delimited field."""
    return varint(field << 3 | 2) + varint(len(value)) + value


def metric(
    value: float | int | bool | str | None, *, name: str = "", alias: int | None = None,
    ts_ms: int = 0, datatype: int = _DOUBLE,
) -> bytes:  # fmt: skip
    """Write one metric; None is a null of that datatype."""
    out = blob(1, name.encode()) if name else b""
    if alias is not None:
        out += number(2, alias)
    if ts_ms:
        out += number(3, ts_ms)
    out += number(4, datatype)
    if value is None:
        return out + number(7, 1)
    if isinstance(value, bool):
        return out + number(14, int(value))
    if isinstance(value, int):
        return out + number(11, value)
    if isinstance(value, str):
        return out + blob(15, value.encode())
    return out + varint(13 << 3 | 1) + struct.pack("<d", value)


def payload(ts_ms: int, metrics: Iterable[bytes], seq: int | None) -> bytes:
    """Write a payload; a death certificate has no seq."""
    out = number(1, ts_ms) + b"".join(blob(2, m) for m in metrics)
    return out if seq is None else out + number(3, seq)


class EdgeNode:
    """One line as a Sparkplug edge node: knows its devices' aliases and counts its messages."""

    def __init__(self, site: str, line: str, run_id: str, bd_seq: int = 0) -> None:
        self._site, self._line, self._run_id, self._bd_seq = site, line, run_id, bd_seq
        self._seq = 0
        self._born: dict[str, int] = {}
        self._aliases = 0
        self._reborn = threading.Event()

    def topic(self, kind: str, device: str = "") -> str:
        """Return the topic of a message kind, of the node or of a device."""
        return f"spBv1.0/{self._site}/{kind}/{self._line}" + (f"/{device}" if device else "")

    def _next(self) -> int:
        seq, self._seq = self._seq, (self._seq + 1) % 256
        return seq

    def rebirth(self) -> None:
        """Ask for new births before the next reading; may be called from any thread."""
        self._reborn.set()

    def death(self, ts_ms: int) -> tuple[str, bytes]:
        """Return the death certificate: the connection's last will."""
        born = metric(self._bd_seq, name="bdSeq", datatype=_INT64)
        return self.topic("NDEATH"), payload(ts_ms, [born], None)

    def birth(self, ts_ms: int) -> tuple[str, bytes]:
        """Return the node's birth certificate; devices have to be born again after it."""
        self._seq, self._born = 0, {}
        metrics = [
            metric(self._bd_seq, name="bdSeq", datatype=_INT64),
            metric(False, name="Node Control/Rebirth", datatype=_BOOLEAN),
            metric(True, name="Properties/simulated", datatype=_BOOLEAN),
            metric(self._run_id, name="Properties/run_id", datatype=_STRING),
        ]
        return self.topic("NBIRTH"), payload(ts_ms, metrics, self._next())

    def reading(
        self, asset: AssetPath, ts_ms: int, signals: Sequence[str], row: Sequence[float]
    ) -> list[tuple[str, bytes]]:
        """Return the messages of one reading: births if they are due, then the data."""
        out = []
        if self._reborn.is_set():
            self._reborn.clear()
            out.append(self.birth(ts_ms))
        base = self._born.get(asset.asset)
        if base is None:
            base = self._aliases
            self._aliases += len(signals)
            self._born[asset.asset] = base
            metrics = [
                metric(None, name=name, alias=base + k, ts_ms=ts_ms)
                for k, name in enumerate(signals)
            ]
            metrics.append(metric(True, name="Properties/simulated", datatype=_BOOLEAN))
            metrics.append(metric(self._run_id, name="Properties/run_id", datatype=_STRING))
            out.append((self.topic("DBIRTH", asset.asset), payload(ts_ms, metrics, self._next())))
        pairs = [(v, base + k) for k, v in enumerate(row) if v == v]  # noqa: PLR0124 - NaN is missing
        data = starmap(lambda v, a: metric(v, alias=a, ts_ms=ts_ms), pairs)
        if pairs:
            out.append((self.topic("DDATA", asset.asset), payload(ts_ms, data, self._next())))
        return out

"""Foreign messages by declaration: a topic pattern, where the values stand, how they become our units.

A mapping is a table in the settings ([[ingest.mappings]]); shipped examples are in deploy/mappings.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping as MappingType
from datetime import datetime
from fnmatch import translate
from typing import Any
from zoneinfo import ZoneInfo

from ingest.decode import Decoded, Limits
from ingest.jsonpath import Path, get, numeric_leaves, parse_path
from ingest.line_protocol import Point, parse_lines
from ingest.payload import MAX_SIGNALS, check_signal, check_stamp, loads, read_seq, read_stamp
from ingest.settings import Mapping, SignalMapping
from plant.asset import AssetPath
from plant.errors import DataError, PayloadError
from plant.reading import Reading

_NAME = re.compile(r"\{(\w+)\}")
_DIGITS = re.compile(r"[0-9]{1,18}")
_BINARY = {"u8": ">B", "i8": ">b", "u16": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "f32": ">f"}
_PER_MS = {"ms": 1.0, "s": 1e-3, "us": 1e3, "ns": 1e6}


class TopicPattern:
    """A topic with named levels, `tele/{asset}/SENSOR`; `#` at the end takes the rest."""

    def __init__(self, pattern: str) -> None:
        levels = pattern.split("/")
        self._open = levels[-1] == "#"
        fixed = levels[:-1] if self._open else levels
        expression = "/".join(_level_expression(level) for level in fixed)
        self._expression = re.compile(expression + ("(?:/.*)?" if self._open else ""), re.DOTALL)
        wild = ["+" if "{" in level else level for level in levels]
        self.filter = "/".join(wild)

    def match(self, topic: str) -> dict[str, str] | None:
        """Return the named levels, None when the topic does not fit."""
        found = self._expression.fullmatch(topic)
        return None if found is None else found.groupdict()


def _level_expression(level: str) -> str:
    if level == "+":
        return "[^/]+"
    pieces = _NAME.split(level)  # text, name, text, name, …
    return "".join(
        f"(?P<{piece}>[^/]+)" if index % 2 else re.escape(piece)
        for index, piece in enumerate(pieces)
    )


class MappingDecoder:
    """One compiled mapping. `match` tells whether a topic is its; `decode` reads a payload."""

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self.pattern = TopicPattern(mapping.topic)
        self._time = parse_path(mapping.time)
        self._seq = parse_path(mapping.seq)
        self._names = {name: parse_path(path) for name, path in mapping.names.items()}
        self._signals = {
            name: (parse_path(signal.path), signal) for name, signal in mapping.signals.items()
        }
        self._mapped = frozenset(path for path, _ in self._signals.values())
        self._flatten = None if mapping.flatten is None else parse_path(mapping.flatten)
        self._skip = tuple(re.compile(translate(name)).match for name in mapping.skip)
        self._zone = ZoneInfo(mapping.timezone)

    def match(self, topic: str) -> dict[str, str] | None:
        """Return the topic's named levels, None when this mapping does not read it."""
        return self.pattern.match(topic)

    def decode(
        self, levels: MappingType[str, str], payload: bytes, received_ms: int, limits: Limits
    ) -> Decoded:
        """Read one payload. Raises PayloadError; `no_values` when nothing mapped is in it."""
        if self.mapping.ignore:
            return Decoded()
        if self.mapping.format == "line":
            points = parse_lines(payload, limits.max_bytes)
            readings = [self._of_point(levels, point, received_ms, limits) for point in points]
            return Decoded(readings, untimed=any(point.ts_ms is None for point in points))
        message = loads(payload, limits.max_bytes)
        names = dict(levels)
        for name, path in self._names.items():
            names[name] = str(get(message, path))
        values = self._values(message, names)
        asset = self._asset(names)
        ts_ms = received_ms if not self._time else self._stamp(get(message, self._time))
        ts_ms = _checked(ts_ms, asset, received_ms, limits)
        seq = _seq(get(message, self._seq)) if self._seq else None
        reading = Reading(asset, ts_ms, values, seq, received_ms)
        return Decoded((reading,), untimed=not self._time)

    def _of_point(
        self, levels: MappingType[str, str], point: Point, received_ms: int, limits: Limits
    ) -> Reading:
        names = {**point.tags, **levels, "measurement": point.measurement}
        values = self._values(point.fields, names)
        asset = self._asset(names)
        ts_ms = received_ms if point.ts_ms is None else point.ts_ms
        return Reading(
            asset, _checked(ts_ms, asset, received_ms, limits), values, None, received_ms
        )

    def _values(self, message: Any, names: MappingType[str, str]) -> dict[str, float]:
        values: dict[str, float] = {}
        if self.mapping.signal:
            name = _render(self.mapping.signal, names)
            values[check_signal(name)] = _convert(message, SignalMapping(path="value"), name)
        for name, (path, signal) in self._signals.items():
            found = get(message, path)
            if found is not None:
                values[check_signal(name)] = _convert(found, signal, name)
        if self._flatten is not None:
            values.update(self._flattened(message, values))
        if not values:
            raise PayloadError(
                "no_values",
                f"nothing that the mapping {self.mapping.name!r} reads is in the message.",
                fix="Add the signals wanted, or a mapping with ignore = true before it.",
            )
        return values

    def _flattened(self, message: Any, known: MappingType[str, float]) -> dict[str, float]:
        base = self._flatten or ()
        found: dict[str, float] = {}
        for path, value in numeric_leaves(get(message, base)):
            whole: Path = (*base, *path)
            name = signal_name_of(path)
            skipped = (
                whole in self._mapped or whole == self._time or any(m(name) for m in self._skip)
            )
            if not skipped and name not in known and len(found) < MAX_SIGNALS:
                number = float(value)
                if math.isfinite(number):
                    found[name] = number
        return found

    def _asset(self, names: MappingType[str, str]) -> AssetPath:
        mapping = self.mapping
        device = _render(mapping.asset, names)
        known = mapping.assets.get(device)
        if known is not None:
            return AssetPath.parse(known)
        try:
            return AssetPath(
                _segment(_render(mapping.site, names)),
                _segment(_render(mapping.line, names)),
                _segment(device),
            )
        except DataError as error:
            raise PayloadError("asset_name", error.message, field="asset", fix=error.fix) from error

    def _stamp(self, value: Any) -> int:
        unit = self.mapping.time_unit
        if unit == "iso-local" and isinstance(value, str):
            try:
                moment = datetime.fromisoformat(value)
            except ValueError as error:
                raise PayloadError(
                    "ts_form", f"{value[:60]!r} is not a time.", field="ts"
                ) from error
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=self._zone)
            return int(moment.timestamp() * 1000)
        if unit in _PER_MS and isinstance(value, int | float) and not isinstance(value, bool):
            return round(value / _PER_MS[unit]) if unit != "ns" else int(value) // 1_000_000
        return read_stamp(value)


def _seq(found: Any) -> int | None:
    """Read a message counter, which some devices write as text."""
    return read_seq(int(found) if isinstance(found, str) and _DIGITS.fullmatch(found) else found)


def _checked(ts_ms: int, asset: AssetPath, received_ms: int, limits: Limits) -> int:
    ts_ms -= limits.clock_offsets.get(asset, 0)
    return check_stamp(ts_ms, received_ms + limits.ahead_ms, asset)


def _render(template: str, names: MappingType[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in names:
            raise PayloadError(
                "mapping", f"the mapping uses {match[0]}, which the message has not."
            )
        return names[match[1]]

    return _NAME.sub(value, template)


def _segment(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text)[:64]


def signal_name_of(path: Path) -> str:
    """Name a signal after its place: ("ENERGY", "Power", 0) becomes `ENERGY_Power_0`."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", "_".join(str(step) for step in path))[:64]
    return name if name[:1].isalpha() else f"s_{name}"[:64]


def _convert(value: Any, signal: SignalMapping, name: str) -> float:
    """Apply binary decoding, words, scale and offset. Raises PayloadError: not_a_number."""
    if signal.binary:
        value = _unpack(value, signal, name)
    if isinstance(value, bool):
        value = signal.states.get(str(value).lower(), float(value))
    elif isinstance(value, str):
        value = signal.states[value] if value in signal.states else _number(value)
    if not isinstance(value, int | float):
        raise PayloadError(
            "not_a_number",
            f"{name} is not a number.",
            field=name,
            fix=f"Map its words: states = {{...}} of signal {name}.",
        )
    number = float(value) * signal.scale + signal.offset
    if not math.isfinite(number):
        raise PayloadError("not_finite", f"{name} is not a finite number.", field=name)
    return number


def _number(text: str) -> float | None:
    """Read a number that was sent as text, the way JSON writes one."""
    if re.fullmatch(r"\s*-?\d+(\.\d+)?([eE][+-]?\d+)?\s*", text) is None or len(text) > 40:
        return None
    return float(text)


def _unpack(value: Any, signal: SignalMapping, name: str) -> float:
    """Read a number out of process data: a hexadecimal text or a list of bytes, big-endian."""
    layout = _BINARY[signal.binary]
    try:
        raw = bytes.fromhex(value) if isinstance(value, str) else bytes(value)
        (number,) = struct.unpack_from(layout, raw, signal.byte)
    except (ValueError, TypeError, struct.error) as error:
        raise PayloadError(
            "not_a_number",
            f"{name}: there is no {signal.binary} at byte {signal.byte} of the process data.",
            field=name,
        ) from error
    return float(number)

"""InfluxDB line protocol as payload: `measurement,tag=a field=1.5,count=3i 1763800000000000000`.

Grammar: docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol. Strings carry no number and are
left out; true and false become 1 and 0. A time stamp's unit is told from its size (ns, us, ms, s).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from plant.errors import PayloadError

_TRUE = frozenset(("t", "T", "true", "True", "TRUE"))
_FALSE = frozenset(("f", "F", "false", "False", "FALSE"))
MAX_LINES = 10_000


@dataclass(frozen=True, slots=True)
class Point:
    """One line: `ts_ms` is None when the line carries no time."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, float]
    ts_ms: int | None


def looks_like_lines(payload: bytes) -> bool:
    """Tell whether a payload that is not JSON could be line protocol: `name… key=value…`."""
    head, _, rest = payload.lstrip()[:4096].partition(b" ")
    return bool(head) and b"=" in rest and head[:1] not in b'{["'


def parse_lines(payload: bytes, max_bytes: int) -> list[Point]:
    """Read all lines. Raises PayloadError: too_large, utf8, line_protocol, not_finite, too_many."""
    if len(payload) > max_bytes:
        raise PayloadError(
            "too_large", f"the payload has {len(payload)} bytes, more than {max_bytes}."
        )
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PayloadError("utf8", "the payload is not UTF-8.", fix="Send UTF-8.") from error
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) > MAX_LINES:
        raise PayloadError(
            "too_many", f"the message has {len(lines)} lines, more than {MAX_LINES}."
        )
    if not lines:
        raise _refusal("it has no lines")
    return [_parse_line(line.strip()) for line in lines]


def _parse_line(line: str) -> Point:
    parts = list(_split(line, " "))
    if len(parts) not in {2, 3}:
        raise _refusal(f"{line[:60]!r} has {len(parts)} parts, not 2 or 3")
    name, *tag_texts = _split(parts[0], ",")
    tags = dict(_pair(text) for text in tag_texts)
    fields: dict[str, float] = {}
    for text in _split(parts[1], ","):
        key, raw = _pair(text)
        value = _number(raw)
        if value is not None:
            fields[key] = value
    ts_ms = _time(parts[2]) if len(parts) == 3 else None
    return Point(_unescape(name), tags, fields, ts_ms)


def _split(text: str, separator: str) -> Iterator[str]:
    """Split at separators that are neither escaped nor inside double quotes."""
    start, quoted, escaped = 0, False, False
    for index, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == separator and not quoted:
            yield text[start:index]
            start = index + 1
    if quoted:
        raise _refusal("a quote is not closed")
    yield text[start:]


def _pair(text: str) -> tuple[str, str]:
    pieces = list(_split(text, "="))
    if len(pieces) != 2 or not pieces[0] or not pieces[1]:
        raise _refusal(f"{text[:60]!r} is not key=value")
    return _unescape(pieces[0]), pieces[1] if pieces[1].startswith('"') else _unescape(pieces[1])


def _unescape(text: str) -> str:
    for char in ",= ":
        text = text.replace(f"\\{char}", char)
    return text


def _number(raw: str) -> float | None:
    if raw.startswith('"'):
        return None
    if raw in _TRUE:
        return 1.0
    if raw in _FALSE:
        return 0.0
    try:
        value = float(int(raw[:-1])) if raw[-1] in "iu" else float(raw)
    except (ValueError, OverflowError) as error:
        raise _refusal(f"{raw[:60]!r} is not a number") from error
    if not math.isfinite(value) or "_" in raw:
        raise PayloadError("not_finite", f"{raw[:60]!r} is not a finite number.")
    return value


def _time(raw: str) -> int:
    try:
        value = int(raw)
    except ValueError as error:
        raise _refusal(f"{raw[:60]!r} is not a time stamp") from error
    size = abs(value)
    if size >= 10**17:
        return value // 1_000_000
    if size >= 10**14:
        return value // 1_000
    return value if size >= 10**11 else value * 1_000


def _refusal(problem: str) -> PayloadError:
    return PayloadError(
        "line_protocol",
        f"the payload is not line protocol ({problem}).",
        fix="Send measurement,tag=value field=number time.",
    )

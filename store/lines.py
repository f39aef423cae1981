"""Line protocol and back: how readings, rollups, events and risks look in InfluxDB.

measurement  tags                                   fields
reading      asset line site [simulated]            one float per signal, vigie.received_ms [vigie.run_id]
rollup       asset bucket line site                 layout numbers, and for dashboards `<signal>.<stat>`
event        asset kind line site [simulated]       body (JSON) mode duration_h planned
risk         asset line site [simulated]            body (JSON) p_fail_<h>h deviation severity

Times are whole milliseconds, but an event's: the nanoseconds below its millisecond tell apart
events of one asset, time and kind, by a hash of mode and key.
"""

from __future__ import annotations

import zlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from plant.asset import AssetPath
from plant.event import Event
from plant.risk import SEVERITIES, Risk
from store.blocks import RollupPart
from store.codec import encode_event, encode_risk

RECEIVED = "vigie.received_ms"
RUN = "vigie.run_id"
_NS_PER_MS = 1_000_000
#: Names that a field must not have: InfluxDB's own, and our tags (they would share a column).
_TAKEN = frozenset({"time", "name", "tags", "site", "line", "asset", "simulated"})
_PREFIX = "signal."
#: What dashboards show of a rollup; all its numbers are in one text that nobody needs to read.
ROLLUP_FIELDS = ("count", "mean", "min", "max")


def field_name(signal: str) -> str:
    """Return the field of a signal: its name, but for the few that are taken."""
    return _PREFIX + signal if signal in _TAKEN or signal.startswith("_") else signal


def signal_name(field: str) -> str:
    """Return the signal of a field."""
    return field.removeprefix(_PREFIX)


def series(measurement: str, asset: str, extra: str = "", simulated: bool = False) -> str:
    """Write measurement and tags; asset paths and our own tags need no escaping."""
    site, line, name = asset.split("/")
    marked = ",simulated=true" if simulated else ""
    return f"{measurement},asset={name}{extra},line={line}{marked},site={site} "


def text(value: str) -> str:
    """Write a string field's value."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def numbers(values: NDArray[np.float64]) -> list[list[str]]:
    """Write a matrix as shortest round-trip decimals, row by row; non-finite ones as `null`."""
    if values.size == 0:
        return [[] for _ in range(len(values))]
    body = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    return [row.split(",") for row in body[2:-2].decode().split("],[")]


def reading_format(signals: Sequence[str]) -> str:
    """Return the %-format of one reading's line: values in order, received, run (or empty), time."""
    fields = ",".join(f"{field_name(name)}=%s" for name in signals)
    return f"%s{fields},{RECEIVED}=%d%s %d\n"


def run_field(run_id: str) -> str:
    """Write a reading's run as a further field; nothing for the real plant."""
    return f",{RUN}={text(one_line(run_id))}" if run_id else ""


def one_line(value: str) -> str:
    """Write any text on one line, as JSON does between its quotes."""
    return orjson.dumps(value).decode()[1:-1]


def from_one_line(value: str) -> str:
    """Read what `one_line` wrote; what it did not write is left as it is."""
    try:
        return str(orjson.loads(f'"{value}"'))
    except orjson.JSONDecodeError:
        return value


def rollup_lines(
    asset: AssetPath,
    bucket_ms: int,
    start_ms: NDArray[np.int64],
    signals: Sequence[str],
    stats: Sequence[str],
    values: NDArray[np.float64],
) -> list[str]:
    """Write one line per bucket: all its numbers in base64, and those that people look at as fields.

    values: little-endian float64[buckets, S, K]. A field per number costs the server ten times as much.
    """
    layout = text(orjson.dumps([list(signals), list(stats)]).decode())
    head = f"{series('rollup', str(asset), f',bucket={bucket_ms}')}layout={layout}"
    seen = [stats.index(stat) for stat in ROLLUP_FIELDS if stat in stats]
    names = [f",{signal}.{stats[at]}=" for signal in signals for at in seen]
    plain = numbers(values[:, :, seen].reshape(len(start_ms), -1))
    lines = []
    for start, row, bucket in zip(start_ms.tolist(), plain, values, strict=True):
        packed = b2a_base64(bucket.tobytes(), newline=False).decode()
        fields = [name + value for name, value in zip(names, row, strict=True) if value != "null"]
        lines.append(f'{head},numbers="{packed}"{"".join(fields)} {start}')
    return lines


def rollup_parts(layouts: NDArray[Any], packed: NDArray[Any]) -> list[RollupPart]:
    """Read what `rollup_lines` wrote: the fields `layout` and `numbers`, str[buckets] each."""
    parts: list[RollupPart] = []
    for layout in dict.fromkeys(layouts):
        rows = np.flatnonzero(layouts == layout)
        signals, stats = (tuple(names) for names in orjson.loads(layout))
        flat = np.frombuffer(b"".join(map(a2b_base64, packed[rows])), dtype="<f8")
        parts.append((rows, signals, stats, flat.reshape(len(rows), len(signals), len(stats))))
    return parts


def event_ns(event: Event) -> int:
    """Return the event's time in InfluxDB: two events collide with a chance of one in a million."""
    mark = zlib.crc32(f"{event.mode}\0{event.key}".encode("utf-8", "surrogatepass"))
    return event.ts_ms * _NS_PER_MS + (mark % _NS_PER_MS if event.mode or event.key else 0)


def event_line(event: Event) -> str:
    """Write an event; the body is what is read back, the other fields are for dashboards."""
    head = series("event", str(event.asset), f",kind={event.kind}", event.simulated)
    fields = f"body={text(encode_event(event).decode())}"
    if event.mode:
        fields += f",mode={text(one_line(event.mode))}"
    if event.duration_h is not None:
        fields += f",duration_h={float(event.duration_h)!r}"
    if event.planned is not None:
        fields += f",planned={float(event.planned)!r}"
    return f"{head}{fields} {event_ns(event)}"


def risk_line(risk: Risk) -> str:
    """Write an assessment; the body is what is read back, the other fields are for dashboards."""
    head = series("risk", str(risk.asset), simulated=risk.simulated)
    fields = f"body={text(encode_risk(risk).decode())}"
    plain = {f"p_fail_{hours}h": p for hours, p in (risk.p_fail or {}).items()}
    plain["severity"] = float(SEVERITIES.index(risk.severity))
    if risk.deviation is not None:
        plain["deviation"] = risk.deviation
    for name, value in plain.items():
        if np.isfinite(value):
            fields += f",{name}={float(value)!r}"
    return f"{head}{fields} {risk.ts_ms}"

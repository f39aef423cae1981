"""The contract's messages: pure functions from topic and bytes to readings and events.

Everything a message can say wrong ends as a PayloadError with a stable reason; in an array of
samples the good ones are kept and the first bad one is reported in `Decoded.problem`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from ingest.line_protocol import looks_like_lines, parse_lines
from ingest.payload import (
    EARLIEST_MS,
    LATEST_MS,
    MAX_SAMPLES,
    are_plain,
    check_signal,
    check_stamp,
    loads,
    read_flag,
    read_number,
    read_seq,
    read_stamp,
    read_text,
    read_values,
)
from ingest.waveform import Waveform, read_waveform
from plant.asset import AssetPath
from plant.errors import PayloadError
from plant.event import PLANT_EVENT_KINDS, Event
from plant.reading import Reading
from plant.topics import Topics
from store.columns import Sample

_make = tuple.__new__
_NO_OFFSETS: Mapping[AssetPath, int] = {}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a message may be: bytes, milliseconds ahead of the clock; known errors of device clocks."""

    max_bytes: int = 262_144
    ahead_ms: int = 300_000
    clock_offsets: Mapping[AssetPath, int] = field(default_factory=lambda: _NO_OFFSETS)


@dataclass(slots=True)
class Decoded:
    """What a message said. `problem` is the first bad sample of an otherwise good message.

    `untimed` readings have no time stamp of their own: theirs is the moment of arrival. `publish` is
    what the protocol wants to be answered (topic, payload; QoS 0).
    """

    readings: Sequence[Reading] = ()
    events: Sequence[Event] = ()
    waveforms: Sequence[Waveform] = ()
    problem: PayloadError | None = None
    untimed: bool = False
    publish: Sequence[tuple[str, bytes]] = ()


def decode(
    topic: str,
    payload: bytes,
    received_ms: int,
    *,
    topics: Topics | None = None,
    limits: Limits | None = None,
) -> Decoded:
    """Read one message of the contract that arrived at `received_ms`. Raises PayloadError."""
    asset, kind, signal = (topics or Topics()).parse_inbound(topic)
    limits = limits or Limits()
    if kind == "event":
        return Decoded(events=(decode_event(asset, payload, received_ms, limits),))
    if signal:
        return decode_signal(asset, signal, payload, received_ms, limits)
    return decode_telemetry(asset, payload, received_ms, limits)


def plain_sample(
    asset: AssetPath, payload: bytes, received_ms: int, limits: Limits
) -> Sample | None:
    """Read `{"ts": epoch ms, "values": {…}, "seq"?: n}`, what nearly all messages are, in one go.

    None: it is anything else, or something is wrong with it; `decode_telemetry` says what.
    """
    if len(payload) > limits.max_bytes:
        return None
    try:
        message = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    if type(message) is not dict:
        return None
    get = message.get
    ts_ms, values, seq = get("ts"), get("values"), None
    if len(message) != 2:
        seq = get("seq")
        if len(message) != 3 or type(seq) is not int or not 0 <= seq < 2**63:
            return None
    if (
        type(ts_ms) is int
        and EARLIEST_MS <= ts_ms <= received_ms + limits.ahead_ms
        and ts_ms <= LATEST_MS
        and type(values) is dict
        and are_plain(values)
    ):
        return _make(Sample, (asset, ts_ms, values, seq, received_ms, False, ""))
    return None


def decode_telemetry(asset: AssetPath, payload: bytes, received_ms: int, limits: Limits) -> Decoded:
    """Read `{"ts","values"}`, `{"samples":[…]}`, `[{…},…]`, a waveform or line protocol."""
    try:
        message = loads(payload, limits.max_bytes)
    except PayloadError as error:
        if error.reason == "json" and looks_like_lines(payload):
            return _lines(asset, payload, received_ms, limits)
        raise
    if type(message) is dict:
        if "values" in message:
            return Decoded((_reading(asset, message, message, received_ms, limits),))
        if "samples" in message:
            return _samples(asset, message["samples"], message, received_ms, limits)
        if "waveform" in message:
            return _waveform(asset, "", message, received_ms, limits)
        raise PayloadError(
            "form",
            "the message has neither values nor samples.",
            fix='Send {"ts": epoch ms, "values": {"signal": number}}.',
        )
    if type(message) is list:
        return _samples(asset, message, {}, received_ms, limits)
    raise PayloadError(
        "form",
        "the message is not an object.",
        fix='Send {"ts": epoch ms, "values": {"signal": number}}.',
    )


def decode_signal(
    asset: AssetPath, signal: str, payload: bytes, received_ms: int, limits: Limits
) -> Decoded:
    """Read a bare number, `{"timestamp_ms","value"}` or a waveform of one signal."""
    check_signal(signal)
    message = loads(payload, limits.max_bytes)
    if type(message) is not dict:
        value = read_number(message, signal)
        return Decoded(
            [Reading(asset, received_ms, {signal: value}, None, received_ms)], untimed=True
        )
    if "waveform" in message:
        return _waveform(asset, signal, message, received_ms, limits)
    if "value" not in message:
        raise PayloadError(
            "form",
            "the message has no value.",
            fix='Send a number, or {"timestamp_ms": …, "value": …}.',
        )
    stamp = message.get("timestamp_ms", message.get("ts"))
    value = read_number(message["value"], signal)
    inner = {"ts": stamp, "values": {signal: value}, "seq": message.get("seq")}
    return Decoded((_reading(asset, inner, message, received_ms, limits),))


def decode_event(asset: AssetPath, payload: bytes, received_ms: int, limits: Limits) -> Event:
    """Read an event. Raises PayloadError: event_kind, event_found, event_duration and more."""
    message = loads(payload, limits.max_bytes)
    if type(message) is not dict:
        raise PayloadError("form", "the event is not an object.", fix='Send {"ts": …, "kind": …}.')
    kind = read_text(message.get("kind"), "kind", 40)
    if kind not in PLANT_EVENT_KINDS:
        raise PayloadError(
            "event_kind",
            f"the event kind {kind!r} is not known.",
            field="kind",
            fix=f"Use one of {', '.join(PLANT_EVENT_KINDS)}.",
        )
    scope = message.get("scope") or []
    if type(scope) is not list:
        raise PayloadError("form", "scope is not a list of failure modes.", field="scope")
    planned = message.get("planned")
    duration = message.get("duration_h")
    return Event(
        asset=asset,
        ts_ms=_stamp(asset, message.get("ts"), received_ms, limits),
        kind=kind,
        mode=read_text(message.get("mode"), "mode", 64),
        scope=tuple(read_text(mode, "scope", 64) for mode in scope),
        planned=None if planned is None else read_flag(planned, "planned"),
        found=read_text(message.get("found"), "found", 40) or "unknown",
        duration_h=None if duration is None else read_number(duration, "duration_h"),
        note=read_text(message.get("note"), "note", 10_000),
        who=read_text(message.get("who"), "who"),
        key=read_text(message.get("key"), "key"),
        simulated=read_flag(message.get("simulated"), "simulated"),
        run_id=read_text(message.get("run_id"), "run_id"),
    )


def _reading(
    asset: AssetPath,
    sample: dict[str, Any],
    outer: Mapping[str, Any],
    received_ms: int,
    limits: Limits,
) -> Reading:
    """Read one sample; `simulated`, `run_id` and `imported` stand in the message around it."""
    values = read_values(sample["values"])
    ts_ms = _stamp(asset, sample.get("ts"), received_ms, limits)
    seq = sample.get("seq")
    if seq is not None:
        seq = read_seq(seq)
    if "imported" in outer and read_flag(outer["imported"], "imported"):
        received_ms = ts_ms  # history: it counts as known when it happened, not when it was brought
    if "simulated" in outer or "run_id" in outer:
        simulated = read_flag(outer.get("simulated"), "simulated")
        run_id = read_text(outer.get("run_id"), "run_id")
        return Reading(asset, ts_ms, values, seq, received_ms, simulated, run_id)
    return Reading(asset, ts_ms, values, seq, received_ms)


def _stamp(asset: AssetPath, value: Any, received_ms: int, limits: Limits) -> int:
    ts_ms = read_stamp(value)
    if limits.clock_offsets:
        ts_ms -= limits.clock_offsets.get(asset, 0)
    return check_stamp(ts_ms, received_ms + limits.ahead_ms, asset)


def _samples(
    asset: AssetPath, samples: Any, outer: Mapping[str, Any], received_ms: int, limits: Limits
) -> Decoded:
    if type(samples) is not list or not samples:
        raise PayloadError("form", "samples is not a list of samples.", field="samples")
    if len(samples) > MAX_SAMPLES:
        raise PayloadError(
            "too_many", f"the message has {len(samples)} samples, more than {MAX_SAMPLES}."
        )
    readings: list[Reading] = []
    problem: PayloadError | None = None
    for index, sample in enumerate(samples):
        try:
            if type(sample) is not dict or "values" not in sample:
                raise PayloadError("form", f"samples[{index}] has no values.", field="samples")  # noqa: TRY301 - one place reports
            readings.append(_reading(asset, sample, outer or sample, received_ms, limits))
        except PayloadError as error:
            problem = problem or error
    if problem and not readings:
        raise problem
    return Decoded(readings, problem=problem)


def _lines(asset: AssetPath, payload: bytes, received_ms: int, limits: Limits) -> Decoded:
    """Read InfluxDB line protocol: fields are signals; the topic says whose, not measurement or tags."""
    readings, untimed = [], False
    for point in parse_lines(payload, limits.max_bytes):
        values = read_values(point.fields)
        ts_ms = received_ms
        if point.ts_ms is None:
            untimed = True
        else:
            ts_ms = _stamp(asset, point.ts_ms, received_ms, limits)
        readings.append(Reading(asset, ts_ms, values, None, received_ms))
    return Decoded(readings, untimed=untimed)


def _waveform(
    asset: AssetPath, signal: str, message: dict[str, Any], received_ms: int, limits: Limits
) -> Decoded:
    ts_ms = _stamp(asset, message.get("ts", message.get("timestamp_ms")), received_ms, limits)
    waveform = read_waveform(asset, signal or message.get("signal"), ts_ms, received_ms, message)
    return Decoded(waveforms=(waveform,))

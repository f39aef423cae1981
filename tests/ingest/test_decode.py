"""Every contract form is read; everything else is refused with a stable reason."""

from __future__ import annotations

import contextlib
import json
import math

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decode import Limits, decode, decode_telemetry, plain_sample
from ingest.payload import EARLIEST_MS
from plant.asset import AssetPath
from plant.errors import PayloadError
from plant.topics import Topics

NOW = 1_763_800_000_000
PUMP = AssetPath("lyon", "l1", "pump-1")
TELEMETRY = "plant/lyon/l1/pump-1/telemetry"
EVENT = "plant/lyon/l1/pump-1/event"


def read(payload: object, topic: str = TELEMETRY, **options):
    raw = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return decode(topic, raw, NOW, **options)


def refused(payload: object, topic: str = TELEMETRY, **options) -> PayloadError:
    with pytest.raises(PayloadError) as caught:
        read(payload, topic, **options)
    return caught.value


def test_a_sample_with_everything() -> None:
    (reading,) = read(
        {
            "ts": NOW,
            "values": {"b": 2, "a": 1.5, "c": None},
            "seq": 9,
            "simulated": True,
            "run_id": "r",
        }
    ).readings
    assert (reading.asset, reading.ts_ms, reading.seq) == (PUMP, NOW, 9)
    assert dict(reading.values) == {"a": 1.5, "b": 2.0}
    assert (reading.received_ms, reading.simulated, reading.run_id) == (NOW, True, "r")


@pytest.mark.parametrize(
    ("ts", "expected"),
    [
        (NOW, NOW),
        (NOW - 0.5, NOW - 1),
        ("2025-11-22T08:26:40Z", NOW),
        ("2025-11-22T09:26:40.250+01:00", NOW + 250),
        (NOW + 300_000, NOW + 300_000),
        (EARLIEST_MS, EARLIEST_MS),
    ],
)
def test_time_stamps_that_are_taken(ts: object, expected: int) -> None:
    assert read({"ts": ts, "values": {"a": 1}}).readings[0].ts_ms == expected


@pytest.mark.parametrize(
    ("ts", "reason"),
    [
        (NOW + 300_001, "ts_future"),
        (NOW * 1000, "ts_future"),
        (NOW // 1000, "ts_past"),
        (-1, "ts_past"),
        (None, "ts_missing"),
        (True, "ts_form"),
        ("yesterday", "ts_form"),
        ("2025-11-22T08:26:40", "ts_form"),
        ("9999-99-99T00:00:00Z", "ts_form"),
        ([1], "ts_form"),
        (1e300, "ts_form"),
    ],
)
def test_time_stamps_that_are_refused(ts: object, reason: str) -> None:
    assert refused({"ts": ts, "values": {"a": 1}}).reason == reason


def test_a_known_error_of_a_clock_is_taken_off() -> None:
    limits = Limits(clock_offsets={PUMP: 3_600_000})
    assert read({"ts": NOW + 3_600_000, "values": {"a": 1}}, limits=limits).readings[0].ts_ms == NOW


def test_arrays_of_samples_in_both_forms() -> None:
    samples = [{"ts": NOW - i, "values": {"a": i}, "seq": i} for i in range(3)]
    wrapped = read({"samples": samples, "simulated": True, "run_id": "r"}).readings
    assert [(r.ts_ms, r.seq, r.simulated) for r in wrapped] == [
        (NOW - i, i, True) for i in range(3)
    ]
    assert [r.ts_ms for r in read(samples).readings] == [NOW, NOW - 1, NOW - 2]


def test_good_samples_survive_a_bad_one() -> None:
    decoded = read(
        {"samples": [{"ts": NOW, "values": {"a": 1}}, {"ts": NOW, "values": {"a": "x"}}, 7]}
    )
    assert len(decoded.readings) == 1
    assert decoded.problem is not None
    assert decoded.problem.reason == "not_a_number"


@pytest.mark.parametrize(
    ("payload", "value"), [(b"12.5", 12.5), (b" -3 \n", -3.0), (b"1e3", 1000.0), (b"0", 0.0)]
)
def test_bare_numbers_are_stamped_on_arrival(payload: bytes, value: float) -> None:
    decoded = read(payload, f"{TELEMETRY}/speed")
    assert decoded.untimed
    assert dict(decoded.readings[0].values) == {"speed": value}
    assert decoded.readings[0].ts_ms == NOW


def test_one_signal_with_its_own_time() -> None:
    for key in ("timestamp_ms", "ts"):
        decoded = read({key: NOW - 5, "value": 2, "seq": 3}, f"{TELEMETRY}/speed")
        assert not decoded.untimed
        assert (decoded.readings[0].ts_ms, decoded.readings[0].seq) == (NOW - 5, 3)


def test_an_event_with_everything() -> None:
    (event,) = read(
        {
            "ts": NOW, "kind": "maintenance", "mode": "BRG", "scope": ["BRG", "SEA"], "planned": True,
            "found": "degraded", "duration_h": 2, "note": "ok", "who": "ann", "key": "wo-1",
            "simulated": True, "run_id": "r", "other": 1,
        },
        EVENT,
    ).events  # fmt: skip
    assert (event.kind, event.scope, event.planned, event.found) == (
        "maintenance",
        ("BRG", "SEA"),
        True,
        "degraded",
    )
    assert (event.duration_h, event.who, event.key, event.run_id) == (2.0, "ann", "wo-1", "r")


def test_a_waveform_becomes_a_value_object() -> None:
    samples = [math.sin(i) for i in range(64)]
    (waveform,) = read(
        {"ts": NOW, "waveform": samples, "fs_hz": 25_600}, f"{TELEMETRY}/vibration"
    ).waveforms
    assert (waveform.signal, waveform.fs_hz) == ("vibration", 25_600.0)
    assert waveform.samples.tolist() == samples
    assert (
        read({"ts": NOW, "waveform": samples, "fs_hz": 1, "signal": "v"}).waveforms[0].signal == "v"
    )


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "empty"),
        (b"  ", "empty"),
        (b"{", "json"),
        (b"hello", "json"),
        (b"\xff\xfe", "utf8"),
        (b'{"ts":1,"values":{"a":"\\ud800"}}', "utf8"),
        (b'{"ts":%d,"values":{"a":NaN}}' % NOW, "not_finite"),
        (b'{"ts":%d,"values":{"a":-Infinity}}' % NOW, "not_finite"),
        (b'{"ts":%d,"values":{"a":1e999}}' % NOW, "not_finite"),
        (b"[" * 5000 + b"]" * 5000, "nesting"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nesting"),
        (b"x" * 300_000, "too_large"),
        (b"5", "form"),
        (b"null", "form"),
        (b'"text"', "form"),
        (b"{}", "form"),
        (b"[]", "form"),
        ({"ts": NOW, "values": [1]}, "form"),
        ({"ts": NOW, "values": {}}, "no_values"),
        ({"ts": NOW, "values": {"a": None}}, "no_values"),
        ({"ts": NOW, "values": {"a": "1"}}, "not_a_number"),
        ({"ts": NOW, "values": {"a": True}}, "not_a_number"),
        ({"ts": NOW, "values": {"a": {"b": 1}}}, "not_a_number"),
        ({"ts": NOW, "values": {"a b": 1}}, "signal_name"),
        ({"ts": NOW, "values": {"": 1}}, "signal_name"),
        ({"ts": NOW, "values": {"é": 1}}, "signal_name"),
        ({"ts": NOW, "values": {"x" * 65: 1}}, "signal_name"),
        ({"ts": NOW, "values": {f"s{i}": 1 for i in range(1001)}}, "too_many"),
        ({"ts": NOW, "values": {"a": 1}, "seq": -1}, "seq"),
        ({"ts": NOW, "values": {"a": 1}, "seq": 1.5}, "seq"),
        ({"ts": NOW, "values": {"a": 1}, "run_id": 5}, "text"),
        ({"ts": NOW, "values": {"a": 1}, "simulated": 1}, "flag"),
        ({"samples": {}}, "form"),
        ({"samples": [{"ts": NOW}]}, "form"),
        ({"samples": [{}] * 10_001}, "too_many"),
        ({"ts": NOW, "waveform": [1] * 64, "fs_hz": 10}, "waveform"),
        ({"ts": NOW, "waveform": [1] * 3, "fs_hz": 10, "signal": "v"}, "waveform"),
        ({"ts": NOW, "waveform": [1] * 64, "fs_hz": 0, "signal": "v"}, "waveform"),
    ],
)
def test_refused_telemetry(payload: object, reason: str) -> None:
    assert refused(payload).reason == reason


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"true", "not_a_number"),
        (b'"5"', "not_a_number"),
        (b"+5", "json"),
        (b"0x10", "json"),
        (b"1e999", "not_finite"),
        ({"value": 1}, "ts_missing"),
        ({"ts": NOW}, "form"),
        ({"ts": NOW, "value": "on"}, "not_a_number"),
    ],
)
def test_refused_signals(payload: object, reason: str) -> None:
    assert refused(payload, f"{TELEMETRY}/speed").reason == reason


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"ts": NOW}, "event_kind"),
        ({"ts": NOW, "kind": "alarm"}, "event_kind"),  # Vigie's own: not a machine's to say
        ({"ts": NOW, "kind": 5}, "text"),
        ({"kind": "stop"}, "ts_missing"),
        ({"ts": NOW, "kind": "stop", "found": "broken"}, "event_found"),
        ({"ts": NOW, "kind": "stop", "duration_h": -1}, "event_duration"),
        ({"ts": NOW, "kind": "stop", "planned": "no"}, "flag"),
        ({"ts": NOW, "kind": "stop", "scope": "BRG"}, "form"),
        ([], "form"),
    ],
)
def test_refused_events(payload: object, reason: str) -> None:
    assert refused(payload, EVENT).reason == reason


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("plant/lyon/l1/pump-1", "topic"),
        ("plant/lyon/l1/pump-1/telemetry/a/b", "topic"),
        ("other/lyon/l1/pump-1/telemetry", "topic"),
        ("plant/ly on/l1/pump-1/telemetry", "asset_name"),
        ("plant/../l1/pump-1/telemetry", "asset_name"),
        ("plant/lyon/l1/pump-1/telemetry/a b", "signal_name"),
    ],
)
def test_refused_topics(topic: str, reason: str) -> None:
    assert refused(b"1", topic).reason == reason


def test_the_root_is_a_setting() -> None:
    assert read(b"1", "a/b/s/l/p/telemetry/x", topics=Topics("a/b")).readings[0].asset.site == "s"


texts = st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))


@settings(max_examples=300, deadline=None)
@given(
    payload=st.binary(max_size=60) | texts,
    kind=st.sampled_from([TELEMETRY, f"{TELEMETRY}/x", EVENT]),
)
def test_any_bytes_are_read_or_refused(payload: bytes, kind: str) -> None:
    with contextlib.suppress(PayloadError):
        decode(kind, payload, NOW)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(2**63), 2**63) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["ts", "values", "samples", "seq", "kind", "waveform", "fs_hz", "value", "a", "run_id"]
    ), inner, max_size=5),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(message=json_values, kind=st.sampled_from([TELEMETRY, f"{TELEMETRY}/x", EVENT]))
def test_any_json_is_read_or_refused(message: object, kind: str) -> None:
    try:
        decoded = decode(kind, orjson.dumps(message), NOW)
    except PayloadError:
        return
    for reading in decoded.readings:
        assert all(math.isfinite(value) for value in reading.values.values())
        assert EARLIEST_MS <= reading.ts_ms <= NOW + 300_000


_NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**70), 2**70), st.just(-0.0)
)
_NEARLY_PLAIN = st.fixed_dictionaries(
    {},
    optional={
        "ts": st.one_of(
            st.integers(NOW - 10, NOW + 10),
            st.sampled_from([0, EARLIEST_MS, EARLIEST_MS - 1, NOW + 300_000, NOW + 300_001]),
            st.sampled_from([None, True, 1.5, "2025-11-22T08:26:40Z", 2**63, -1]),
        ),
        "values": st.one_of(
            st.dictionaries(
                st.sampled_from(["a", "b", "a b", ""]),
                st.one_of(_NUMBERS, st.sampled_from([None, True, "1", [1], {}])),
            ),
            st.dictionaries(st.sampled_from(["a", "b"]), _NUMBERS, min_size=1),
            st.sampled_from([None, [], 1]),
        ),
        "seq": st.sampled_from([None, 0, 7, -1, True, 1.0, 2**63 - 1, 2**63, "1"]),
        "run_id": st.just("r"),
        "imported": st.just(True),
        "simulated": st.just(True),
        "more": st.just(1),
    },
)


@settings(max_examples=600, deadline=None)
@given(message=_NEARLY_PLAIN, twice=st.booleans())
def test_the_short_way_says_what_the_long_way_says_or_nothing(message: dict, twice: bool) -> None:
    limits = Limits(max_bytes=200)
    for names in ({"a": 1}, {"b": 1}, {"a": 1, "b": 1}, {"b": 1, "a": 1}):
        read({"ts": NOW, "values": names})  # only names seen before are plain
    payload = json.dumps(message).encode()
    if twice:  # a key that comes again
        payload = payload[:-1] + b',"values":{"b":2}}' if message else b'{"ts":1,"ts":2}'
    sample = plain_sample(PUMP, payload, NOW, limits)
    try:
        long_way = decode_telemetry(PUMP, payload, NOW, limits).readings
    except PayloadError:
        assert sample is None
        return
    if sample is None:
        return
    (reading,) = long_way
    for name in ("asset", "ts_ms", "values", "seq", "received_ms", "simulated", "run_id"):
        assert getattr(sample, name) == getattr(reading, name)
    assert [math.copysign(1, v) for v in sample.values.values()] == [
        math.copysign(1, v) for v in reading.values.values()
    ]


@pytest.mark.parametrize("form", ["sample", "array", "signal"])
def test_imported_history_counts_as_received_at_its_own_time(form: str) -> None:
    sample = {"ts": NOW - 86_400_000, "values": {"a": 1}}
    message, topic = {**sample, "imported": True}, TELEMETRY
    if form == "array":
        message = {"samples": [sample], "imported": True}
    elif form == "signal":
        message, topic = {"ts": sample["ts"], "value": 1, "imported": True}, f"{TELEMETRY}/a"
    (reading,) = read(message, topic).readings
    assert (reading.ts_ms, reading.received_ms) == (NOW - 86_400_000, NOW - 86_400_000)
    (reading,) = read({**message, "imported": False}, topic).readings
    assert reading.received_ms == NOW
    assert refused({**message, "imported": 1}, topic).reason == "flag"
    assert refused({**sample, "ts": NOW + 10**9, "imported": True}).reason == "ts_future"


def test_the_short_way_reads_what_most_machines_send() -> None:
    for message in (
        {"ts": NOW, "values": {"a": 1.5, "b": 2}},
        {"values": {"a": 1.5, "b": 2}, "seq": 7, "ts": NOW},
    ):
        (reading,) = read(message).readings
        sample = plain_sample(PUMP, orjson.dumps(message), NOW, Limits())
        assert sample is not None
        assert (sample.ts_ms, dict(sample.values), sample.seq) == (
            reading.ts_ms, reading.values, reading.seq,
        )  # fmt: skip

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant.asset import AssetPath
from plant.clock import ManualClock
from plant.errors import DataError, PayloadError, VigieError
from plant.event import Event
from plant.reading import Reading
from plant.signal import check_signal_name, per_hour, within
from plant.times import from_iso, parse_duration_ms, parse_moment, to_iso
from plant.topics import Topics

PUMP = AssetPath("lyon", "l1", "pump-3")
segments = st.from_regex(r"\A[A-Za-z0-9_.-]{1,64}\Z").filter(lambda s: s not in {".", ".."})


@given(segments, segments, segments)
def test_an_asset_path_survives_being_written_and_read(site: str, line: str, asset: str) -> None:
    path = AssetPath(site, line, asset)
    assert AssetPath.parse(str(path)) == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a/b",
        "a/b/c/d",
        "a//c",
        "../b/c",
        "a/./c",
        "a/b/c+",
        "a/b/#",
        "a/b/é",
        "a/b/" + "x" * 65,
    ],
)
def test_a_bad_asset_path_is_refused_with_the_fix(text: str) -> None:
    with pytest.raises(DataError) as caught:
        AssetPath.parse(text)
    assert caught.value.fix


@given(st.integers(min_value=-62_135_596_800_000, max_value=253_402_300_799_999))
def test_a_moment_survives_being_written_and_read(ts_ms: int) -> None:
    assert from_iso(to_iso(ts_ms)) == ts_ms


def test_times_are_read_with_their_zone_or_not_at_all() -> None:
    assert from_iso("2026-11-22T11:00:00+01:00") == from_iso("2026-11-22T10:00:00Z")
    assert to_iso(1_763_800_000_123) == "2025-11-22T08:26:40.123Z"
    for text in ("2026-11-22T10:00:00", "yesterday", "2026-13-01T00:00:00Z"):
        with pytest.raises(DataError):
            from_iso(text)


def test_moments_of_a_command_line() -> None:
    now = from_iso("2026-11-22T10:00:00Z")
    assert parse_moment("now", now) == now
    assert parse_moment("-7d", now) == now - 7 * 86_400_000
    with pytest.raises(DataError, match="out of range"):
        parse_moment("-99999999999999999d", now)
    assert parse_moment("2026-11-22", now) == from_iso("2026-11-22T00:00:00Z")


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("3d 4h", 273_600_000),
        ("10min", 600_000),
        ("10m", 600_000),
        ("250ms", 250),
        ("1.5h", 5_400_000),
    ],
)
def test_durations(text: str, ms: int) -> None:
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "h", "3 fortnights", "4h and a bit", "-3h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        parse_duration_ms(text)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_reading_holds_only_finite_values(value: float) -> None:
    with pytest.raises(PayloadError) as caught:
        Reading(PUMP, 0, {"flow": value})
    assert caught.value.field == "flow"


def test_a_reading_holds_at_least_one_value() -> None:
    with pytest.raises(PayloadError):
        Reading(PUMP, 0, {})


@pytest.mark.parametrize(
    ("field", "bad"), [("kind", "explosion"), ("found", "rusty"), ("duration_h", -1.0)]
)
def test_an_event_names_the_field_that_is_wrong(field: str, bad: object) -> None:
    good: dict[str, object] = {"kind": "failure"}
    with pytest.raises(PayloadError) as caught:
        Event(PUMP, 0, **(good | {field: bad}))  # type: ignore[arg-type] # wrong on purpose
    assert caught.value.field == field


def test_topics_are_read_back() -> None:
    topics = Topics("acme/plant")
    assert topics.parse_inbound(topics.telemetry(PUMP)) == (PUMP, "telemetry", "")
    assert topics.parse_inbound(topics.telemetry(PUMP) + "/flow") == (PUMP, "telemetry", "flow")
    assert topics.parse_inbound(topics.event(PUMP)) == (PUMP, "event", "")


@pytest.mark.parametrize(
    "topic",
    [
        "plant/a/b/c/risk",
        "plant/a/b/c",
        "other/a/b/c/telemetry",
        "plant/a/b/../telemetry",
        "",
        "plant",
    ],
)
def test_what_is_not_inbound_is_refused(topic: str) -> None:
    with pytest.raises(PayloadError):
        Topics().parse_inbound(topic)


@pytest.mark.parametrize("root", ["", "a/#", "+", "$SYS", "/a"])
def test_a_bad_root_is_refused(root: str) -> None:
    with pytest.raises(DataError):
        Topics(root)


def test_signal_names_units_and_ranges() -> None:
    assert check_signal_name("vibration_rms") == "vibration_rms"
    for bad in ("", "1st", "a.b", "a" * 65, "=cmd()"):
        with pytest.raises(DataError):
            check_signal_name(bad)
    assert per_hour("mm/s") == "mm/s/h"
    assert per_hour("") == "1/h"
    assert within(5, 0, 10)
    assert within(5, None, None)
    assert not within(11, 0, 10)
    assert not within(math.nan, None, None)


def test_a_manual_clock_never_goes_back() -> None:
    clock = ManualClock(100)
    clock.advance_to(200)
    clock.advance_to(150)
    assert clock.now_ms() == 200


def test_every_error_is_one_sentence_with_its_fix() -> None:
    assert str(VigieError("It broke.", fix="Mend it.")) == "It broke. Mend it."

"""From bytes to plain values, strictly; each refusal has a short stable reason.

orjson refuses what the standard parser lets through: NaN, Infinity, 1e999, lone surrogates, bad
UTF-8 and nesting beyond 1,024 levels. What it accepts is bounded here by size.
"""

from __future__ import annotations

from typing import Any

import orjson

from plant.asset import AssetPath
from plant.errors import DataError, PayloadError
from plant.signal import check_signal_name
from plant.times import from_iso

#: Earlier time stamps (2000-01-01) are seconds taken for milliseconds, or a clock that was never set.
EARLIEST_MS = 946_684_800_000
#: The end of the year 9999, whatever the settings allow.
LATEST_MS = 253_402_300_799_999
MAX_SIGNALS = 1_000
MAX_SAMPLES = 10_000
_NUMBER_TYPES = frozenset((float, int))  # not bool, which is an int too


class StampError(PayloadError):
    """A time stamp that is too far in the future or past; carries it, for clock skew detection."""

    def __init__(
        self, reason: str, message: str, ts_ms: int, asset: AssetPath | None, *, fix: str
    ) -> None:
        super().__init__(reason, message, field="ts", fix=fix)
        self.ts_ms = ts_ms
        self.asset = asset


def loads(payload: bytes, max_bytes: int) -> Any:
    """Parse strict JSON. Raises PayloadError: too_large, empty, utf8, nesting, not_finite, json."""
    if len(payload) > max_bytes:
        raise PayloadError(
            "too_large",
            f"the payload has {len(payload)} bytes, more than {max_bytes}.",
            fix="Send less at once, or raise ingest.max_payload_bytes.",
        )
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise _json_error(payload, str(error)) from None


def _json_error(payload: bytes, problem: str) -> PayloadError:
    if not payload.strip():
        return PayloadError("empty", "the payload is empty.")
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError as error:
        return PayloadError(
            "utf8", f"the payload is not UTF-8 ({error.reason}).", fix="Send UTF-8."
        )
    if "depth" in problem or "recursion" in problem:
        return PayloadError("nesting", "the payload is nested too deeply.", fix="Send flat values.")
    if "infinity" in problem or b"NaN" in payload or b"Infinity" in payload:
        return PayloadError(
            "not_finite",
            "the payload holds a number that is not finite.",
            fix="Leave out values that are not known.",
        )
    if "surrogate" in problem:
        return PayloadError("utf8", f"the payload is not Unicode ({problem}).", fix="Send UTF-8.")
    return PayloadError("json", f"the payload is not JSON ({problem}).", fix="Send strict JSON.")


def check_stamp(ts_ms: int, latest_ms: int, asset: AssetPath | None = None) -> int:
    """Return a time stamp that may be stored. Raises StampError: ts_future, ts_past."""
    if ts_ms > latest_ms or ts_ms > LATEST_MS:
        raise StampError(
            "ts_future",
            f"the time stamp {ts_ms} is too far in the future.",
            ts_ms,
            asset,
            fix="Set the device's clock; ts is UTC epoch milliseconds.",
        )
    if ts_ms < EARLIEST_MS:
        raise StampError(
            "ts_past",
            f"the time stamp {ts_ms} is before the year 2000.",
            ts_ms,
            asset,
            fix="Set the device's clock; ts is UTC epoch milliseconds, not seconds.",
        )
    return ts_ms


def read_stamp(value: Any) -> int:
    """Read `ts`: epoch milliseconds or ISO 8601 with a zone. Raises PayloadError: ts_missing, ts_form."""
    kind = type(value)
    if kind is int:
        return int(value)
    if kind is str:
        try:
            return from_iso(value)
        except DataError as error:
            raise PayloadError("ts_form", error.message, field="ts", fix=error.fix) from error
    if kind is float and abs(value) < 1e18:
        return int(value)  # JavaScript's performance clocks carry fractions of a millisecond
    if value is None:
        raise PayloadError(
            "ts_missing", "the message has no time stamp.", field="ts", fix='Add "ts": epoch ms.'
        )
    raise PayloadError(
        "ts_form",
        f"the time stamp {str(value)[:60]!r} is not a time.",
        field="ts",
        fix="Send epoch milliseconds, or ISO 8601 with a zone.",
    )


def read_values(message: Any) -> dict[str, float]:
    """Check a `values` object: signal names to numbers; null means not measured and is left out.

    Raises PayloadError: form, no_values, not_a_number, signal_name.
    """
    if type(message) is not dict:
        raise PayloadError(
            "form",
            "values is not an object.",
            field="values",
            fix='Send "values": {"signal": number}.',
        )
    values: dict[str, float] = message
    if not _NUMBER_TYPES.issuperset(map(type, values.values())):
        values = {name: value for name, value in values.items() if value is not None}
        for name, value in values.items():
            if type(value) not in _NUMBER_TYPES:
                raise PayloadError(
                    "not_a_number",
                    f"{name[:64]} is {str(value)[:60]!r}, not a number.",
                    field=name[:64],
                    fix="Send a JSON number; map states such as ON to numbers in a mapping.",
                )
    if not values:
        raise PayloadError("no_values", "the reading has no values.", field="values")
    names = tuple(values)
    if names not in _known_names:
        _check_names(names)
    return values


def are_plain(values: dict[str, Any]) -> bool:
    """Tell whether a `values` object holds numbers only, under names that were checked before."""
    return tuple(values) in _known_names and _NUMBER_TYPES.issuperset(map(type, values.values()))


_known_names: set[tuple[str, ...]] = set()


def _check_names(names: tuple[str, ...]) -> None:
    if len(names) > MAX_SIGNALS:
        raise PayloadError(
            "too_many", f"the reading has {len(names)} values, more than {MAX_SIGNALS}."
        )
    for name in names:
        check_signal(name)
    if len(_known_names) >= 10_000:  # a hostile publisher could invent names for ever
        _known_names.clear()
    _known_names.add(names)


def check_signal(name: str) -> str:
    """Return a valid signal name. Raises PayloadError: signal_name."""
    try:
        return check_signal_name(name)
    except DataError as error:
        raise PayloadError("signal_name", error.message, field=name[:64], fix=error.fix) from error


def read_number(value: Any, field: str) -> float:
    """Return a JSON number as float. Raises PayloadError: not_a_number."""
    if type(value) not in _NUMBER_TYPES:
        raise PayloadError(
            "not_a_number",
            f"{field} is {str(value)[:60]!r}, not a number.",
            field=field,
            fix="Send a JSON number.",
        )
    return float(value)


def read_seq(value: Any) -> int | None:
    """Return a message counter, None when there is none. Raises PayloadError: seq."""
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < 2**63:
        raise PayloadError("seq", f"seq is {str(value)[:60]!r}, not a counter.", field="seq")
    return int(value)


def read_text(value: Any, field: str, most: int = 200) -> str:
    """Return a text, empty when there is none. Raises PayloadError: text."""
    if value is None:
        return ""
    if type(value) is not str or len(value) > most:
        raise PayloadError(
            "text", f"{field} is not a text of at most {most} characters.", field=field
        )
    return value


def read_flag(value: Any, field: str) -> bool:
    """Return a flag, False when there is none. Raises PayloadError: flag."""
    if value is None:
        return False
    if type(value) is not bool:
        raise PayloadError(
            "flag", f"{field} is {str(value)[:60]!r}, not true or false.", field=field
        )
    return value

"""Time at the edges: epoch milliseconds (UTC) inside, ISO 8601 `Z` outside, hours for horizons."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from plant.errors import DataError

SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_WITHOUT_ZONE = _EPOCH.replace(tzinfo=None)
_FIRST_MS = (datetime.min - _EPOCH_WITHOUT_ZONE) // timedelta(milliseconds=1)
_LAST_MS = (datetime.max - _EPOCH_WITHOUT_ZONE) // timedelta(milliseconds=1)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|w)")
_UNIT_MS = {
    "ms": 1,
    "s": SECOND_MS,
    "m": MINUTE_MS,
    "min": MINUTE_MS,
    "h": HOUR_MS,
    "d": DAY_MS,
    "w": 7 * DAY_MS,
}


@lru_cache(maxsize=1_024)  # the machines of a fleet are judged at the same moments
def to_iso(ts_ms: int) -> str:
    """Write epoch milliseconds as ISO 8601 with `Z`; milliseconds appear only when not zero."""
    moment = _EPOCH_WITHOUT_ZONE + timedelta(milliseconds=ts_ms)
    return moment.isoformat(timespec="milliseconds" if ts_ms % 1000 else "seconds") + "Z"


def from_iso(text: str) -> int:
    """Read ISO 8601 with a zone (`Z` or an offset) as epoch milliseconds.

    A time without a zone is refused: guessing one is how an hour gets lost. Raises DataError.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise DataError(
            f"{text[:60]!r} is not an ISO 8601 time.", fix="Write it like 2026-11-22T10:00:00Z."
        ) from error
    if moment.tzinfo is None:
        raise DataError(
            f"the time {text[:60]!r} has no zone.", fix="Add Z (UTC) or an offset like +01:00."
        )
    try:
        delta = moment - _EPOCH
    except OverflowError as error:
        raise DataError(
            f"the time {text[:60]!r} is out of range.", fix="Use a year from 1 to 9999."
        ) from error
    return delta // timedelta(milliseconds=1)


def parse_moment(text: str, now_ms: int) -> int:
    """Read a command's time argument: ISO 8601 (a bare date is midnight UTC), `now`, or `-7d`.

    Raises DataError naming the accepted forms.
    """
    text = text.strip()
    if text == "now":
        return now_ms
    if text.startswith("-"):
        ago = now_ms - parse_duration_ms(text[1:])
        if not _FIRST_MS <= ago <= _LAST_MS:
            raise DataError(
                f"the time {text[:60]!r} is out of range.", fix="Use a year from 1 to 9999."
            )
        return ago
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        text += "T00:00:00Z"
    return from_iso(text)


def parse_duration_ms(text: str) -> int:
    """Read `3d 4h`, `10min`, `250ms` as milliseconds. Raises DataError when it is none of these."""
    compact = text.strip()
    pieces = _DURATION.findall(compact)
    if not pieces or _DURATION.sub("", compact).strip():
        raise DataError(
            f"{text[:60]!r} is not a duration.", fix="Write it like 3d 4h, 10min or 250ms."
        )
    return round(sum(float(number) * _UNIT_MS[unit] for number, unit in pieces))


def format_duration(ms: float) -> str:
    """Write milliseconds for people: `3 d 4 h`, `25 min`, `40 s`."""
    seconds = round(abs(ms) / SECOND_MS)
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    if days:
        text = f"{days} d {hours} h" if hours else f"{days} d"
    elif hours:
        text = f"{hours} h {minutes} min" if minutes else f"{hours} h"
    elif minutes:
        text = f"{minutes} min"
    else:
        text = f"{seconds} s"
    return f"-{text}" if ms < 0 else text

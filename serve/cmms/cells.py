"""From a cell to a value: dates in the plant's order, hours with a comma, yes and no in three languages."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from plant.errors import DataError
from serve.cmms.words import FALSE_WORDS, TRUE_WORDS

_DATE = re.compile(
    r"(\d{1,4})[/.\-](\d{1,2})[/.\-](\d{1,4})(?:[ T,]+(\d{1,2})[:h.](\d{2})(?:[:.](\d{2}))?\s*([ap]m)?)?",
    re.IGNORECASE,
)


def read_moment(
    cell: object, order: str, zone: ZoneInfo, placeholders: tuple[str, ...]
) -> int | None:
    """Return a date cell as epoch ms, None when it is empty or a placeholder.

    A date without a time is midday, so that no zone moves it to another day. Raises DataError.
    """
    if isinstance(cell, datetime):
        moment = cell
    elif isinstance(cell, date):
        moment = datetime.combine(cell, time(12))
    else:
        text = str(cell).strip() if cell is not None else ""
        if not text or text.lower() in {p.lower() for p in placeholders}:
            return None
        moment = _parse(text, order)
    if moment.year < 1970:
        return None  # a spreadsheet's zero
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return round(moment.timestamp() * 1000)


def _parse(text: str, order: str) -> datetime:
    match = _DATE.fullmatch(text)
    if match is None:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise DataError(f"{text[:40]!r} is not a date.") from error
        return moment
    first, middle, last = (int(part) for part in match.groups()[:3])
    if len(match[1]) == 4:
        year, month, day = first, middle, last
    elif order == "ymd":
        year, month, day = _year(first, match[1]), middle, last
    else:
        year = _year(last, match[3])
        day, month = (first, middle) if order == "dmy" else (middle, first)
    hour, minute, second = (int(part or 0) for part in match.groups()[3:6])
    if match[4] is None:
        hour = 12
    elif match[7]:
        hour = hour % 12 + (12 if match[7].lower() == "pm" else 0)
    try:
        return datetime(year, month, day, hour, minute, second)
    except ValueError as error:
        raise DataError(f"{text[:40]!r} is not a date ({order}).") from error


def _year(number: int, text: str) -> int:
    """Return the year; two digits are this century up to 69."""
    if len(text) >= 3:
        return number
    return number + (2000 if number < 70 else 1900)


def read_hours(cell: object) -> float | None:
    """Return hours: `2.5`, `2,5`, `2:30`, `2 h`; None when empty. Raises DataError."""
    if isinstance(cell, (int, float)):
        return float(cell)
    text = str(cell or "").strip().lower().removesuffix("h").strip()
    if not text:
        return None
    clock = re.fullmatch(r"(\d+):(\d{2})", text)
    if clock:
        return int(clock[1]) + int(clock[2]) / 60
    try:
        return float(text.replace(",", "."))
    except ValueError as error:
        raise DataError(f"{text[:40]!r} is not a number of hours.") from error


def read_bool(cell: object) -> bool | None:
    """Return yes or no in English, French or German; None when empty. Raises DataError."""
    if isinstance(cell, bool):
        return cell
    text = str(cell if cell is not None else "").strip().lower()
    if not text:
        return None
    if text in TRUE_WORDS:
        return True
    if text in FALSE_WORDS:
        return False
    raise DataError(f"{text[:40]!r} is neither yes nor no.")

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant.errors import DataError
from plant.times import to_iso
from serve.cmms.cells import read_bool, read_hours, read_moment

PARIS = ZoneInfo("Europe/Paris")
EMPTY = ("0/1/00", "-")


@pytest.mark.parametrize(
    ("text", "order", "iso"),
    [
        ("13/09/2001", "dmy", "2001-09-13T10:00:00Z"),
        ("8/03/2006", "dmy", "2006-03-08T11:00:00Z"),
        ("8/03/06", "dmy", "2006-03-08T11:00:00Z"),
        ("3/4/2026", "mdy", "2026-03-04T11:00:00Z"),
        ("2026-03-04", "dmy", "2026-03-04T11:00:00Z"),
        ("2026/03/04 08:30", "dmy", "2026-03-04T07:30:00Z"),
        ("04.03.2026 08:30", "dmy", "2026-03-04T07:30:00Z"),
        ("03/04/2026 08:30 PM", "mdy", "2026-03-04T19:30:00Z"),
        ("03/04/2026 12:05 am", "mdy", "2026-03-03T23:05:00Z"),
        ("2026-03-04T08:30:00+00:00", "dmy", "2026-03-04T08:30:00Z"),
        ("30/6/31", "dmy", "2031-06-30T10:00:00Z"),
        ("1/1/99", "dmy", "1999-01-01T11:00:00Z"),
    ],
)
def test_dates(text: str, order: str, iso: str) -> None:
    found = read_moment(text, order, PARIS, EMPTY)
    assert found is not None
    assert to_iso(found) == iso


@pytest.mark.parametrize("cell", ["", "  ", None, "0/1/00", "-", datetime(1899, 12, 30)])
def test_placeholders_are_no_date(cell: object) -> None:
    assert read_moment(cell, "dmy", PARIS, EMPTY) is None


@pytest.mark.parametrize("text", ["31/02/2026", "13/13/2026", "yesterday", "1/2", "99/99/9999"])
def test_what_is_no_date_is_said(text: str) -> None:
    with pytest.raises(DataError):
        read_moment(text, "dmy", PARIS, EMPTY)


@given(st.text(max_size=30))
def test_any_text_is_a_date_nothing_or_an_error(text: str) -> None:
    try:
        read_moment(text, "dmy", PARIS, EMPTY)
        read_hours(text)
        read_bool(text)
    except (DataError, OverflowError):
        pass


def test_hours_and_booleans() -> None:
    assert [read_hours(c) for c in ("2,5", "2:30", "2.5 h", 2.5, "")] == [2.5, 2.5, 2.5, 2.5, None]
    assert [read_bool(c) for c in ("Oui", "nein", True, "", "x")] == [True, False, True, None, True]
    with pytest.raises(DataError):
        read_hours("two")
    with pytest.raises(DataError):
        read_bool("maybe")

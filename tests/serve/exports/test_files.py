"""Each format read back by another library."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import datetime

import icalendar
import openpyxl
import pandas as pd
import pytest

from plant.times import HOUR_MS
from serve.exports import PROFILES, ExportSettings, write_csv, write_ics, write_xlsx
from serve.exports.calendar import escape, fold
from serve.exports.fields import FIELDS
from serve.schedule import Plan, ScheduleSettings, plan
from serve.schedule.job import Wish
from tests.serve.schedule.cases import NOW, plant, risks

SETTINGS = ScheduleSettings(time_limit_s=5.0)


@pytest.fixture(scope="module")
def made() -> Plan:
    return plan(plant(), risks(), NOW, SETTINGS)


def _frame(data: bytes, **options: object) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(data), encoding="utf-8-sig", **options)  # type: ignore[call-overload, no-any-return]


def test_csv_is_read_back_by_pandas(made: Plan) -> None:
    frame = _frame(write_csv(made, plant()))
    assert frame["Key"].tolist() == [job.key for job in made.jobs]
    starts = pd.to_datetime(frame["Start"], utc=True)
    assert [round(t.timestamp() * 1000) for t in starts] == [job.start_ms for job in made.jobs]
    assert frame["Cost of waiting a week"].tolist() == pytest.approx(
        [round(job.wait_cost, 2) for job in made.jobs]
    )


@pytest.mark.parametrize(("language", "header"), [("fr", "Début"), ("de", "Beginn")])
def test_csv_speaks_french_and_german(made: Plan, language: str, header: str) -> None:
    settings = ExportSettings(language=language, date_format="%d/%m/%Y %H:%M")  # type: ignore[arg-type]
    data = write_csv(made, plant(), "vigie", settings)
    assert data.startswith(b"\xef\xbb\xbf")
    frame = _frame(data, sep=";", decimal=",")
    parsed = datetime.strptime(frame[header][0], "%d/%m/%Y %H:%M")
    assert parsed.minute == 0
    assert frame.iloc[:, 9].dtype.kind in "fi"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_csv_in_each_encoding(made: Plan, encoding: str) -> None:
    settings = ExportSettings(language="fr", encoding=encoding, separator="\t")  # type: ignore[arg-type]
    text = write_csv(made, plant(), "vigie", settings).decode(encoding)
    assert text.split("\r\n")[0].split("\t")[:2] == ["Clé", "Machine"]


@pytest.mark.parametrize("profile", PROFILES)
def test_each_profile_carries_the_key_and_is_the_same_when_written_again(
    made: Plan, profile: str
) -> None:
    one, two = (write_csv(made, plant(), profile) for _ in range(2))  # type: ignore[arg-type]
    assert one == two
    frame = _frame(one, sep="\t" if profile == "sap" else ",", dtype=str)
    assert len(frame) == len(made.jobs)
    text = frame.to_string()
    for job in made.jobs:
        assert job.key in text or job.key.removeprefix("VG-")[:9] in text


def test_profiles_keep_their_systems_limits_and_headers(made: Plan) -> None:
    sap = _frame(write_csv(made, plant(), "sap"), sep="\t", dtype=str)
    assert sap["SHORT_TEXT"].str.len().max() <= 40
    assert sap["DESSTDATE"].str.fullmatch(r"\d{8}").all()
    maximo = _frame(write_csv(made, plant(), "maximo"), dtype=str)
    assert maximo["WONUM"].str.len().max() <= 10
    assert maximo["SCHEDSTART"].str.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0[12]:00").all()
    assert maximo["EXTERNALREFID"].is_unique
    atlas = _frame(write_csv(made, plant(), "atlas"), dtype=str)
    assert {"Title", "Due Date", "Asset Name", "Completed On"} <= set(atlas.columns)
    fiix = _frame(write_csv(made, plant(), "fiix"), dtype=str)
    assert fiix["Code"].tolist() == [job.key for job in made.jobs]


def test_workbook_is_read_back_by_openpyxl(made: Plan) -> None:
    book = openpyxl.load_workbook(io.BytesIO(write_xlsx(made, plant())))
    sheet = book.worksheets[0]
    rows = list(sheet.iter_rows(values_only=True))
    assert [row[0] for row in rows[1:]] == [job.key for job in made.jobs]
    start = [field.name for field in FIELDS].index("start")
    for row, job in zip(rows[1:], made.jobs, strict=True):
        assert isinstance(row[start], datetime)
        local = row[start].replace(tzinfo=plant().timezone("lyon"))
        assert round(local.timestamp() * 1000) == job.start_ms
    assert sheet.freeze_panes == "C2"
    assert sheet.tables["Plan"].autoFilter is not None
    assert dict(book.worksheets[1].iter_rows(values_only=True))["simulated"] == "no"


def test_simulated_plans_say_so_in_every_export() -> None:
    fake = [replace(r, simulated=True, run_id="run-7") for r in risks()]
    made = plan(plant(), fake, NOW, SETTINGS)
    for profile in PROFILES:
        rows = write_csv(made, plant(), profile).decode("utf-8-sig").splitlines()[1:]
        assert all("run-7" in row for row in rows), profile
    book = openpyxl.load_workbook(io.BytesIO(write_xlsx(made, plant())))
    assert dict(book.worksheets[1].iter_rows(values_only=True))["simulated"] == "run-7"
    for event in icalendar.Calendar.from_ical(write_ics(made, plant())).events:
        assert event["X-VIGIE-RUN-ID"] == "run-7"
        assert "simulated" in event["SUMMARY"]


def test_calendar_is_read_back_by_icalendar(made: Plan) -> None:
    data = write_ics(made, plant(), "de")
    assert all(len(line) <= 75 for line in data.split(b"\r\n"))
    events = {str(e["UID"]): e for e in icalendar.Calendar.from_ical(data).events}
    assert len(events) == len(made.jobs)
    for job in made.jobs:
        event = events[f"{job.key}@vigie"]
        assert round(event.start.timestamp() * 1000) == job.start_ms
        assert round(event.end.timestamp() * 1000) == job.stop_ms
        assert event["STATUS"] == "TENTATIVE"
        assert str(event["DTSTART"].params["TZID"]) == "Europe/Paris"


def test_sequence_rises_and_status_follows_the_job(made: Plan) -> None:
    job = made.jobs[1]
    assert job.start_ms is not None
    wish = Wish(job.id, job.start_ms + 24 * HOUR_MS, job.crew)
    pinned = plan(plant(), risks(), NOW + HOUR_MS, SETTINGS, previous=made, wishes={job.id: wish})
    gone = plan(
        plant(),
        [r for r in risks() if str(r.asset) != str(job.asset)],
        NOW + 2 * HOUR_MS,
        SETTINGS,
        previous=pinned,
    )
    seen = []
    for version in (made, pinned, gone):
        calendar = icalendar.Calendar.from_ical(write_ics(version, plant()))
        event = next(e for e in calendar.events if str(e["UID"]) == f"{job.key}@vigie")
        seen.append((int(event["SEQUENCE"]), str(event["STATUS"])))
    assert [status for _, status in seen] == ["TENTATIVE", "CONFIRMED", "CANCELLED"]
    assert [number for number, _ in seen] == [0, 1, 2]


def test_the_zone_in_the_calendar_changes_when_the_clocks_do(made: Plan) -> None:
    calendar = icalendar.Calendar.from_ical(write_ics(made, plant()))
    (zone,) = calendar.timezones
    info = zone.to_tz(lookup_tzid=False)
    for text, hours in (("2026-03-28T12:00", 1), ("2026-03-29T12:00", 2), ("2026-06-01T12:00", 2)):
        offset = datetime.fromisoformat(text).replace(tzinfo=info).utcoffset()
        assert offset is not None
        assert offset.total_seconds() == hours * 3600


def test_text_is_escaped_and_folded_by_octets() -> None:
    assert escape("a;b,c\\d\r\ne") == "a\\;b\\,c\\\\d\\ne"
    line = "SUMMARY:" + "é🔧" * 60
    folded = fold(line)
    assert all(len(piece) <= 75 for piece in folded.split(b"\r\n"))
    assert folded.replace(b"\r\n ", b"").decode() == line + "\r\n"

"""Two hundred hostile names through every sink of planning and figures: nothing executes or breaks."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import icalendar
import openpyxl
import pytest

from plant.asset import AssetPath
from plant.clock import ManualClock
from plant.event import Event
from plant.times import DAY_MS
from serve.exports import PROFILES, ExportSettings, write_csv, write_ics, write_xlsx
from serve.exports.cells import safe_cell, safe_name
from serve.kpi import KpiSettings, compute
from serve.kpi.page import write_html
from serve.kpi.table import write_csv as write_kpi_csv
from serve.schedule import Plan, ScheduleSettings, plan
from serve.schedule.gantt import draw_gantt
from store.sqlite import SqliteStore
from tests.serve.exports.hostile import hostile_names
from tests.serve.schedule.cases import NOW, plant, risks

NAMES = hostile_names()


@pytest.fixture(scope="module")
def nasty() -> Plan:
    """A plan with a job per hostile name, in every field that holds free text."""
    made = plan(plant(), risks(), NOW, ScheduleSettings(time_limit_s=3.0))
    base = made.jobs[0]
    jobs = tuple(
        replace(
            base, key=f"VG-{n:012X}", mode=name, label=name, action=name, crew=name, skill=name,
            evidence=name, note=name, run_id=name, simulated=bool(n % 2), parts={name: 1},
            displaced=(name,), displaced_by=(name,), together_with=(name,), reason="together",
            start_ms=(base.start_ms or 0) + n * 3_600_000, stop_ms=(base.stop_ms or 0) + n * 3_600_000,
        )
        for n, name in enumerate(NAMES)
    )  # fmt: skip
    return replace(made, jobs=jobs, notes=tuple(NAMES), orders=dict.fromkeys(NAMES, 1))


def _danger(cell: str) -> bool:
    return cell.lstrip(" \u00a0")[:1] in set("=+-@\t\r\n＝＋－＠") if cell else False


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_csv(nasty: Plan, profile: str, encoding: str) -> None:
    settings = ExportSettings(encoding=encoding, separator=",")  # type: ignore[arg-type]
    text = write_csv(nasty, plant(name=NAMES[0]), profile, settings).decode(encoding)  # type: ignore[arg-type]
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert len(rows) == len(NAMES) + 1
    assert {len(row) for row in rows} == {len(rows[0])}
    for row in rows[1:]:
        for cell in row:
            assert not _danger(cell) or re.fullmatch(r"-?[\d.,]+", cell), cell[:40]
            assert not set(cell) & set("\x00\u202e\u2066\x1b")


def test_xlsx(nasty: Plan) -> None:
    book = openpyxl.load_workbook(io.BytesIO(write_xlsx(nasty, plant(name="=1+1"))))
    for sheet in book.worksheets:
        for row in sheet.iter_rows():
            assert all(cell.data_type != "f" for cell in row)
    assert book.worksheets[0].max_row == len(NAMES) + 1


def test_ics(nasty: Plan) -> None:
    data = write_ics(nasty, plant(name="x\r\nBEGIN:VEVENT"))
    assert all(len(line) <= 75 for line in data.split(b"\r\n"))
    assert b"\n" not in data.replace(b"\r\n", b"")
    events = icalendar.Calendar.from_ical(data).events
    assert len(events) == len(NAMES)
    assert {str(event["STATUS"]) for event in events} == {"TENTATIVE"}


def test_gantt(nasty: Plan) -> None:
    for start in (0, 100):
        part = replace(nasty, jobs=nasty.jobs[start : start + 100 : 4])
        assert draw_gantt(part, plant(name=NAMES[start])).startswith(b"\x89PNG")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.handlers: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.handlers |= {name for name, _ in attrs if name.startswith("on")}


def test_html_and_kpi_csv(tmp_path: Path) -> None:
    """Machines' names are restricted by the contract; modes, notes, run ids and the plant's are not."""
    store = SqliteStore(tmp_path, ManualClock(NOW))
    pump = AssetPath.parse("lyon/l1/pump-0")
    names = [name.encode("utf-8", "replace").decode() for name in NAMES]
    store.write_events(
        [
            Event(
                pump, NOW - (n + 1) * 3_600_000, "failure", mode=name, note=name, key=f"k{n}", who=name,
                duration_h=0.5, simulated=True, run_id=name,
            )
            for n, name in enumerate(names)
        ]
    )  # fmt: skip
    for name in ("</title><script>alert(1)</script>", "{{7*7}}"):
        report = compute(
            store, plant(name=name), KpiSettings(resamples=100), NOW - 20 * DAY_MS, NOW, by="mode"
        )
        page = write_html(report).decode()
        tags = _Tags()
        tags.feed(page)
        assert "script" not in tags.tags
        assert "img" not in tags.tags
        assert not tags.handlers
        assert "49:" not in page
        for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
            ElementTree.fromstring(svg)
        rows = list(csv.reader(io.StringIO(write_kpi_csv(report).decode("utf-8-sig"), newline="")))
        assert not [
            c for row in rows for c in row if _danger(c) and not re.fullmatch(r"-?[\d.e+-]+", c)
        ]
    store.close()


@pytest.mark.parametrize("name", NAMES)
def test_file_names_and_cells(name: str) -> None:
    file = safe_name(name)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", file)
    assert file.lower() not in {"con", "nul", "prn", "aux"}
    assert not _danger(safe_cell(name))
    assert len(safe_cell(name)) <= 32_001

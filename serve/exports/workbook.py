"""XLSX: a workbook that a planner opens and works in."""

from __future__ import annotations

import io
from datetime import UTC, datetime

from openpyxl import Workbook
from openpyxl.cell import Cell, MergedCell
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.properties import PageSetupProperties
from openpyxl.worksheet.table import Table, TableStyleInfo
from openpyxl.worksheet.worksheet import Worksheet

from plant.config import Plant
from plant.times import to_iso
from serve.exports.cells import clean
from serve.exports.fields import FIELDS, Field, Source, Value
from serve.schedule.plan import Plan
from serve.schedule.words import Language

_TITLES = {"en": ("Plan", "About"), "fr": ("Plan", "À propos"), "de": ("Plan", "Über")}
_FORMATS = {
    "start": "yyyy-mm-dd hh:mm",
    "stop": "yyyy-mm-dd hh:mm",
    "p_fail": "0.0%",
    "p_fail_week": "0.0%",
    "wait_cost": "#,##0",
    "expected_cost": "#,##0",
    "duration_h": "0.0#",
    "stoppage_h": "0.0#",
}
_WRAPPED = {"why", "evidence", "action"}


def write_xlsx(plan: Plan, plant: Plant, language: Language = "en") -> bytes:
    """Return the plan as a workbook: filters, frozen header, real dates (local to each site)."""
    book = Workbook()
    sheet = book.worksheets[0]
    sheet.title, about = _TITLES[language]
    _header(sheet, language)
    for row, job in enumerate(plan.jobs, start=2):
        source = Source(job, plan, plant, language)
        for column, field in enumerate(FIELDS, start=1):
            _put(sheet.cell(row, column), field, field.value(source))
    last = f"{get_column_letter(len(FIELDS))}{max(len(plan.jobs) + 1, 2)}"
    table = Table(displayName="Plan", ref=f"A1:{last}")
    table.tableStyleInfo = TableStyleInfo(name="TableStyleMedium2", showRowStripes=True)
    sheet.add_table(table)
    sheet.freeze_panes = "C2"
    sheet.page_setup.orientation = "landscape"
    sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight = 1, 0
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    sheet.print_title_rows = "1:1"
    _about(book.create_sheet(about), plan, plant)
    made = datetime.fromtimestamp(plan.made_ms / 1000, UTC).replace(tzinfo=None)
    book.properties.created = book.properties.modified = made
    book.properties.creator, book.properties.title = (
        "Vigie",
        clean(f"{plant.name} {_TITLES[language][0]}"),
    )
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _header(sheet: Worksheet, language: Language) -> None:
    for column, field in enumerate(FIELDS, start=1):
        cell = sheet.cell(1, column, field.headings[language])
        cell.font = Font(bold=True, color="FFFFFF")
        cell.fill = PatternFill("solid", fgColor="1F4E78")
        cell.alignment = Alignment(wrap_text=True, vertical="center")
        sheet.column_dimensions[get_column_letter(column)].width = field.width
    sheet.row_dimensions[1].height = 32


def _put(cell: Cell | MergedCell, field: Field, value: Value) -> None:
    """Write a value; text stays text, whatever it begins with."""
    if isinstance(value, datetime):
        # A workbook's dates have no zone: local wall-clock time, to the second.
        cell.value = value.replace(tzinfo=None)
    elif isinstance(value, str):
        cell.value = clean(value)
        cell.data_type = "s"  # openpyxl would take a leading = for a formula
        if value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
            cell.quotePrefix = True  # and a person who edits the cell does not make one either
    else:
        cell.value = value
    cell.number_format = _FORMATS.get(field.name, "General")
    cell.alignment = Alignment(vertical="top", wrap_text=field.name in _WRAPPED)


def _about(sheet: Worksheet, plan: Plan, plant: Plant) -> None:
    runs = sorted({job.run_id for job in plan.jobs if job.simulated})
    rows: list[tuple[str, str | float]] = [
        ("plant", clean(plant.name)),
        ("made", to_iso(plan.made_ms)),
        ("from", to_iso(plan.start_ms)),
        ("to", to_iso(plan.stop_ms)),
        ("currency", clean(plan.currency)),
        ("expected cost", round(plan.cost, 2)),
        ("gap to the best possible", round(plan.gap, 5) if plan.gap < 1e6 else "unknown"),
        ("method", plan.method),
        ("simulated", ", ".join(runs) or "yes" if any(j.simulated for j in plan.jobs) else "no"),
        ("orders", ", ".join(f"{count} × {name}" for name, count in plan.orders.items())),
        *(("note", clean(note)) for note in (*plan.notes, *plan.violations)),
    ]
    for number, (name, value) in enumerate(rows, start=1):
        sheet.cell(number, 1, name).font = Font(bold=True)
        cell = sheet.cell(number, 2, clean(value) if isinstance(value, str) else value)
        if isinstance(value, str):
            cell.data_type = "s"
    sheet.column_dimensions["A"].width, sheet.column_dimensions["B"].width = 26, 70

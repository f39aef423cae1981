"""A CSV or XLSX file as rows, whatever its encoding and separator."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from plant.errors import DataError
from serve.cmms.columns import ColumnMapping

MAX_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class Table:
    """headers and rows as (row number in the file, cells)."""

    headers: list[str]
    rows: list[tuple[int, list[object]]]
    told: str


def read_table(path: Path, mapping: ColumnMapping) -> Table:
    """Read the file. Raises DataError when it is neither CSV nor XLSX, or empty."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path.name} is larger than {MAX_BYTES:,} bytes.", fix="Split it.")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}).", fix="Check the path.") from error
    if data[:4] == b"PK\x03\x04":
        return _xlsx(data, path.name, mapping)
    return _csv(data, path.name, mapping)


def decode(data: bytes, encoding: str = "") -> tuple[str, str]:
    """Return (text, encoding): the named one, else by its mark, else UTF-8, else Windows-1252."""
    if encoding:
        try:
            return data.decode(encoding), encoding
        except (LookupError, UnicodeDecodeError) as error:
            raise DataError(f"the file is not {encoding} ({error}).") from error
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return data.decode("utf-16"), "utf-16"
    try:
        return data.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), "cp1252"


def _csv(data: bytes, name: str, mapping: ColumnMapping) -> Table:
    text, encoding = decode(data, mapping.encoding)
    if "\0" in text:
        raise DataError(f"{name} is not a text table.", fix="Export it as CSV or XLSX.")
    separator = mapping.separator or _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        rows = list(_numbered(reader))
    except csv.Error as error:
        raise DataError(f"{name} is not a CSV file ({error}).") from error
    if not rows:
        raise DataError(f"{name} is empty.")
    shown = {"\t": "tab"}.get(separator, separator)
    return Table(
        [str(cell) for cell in rows[0][1]], rows[1:], f"CSV, {encoding}, separator {shown}"
    )


def _numbered(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[object]]]:
    for number, cells in enumerate(reader, start=1):
        if any(cell.strip() for cell in cells):
            yield number, list(cells)


def _separator(text: str) -> str:
    """Return the separator that splits the header most, outside quotes."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    counts = {mark: len(next(csv.reader([header], delimiter=mark), [])) for mark in ",;\t|"}
    return max(counts, key=lambda mark: counts[mark])


def _xlsx(data: bytes, name: str, mapping: ColumnMapping) -> Table:
    from openpyxl import load_workbook  # noqa: PLC0415 - only for workbooks
    from openpyxl.utils.exceptions import InvalidFileException  # noqa: PLC0415

    try:
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        if mapping.sheet and mapping.sheet not in book.sheetnames:
            raise DataError(
                f"{name} has no sheet {mapping.sheet!r}.", fix=f"It has: {book.sheetnames}."
            )
        sheet = book[mapping.sheet] if mapping.sheet else book.worksheets[0]
        rows = [
            (number, list(cells))
            for number, cells in enumerate(sheet.iter_rows(values_only=True), start=1)
            if any(cell not in {None, ""} for cell in cells)
        ]
        book.close()
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, IndexError) as error:
        raise DataError(f"{name} is not a readable workbook ({error}).") from error
    if not rows:
        raise DataError(f"{name} is empty.")
    headers = ["" if cell is None else str(cell) for cell in rows[0][1]]
    return Table(headers, [(n, list(c)) for n, c in rows[1:]], f"XLSX, sheet {sheet.title}")

"""CSV: the own format and the profiles of other systems."""

from __future__ import annotations

import csv
import io
from datetime import datetime

from plant.config import Plant
from plant.errors import DataError
from serve.exports.cells import safe_cell
from serve.exports.fields import Source, Value
from serve.exports.profiles import Column, layout
from serve.exports.settings import ExportSettings, Profile
from serve.schedule.plan import Plan
from serve.schedule.words import Language


def write_csv(
    plan: Plan, plant: Plant, profile: Profile = "vigie", settings: ExportSettings | None = None
) -> bytes:
    """Return the plan as a CSV file. Writing the same plan twice gives the same bytes.

    Raises DataError when the date format or the encoding cannot write it.
    """
    settings = settings or ExportSettings()
    language: Language = settings.language
    shape = layout(profile, settings, language)
    out = io.StringIO(newline="")
    separator = settings.separator or shape.separator
    writer = csv.writer(out, delimiter=separator, lineterminator="\r\n", quoting=csv.QUOTE_MINIMAL)
    writer.writerow([safe_cell(column.header) for column in shape.columns])
    for job in plan.jobs:
        if shape.slots_only and job.start_ms is None:
            continue
        source = Source(job, plan, plant, language)
        writer.writerow([_text(c, c.value(source), settings, language) for c in shape.columns])
    try:
        return out.getvalue().encode(settings.encoding, errors=_errors(settings.encoding))
    except UnicodeEncodeError as error:
        raise DataError(f"the plan cannot be written in {settings.encoding} ({error}).") from error


def _errors(encoding: str) -> str:
    """cp1252 lacks most letters: a question mark is better than no file."""
    return "replace" if encoding == "cp1252" else "strict"


def _text(column: Column, value: Value, settings: ExportSettings, language: Language) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return format_moment(value, settings.date_format or column.date)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        text = f"{value:.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
        text = "0" if text in {"", "-0"} else text
        return text.replace(".", ",") if language != "en" and not column.date else text
    return safe_cell(value)


def format_moment(moment: datetime, form: str) -> str:
    """Return a local moment in a strftime format (`%:z` too), or in ISO 8601 with its offset."""
    if not form:
        return moment.isoformat(timespec="minutes")
    offset = moment.strftime("%z")
    try:
        return moment.strftime(form.replace("%:z", f"{offset[:3]}:{offset[3:5]}"))
    except (ValueError, UnicodeEncodeError) as error:
        raise DataError(
            f"{form!r} is not a date format.", fix="Write it like %d/%m/%Y %H:%M."
        ) from error

"""What other maintenance systems want in an import file: their headers, their dates, their limits.

Headers of a system are its own and are not translated; sentences are. Each profile carries the job's key
where the system keeps a foreign key, or in the title where it has none, so that a second import can
be matched and the finished order be read back. Columns that need the plant's own codes (priority,
organisation) hold sensible ones and can be changed in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from serve.exports.cells import one_line
from serve.exports.fields import FIELDS, Source, Value
from serve.exports.settings import ExportSettings, Profile
from serve.schedule.words import Language


@dataclass(frozen=True, slots=True)
class Column:
    """A header and the value below it; `date` is its strftime format when it holds a moment."""

    header: str
    value: Callable[[Source], Value]
    date: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a profile; `slots_only`: jobs without a slot are not written."""

    columns: tuple[Column, ...]
    separator: str
    slots_only: bool


def layout(profile: Profile, settings: ExportSettings, language: Language) -> Layout:
    """Return how a profile writes the plan."""
    if profile == "vigie":
        separator = "," if language == "en" else ";"
        columns = tuple(Column(field.headings[language], field.value) for field in FIELDS)
        return Layout(columns, separator, slots_only=False)
    separator = "\t" if profile == "sap" else ","
    return Layout(_PROFILES[profile](settings), separator, slots_only=True)


def _atlas(settings: ExportSettings) -> tuple[Column, ...]:
    """Atlas CMMS, work order import (WorkOrderImportDTO). No foreign key: it leads the title."""
    status = {"done": "COMPLETE", "cancelled": "ON_HOLD"}
    priority = {1: "HIGH", 2: "HIGH", 3: "MEDIUM", 4: "LOW"}
    stamp = "%m/%d/%Y %H:%M"
    return (
        Column("ID", lambda s: ""),
        Column("Title", lambda s: one_line(f"[{s.job.key}] {s.title}", 250)),
        Column("Status", lambda s: status.get(s.job.state, "OPEN")),
        Column("Priority", lambda s: priority[s.priority]),
        Column("Description", lambda s: s.text),
        Column("Due Date", lambda s: s.local(s.job.stop_ms), stamp),
        Column("Estimated Start Date", lambda s: s.local(s.job.start_ms), stamp),
        Column("Estimated Duration", lambda s: s.job.duration_h),
        Column("Requires Signature", lambda s: "No"),
        Column("Category", lambda s: "Predictive"),
        Column("Location Name", lambda s: s.job.asset.line_path),
        Column("Team Name", lambda s: s.job.crew),
        Column("Primary User Email", lambda s: ""),
        Column("Assigned To Emails", lambda s: ""),
        Column("Asset Name", lambda s: str(s.job.asset)),
        Column("Completed By Email", lambda s: ""),
        Column("Completed On", lambda s: ""),
        Column("Archived", lambda s: "No"),
        Column("Feedback", lambda s: ""),
    )


def _maximo(settings: ExportSettings) -> tuple[Column, ...]:
    """IBM Maximo, object structure MXWO (WORKORDER). WONUM 10 characters: EXTERNALREFID holds the key."""
    status = {"pinned": "WSCH", "cancelled": "CAN", "done": "COMP"}
    return (
        Column("SITEID", lambda s: s.job.asset.site.upper()[:8]),
        Column("WONUM", lambda s: "V" + s.job.key.removeprefix("VG-")[:9]),
        Column("DESCRIPTION", lambda s: one_line(s.title, 100)),
        Column("DESCRIPTION_LONGDESCRIPTION", lambda s: s.text),
        Column("ASSETNUM", lambda s: s.job.asset.asset),
        Column("LOCATION", lambda s: s.job.asset.line_path),
        Column("WORKTYPE", lambda s: "PDM"),
        Column("STATUS", lambda s: status.get(s.job.state, "WAPPR")),
        Column("WOPRIORITY", lambda s: s.priority),
        Column("SCHEDSTART", lambda s: s.local(s.job.start_ms), "%Y-%m-%dT%H:%M:%S%:z"),
        Column("SCHEDFINISH", lambda s: s.local(s.job.stop_ms), "%Y-%m-%dT%H:%M:%S%:z"),
        Column("ESTDUR", lambda s: s.job.duration_h),
        Column("CREWID", lambda s: s.job.crew),
        Column("FAILURECODE", lambda s: s.job.mode),
        Column("EXTERNALREFID", lambda s: s.job.key),
        Column("SOURCESYSID", lambda s: "VIGIE"),
        Column("ACTFINISH", lambda s: ""),
    )


def _sap(settings: ExportSettings) -> tuple[Column, ...]:
    """SAP PM notification (BAPI_ALM_NOTIF_CREATE, NOTIFHEADER; short text 40 characters)."""
    return (
        Column("NOTIF_TYPE", lambda s: settings.sap_notification_type),
        Column("REFOBJECTKEY", lambda s: s.job.key),
        Column("SHORT_TEXT", lambda s: one_line(s.title, 40)),
        Column("EQUIPMENT", lambda s: s.job.asset.asset),
        Column("FUNCT_LOC", lambda s: str(s.job.asset).replace("/", "-").upper()),
        Column("PRIORITY", lambda s: s.priority),
        Column("DESSTDATE", lambda s: s.local(s.job.start_ms), "%Y%m%d"),
        Column("DESSTTM", lambda s: s.local(s.job.start_ms), "%H%M%S"),
        Column("DESENDDATE", lambda s: s.local(s.job.stop_ms), "%Y%m%d"),
        Column("DESENDTM", lambda s: s.local(s.job.stop_ms), "%H%M%S"),
        Column("PM_WKCTR", lambda s: s.job.crew.upper()[:8]),
        Column("D_CODE", lambda s: s.job.mode[:4]),
        Column("REPORTEDBY", lambda s: "VIGIE"),
        Column("DELETED", lambda s: "X" if s.job.state == "cancelled" else ""),
        Column("LONGTEXT", lambda s: one_line(s.text)),
    )


def _fiix(settings: ExportSettings) -> tuple[Column, ...]:
    """Fiix, work order import; the key is the code."""
    status = {"cancelled": "Cancelled", "done": "Closed, Completed"}
    priority = {1: "Highest", 2: "High", 3: "Medium", 4: "Low"}
    return (
        Column("Code", lambda s: s.job.key),
        Column("Status", lambda s: status.get(s.job.state, "Open")),
        Column("Maintenance Type", lambda s: "Predictive"),
        Column("Priority", lambda s: priority[s.priority]),
        Column("Assets", lambda s: str(s.job.asset)),
        Column("Summary of Issue", lambda s: one_line(s.title, 250)),
        Column("Work Instructions", lambda s: s.text),
        Column("Suggested Start Date", lambda s: s.local(s.job.start_ms), "%Y-%m-%d %H:%M"),
        Column("Suggested Completion Date", lambda s: s.local(s.job.stop_ms), "%Y-%m-%d %H:%M"),
        Column("Estimated Labor (hours)", lambda s: s.job.duration_h * s.job.crew_size),
        Column("Assigned User Group", lambda s: s.job.crew),
        Column("Parts", lambda s: s.parts),
        Column("Date Completed", lambda s: ""),
    )


_PROFILES: Mapping[str, Callable[[ExportSettings], tuple[Column, ...]]] = {
    "atlas": _atlas,
    "maximo": _maximo,
    "sap": _sap,
    "fiix": _fiix,
}

"""The plan for other programs: CSV (own and four systems' formats), XLSX, iCalendar file and feed.

What needs openpyxl or a server is imported when it is first asked for: settings are read by every command.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from serve.exports.settings import PROFILES, ExportSettings

if TYPE_CHECKING:
    from serve.exports.calendar import write_ics
    from serve.exports.delimited import write_csv
    from serve.exports.feed import Feed
    from serve.exports.tokens import Tokens
    from serve.exports.workbook import write_xlsx

__all__ = [
    "PROFILES",
    "ExportSettings",
    "Feed",
    "Tokens",
    "write_csv",
    "write_ics",
    "write_xlsx",
]
_HOMES = {
    "Feed": "feed",
    "Tokens": "tokens",
    "write_csv": "delimited",
    "write_ics": "calendar",
    "write_xlsx": "workbook",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

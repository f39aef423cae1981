"""The plan for other programs: CSV (own and four systems' formats), XLSX, iCalendar file and feed."""

from serve.exports.calendar import write_ics
from serve.exports.delimited import write_csv
from serve.exports.feed import Feed
from serve.exports.settings import PROFILES, ExportSettings
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

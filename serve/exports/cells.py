"""Text that is safe in a cell, a file name and a line of a calendar."""

from __future__ import annotations

import re
import unicodedata

#: A cell that begins like this is calculated by spreadsheets.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
#: Marks that change the direction or hide what follows: a name must look like what it is.
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]")


def clean(text: str, limit: int = 32_000) -> str:
    """Return text without control and direction marks, no longer than a cell may be."""
    plain = _BIDI.sub("", _CONTROL.sub("", text))
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def safe_cell(text: str, limit: int = 32_000) -> str:
    """Return text that no spreadsheet calculates: an apostrophe goes before what looks like a formula.

    Leading spaces do not hide a formula; numbers are no text and must not be passed here.
    """
    plain = clean(text, limit)
    return "'" + plain if plain.lstrip(" \u00a0").startswith(_FORMULA) else plain


def one_line(text: str, limit: int = 32_000) -> str:
    """Return text with every line break and tab turned into a space."""
    return " ".join(clean(text, limit).split())


def safe_name(text: str, limit: int = 80) -> str:
    """Return a file name without folders, reserved marks or surprises; never empty."""
    plain = unicodedata.normalize("NFKD", clean(text)).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", plain).strip("-")[:limit]
    reserved = re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)", name) is not None
    return "plan" if not name or reserved else name

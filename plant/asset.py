"""Where a machine stands: `<site>/<line>/<asset>`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from plant.errors import DataError

_SEGMENT = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def check_segment(segment: str, what: str = "segment") -> str:
    """Return `segment` if it may stand in an asset path, else raise DataError saying why."""
    if not _SEGMENT.fullmatch(segment) or segment in {".", ".."}:
        shown = segment if len(segment) <= 80 else segment[:77] + "..."
        raise DataError(
            f"{what} {shown!r} is not a valid name.",
            fix="Use 1 to 64 of A-Z a-z 0-9 _ . - and neither '.' nor '..'.",
        )
    return segment


@dataclass(frozen=True, slots=True, order=True)
class AssetPath:
    """The address of one machine. Validated at birth, so whoever holds one can trust it."""

    site: str
    line: str
    asset: str

    def __post_init__(self) -> None:
        check_segment(self.site, "site")
        check_segment(self.line, "line")
        check_segment(self.asset, "asset")

    @classmethod
    @lru_cache(maxsize=16_384)  # the paths of a plant come again with every message and assessment
    def parse(cls, text: str) -> AssetPath:
        """Read `lyon/l1/pump-3`. Raises DataError when it is not three valid segments."""
        parts = text.split("/")
        if len(parts) != 3:
            raise DataError(
                f"asset path {text[:200]!r} does not have three segments.",
                fix="Write it as <site>/<line>/<asset>, for instance lyon/l1/pump-3.",
            )
        return cls(*parts)

    @property
    def line_path(self) -> str:
        """The line this asset belongs to, `<site>/<line>`."""
        return f"{self.site}/{self.line}"

    def __str__(self) -> str:
        return f"{self.site}/{self.line}/{self.asset}"

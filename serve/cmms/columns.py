"""Which column of a work-order list means what: a TOML file, or guesses from usual headers."""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from plant.config_errors import config_error
from plant.errors import ConfigError, DataError
from serve.cmms.words import USUAL

#: What a list may say of an event; `asset` and one of `done`, `start` are needed.
FIELDS = (
    "asset", "done", "start", "kind", "mode", "found", "planned", "duration_h", "note", "key", "job", "who",
)  # fmt: skip


class ColumnMapping(BaseModel):
    """How to read a list: table by table what `--mapping file.toml` may say; all of it optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: dict[str, str] = Field(default_factory=dict)
    """Field → header, for instance `done = "Actual finish"`."""

    assets: dict[str, str] = Field(default_factory=dict)
    """Name in the list → asset path, for instance `"P-101" = "lyon/l1/pump-3"`."""

    asset_prefix: str = ""
    """Put before names that are not in [assets], for instance `lyon/l1/`."""

    kinds: dict[str, str] = Field(default_factory=dict)
    """Word in the kind column → failure, maintenance, inspection, stop or start."""

    modes: dict[str, str] = Field(default_factory=dict)
    """Word in the mode column → mode code of plant.toml."""

    found: dict[str, str] = Field(default_factory=dict)
    """Word in the found column → failed, degraded, sound or unknown."""

    defaults: dict[str, str] = Field(default_factory=dict)
    """Field → value where the list has no such column or an empty cell."""

    date_order: Literal["dmy", "mdy", "ymd"] = "dmy"
    """How 3/4/2026 is read; ISO dates are always understood."""

    timezone: str = ""
    """Zone of dates without one; empty: the asset's site."""

    placeholders: tuple[str, ...] = (
        "0/1/00",
        "00/01/1900",
        "01/01/1900",
        "1900-01-00",
        "1900-01-01",
        "0000-00-00",
        "-",
        "n/a",
    )
    """Cells that mean: no date."""

    separator: str = ""
    encoding: str = ""
    sheet: str = ""
    """Empty: found out."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name in (*self.columns, *self.defaults):
            if name not in FIELDS:
                raise ValueError(f"{name!r} is not a field (known: {', '.join(FIELDS)})")
        return self


def read_mapping(path: Path) -> ColumnMapping:
    """Read a mapping file. Raises ConfigError naming file, table and key."""
    try:
        return ColumnMapping.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(str(path), "", "", f"cannot be read ({error}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "", "", f"is not valid TOML ({error}).") from error
    except ValidationError as error:
        raise config_error(str(path), error) from error


def find_columns(headers: Sequence[str], mapping: ColumnMapping) -> dict[str, int]:
    """Return field → column number. Raises DataError when what is needed is missing."""
    folded = [fold(header) for header in headers]
    found: dict[str, int] = {}
    for name in FIELDS:
        if name in mapping.columns:
            wanted = fold(mapping.columns[name])
            if wanted not in folded:
                raise DataError(
                    f"the list has no column {mapping.columns[name]!r} (for {name}).",
                    fix=f"It has: {', '.join(h[:40] for h in headers)}.",
                )
            found[name] = folded.index(wanted)
            continue
        usual = next((folded.index(word) for word in USUAL[name] if word in folded), None)
        if usual is not None and usual not in found.values():
            found[name] = usual
    if "asset" not in found and "asset" not in mapping.defaults:
        raise _missing("asset", headers)
    if "done" not in found and "start" not in found:
        raise _missing("done", headers)
    return found


def fold(text: str) -> str:
    """Return a header without accents, case and punctuation: `Date de début` → `date_de_debut`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "_".join("".join(c if c.isalnum() else " " for c in plain).split())


def _missing(name: str, headers: Sequence[str]) -> DataError:
    return DataError(
        f"no column of the list is known to mean {name!r}.",
        fix=f"Name it in the mapping file ([columns] {name} = …); the list has: "
        f"{', '.join(h[:40] for h in headers)}.",
    )

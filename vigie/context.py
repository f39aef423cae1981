"""What a command needs: settings, plant, clock and store, read once and only when asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import typer

from plant.clock import Clock, SystemClock
from plant.config import Plant, parse_plant
from plant.errors import ConfigError
from store.port import Store
from vigie.settings import Settings, parse_settings

DEFAULT_CONFIG = Path("vigie.toml")
DEFAULT_PLANT = Path("plant.toml")


@dataclass
class Context:
    """The command's surroundings. Files that were not named are optional and default to empty."""

    config_file: Path | None = None
    plant_file: Path | None = None
    data_override: Path | None = None
    clock: Clock = field(default_factory=SystemClock)

    @cached_property
    def settings(self) -> Settings:
        """`vigie.toml`, checked."""
        text = _read(self.config_file, DEFAULT_CONFIG)
        settings = parse_settings(text, str(self.config_file or DEFAULT_CONFIG))
        if self.data_override is not None:
            settings = settings.model_copy(update={"data_dir": self.data_override})
        return settings

    @cached_property
    def plant(self) -> Plant:
        """`plant.toml`, checked."""
        return parse_plant(
            _read(self.plant_file, DEFAULT_PLANT), str(self.plant_file or DEFAULT_PLANT)
        )

    @property
    def data_dir(self) -> Path:
        """Where journal, store and models live."""
        return self.settings.data_dir

    def open_store(self) -> Store:
        """Open the configured store; the caller closes it."""
        from store.factory import open_store  # noqa: PLC0415 - numpy and SQLite wait until needed

        return open_store(self.settings.store, self.data_dir, self.clock)


def get_context(ctx: typer.Context) -> Context:
    """Return the Context that the main command made."""
    found = ctx.find_object(Context)
    if found is None:
        raise RuntimeError("the command was called outside `vigie`")
    return found


def _read(named: Path | None, default: Path) -> str:
    """Return the file's text. One that was named must exist; the default one may be missing."""
    file = named or default
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if named is None:
            return ""
        raise ConfigError(
            str(file), "", "", "the file does not exist.", fix="Check the path."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            str(file),
            "",
            "",
            f"the file cannot be read ({error}).",
            fix="It must be a UTF-8 text file.",
        ) from error

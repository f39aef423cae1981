"""`vigie.toml`: how Vigie runs, as opposed to what the plant is (`plant.toml`)."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from features.settings import FeatureSettings
from ingest.settings import BrokerSettings, IngestSettings
from models.settings import ModelSettings
from plant.config_errors import config_error
from plant.errors import ConfigError
from serve.exports.settings import ExportSettings
from serve.kpi.settings import KpiSettings
from serve.schedule.settings import ScheduleSettings
from serve.settings import ServeSettings
from simulator.settings import SimulatorSettings
from store.settings import StoreSettings


class Settings(BaseModel):
    """One table per part; every key has a default, so an empty file is a valid one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data_dir: Path = Path("vigie-data")
    broker: BrokerSettings = Field(default_factory=BrokerSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    ingest: IngestSettings = Field(default_factory=IngestSettings)
    features: FeatureSettings = Field(default_factory=FeatureSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    serve: ServeSettings = Field(default_factory=ServeSettings)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    exports: ExportSettings = Field(default_factory=ExportSettings)
    kpi: KpiSettings = Field(default_factory=KpiSettings)
    simulator: SimulatorSettings = Field(default_factory=SimulatorSettings)


def parse_settings(text: str, file: str = "vigie.toml") -> Settings:
    """Read `vigie.toml`. Raises ConfigError naming file, table, key and fix."""
    try:
        return Settings.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            file, "", "", f"not valid TOML: {error}.", fix="Mend that line."
        ) from error
    except ValidationError as error:
        raise config_error(file, error) from error

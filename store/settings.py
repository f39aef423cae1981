"""The `[store]` table of `vigie.toml`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from plant.errors import ConfigError, DataError
from plant.times import parse_duration_ms

TOKEN_VARIABLE = "VIGIE_INFLUX_TOKEN"  # noqa: S105 - the variable's name, not a token


def _duration(value: str) -> str:
    if value == "forever":
        return value
    try:
        parse_duration_ms(value)
    except DataError as error:
        raise ValueError(f"{error.message} Write it like 90d, or forever.") from error
    return value


def _duration_ms(value: str) -> int | None:
    return None if value == "forever" else parse_duration_ms(value)


Keep = Annotated[str, AfterValidator(_duration)]


class _Table(BaseModel):
    """An unknown key is a typing mistake, not a wish."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class InfluxSettings(_Table):
    """Where InfluxDB 2 is and how to write to it."""

    url: str = "http://127.0.0.1:8086"
    """Address of the server; https for anything but loopback."""
    org: str = "vigie"
    """Organisation that owns the buckets."""
    bucket: str = "vigie"
    """Bucket of events and risks (kept longest)."""
    rollups_bucket: str = ""
    """Bucket of rollups (kept for `retention.rollups`); empty: `<bucket>-rollups`."""
    readings_bucket: str = ""
    """Bucket of raw readings (kept for `retention.readings`); empty: `<bucket>-readings`."""
    token: str = Field(default="", repr=False)
    """API token. Prefer `token_file`, or the environment variable VIGIE_INFLUX_TOKEN."""
    token_file: Path | None = None
    """File that holds the token alone; readable by Vigie's user only."""
    verify_tls: bool = True
    """Check the server's certificate."""
    ca_file: Path | None = None
    """Certificate authority of the server, when it is not a public one."""
    timeout_s: float = Field(default=10.0, gt=0, le=600)
    """Longest wait for an answer to one call."""
    gzip: bool = False
    """Compress what is sent: slower on loopback, worth it on a thin network."""
    batch_messages: int = Field(default=20_000, ge=1, le=100_000)
    """Messages sent in one write, at most."""
    idle_s: float = Field(default=0.2, gt=0, le=60)
    """Pause of the forwarder when the journal has nothing new."""
    max_backoff_s: float = Field(default=60.0, gt=0, le=3600)
    """Longest pause between attempts while the server refuses or is down."""

    @model_validator(mode="after")
    def _address(self) -> Self:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url {self.url!r} must start with http:// or https://")
        for name in (self.bucket, self.raw_bucket, self.rollup_bucket):
            if not name or "/" in name or '"' in name or name.startswith("_"):
                raise ValueError(f"bucket {name!r} must be a name without / and quotes")
        return self

    @property
    def raw_bucket(self) -> str:
        """The bucket of raw readings."""
        return self.readings_bucket or f"{self.bucket}-readings"

    @property
    def rollup_bucket(self) -> str:
        """The bucket of rollups."""
        return self.rollups_bucket or f"{self.bucket}-rollups"

    def read_token(self) -> str:
        """Return the token from the settings, the file or the environment (in this order)."""
        if self.token:
            return self.token
        if self.token_file is None:
            return os.environ.get(TOKEN_VARIABLE, "")
        try:
            return self.token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                str(self.token_file),
                "",
                "",
                f"the token file cannot be read ({error}).",
                fix="Mend [store.influx] token_file, or the file's permissions.",
            ) from error


class RetentionSettings(_Table):
    """How long things are kept; events are the audit trail and kept for ever unless told."""

    readings: Keep = "90d"
    """Raw readings."""
    rollups: Keep = "1825d"
    """Rollups: small, and what models train on."""
    risks: Keep = "730d"
    """Assessments with their curves."""
    events: Keep = "forever"
    """Failures, repairs, alarms and their transitions."""
    journal: Keep = "7d"
    """With InfluxDB: how long the local journal keeps what InfluxDB has already."""
    every: Keep = "1h"
    """How often a running Vigie removes what expired (`forever`: never by itself)."""

    @property
    def readings_ms(self) -> int | None:
        """Milliseconds raw readings are kept; None for ever."""
        return _duration_ms(self.readings)

    @property
    def rollups_ms(self) -> int | None:
        """Milliseconds rollups are kept; None for ever."""
        return _duration_ms(self.rollups)

    @property
    def risks_ms(self) -> int | None:
        """Milliseconds assessments are kept; None for ever."""
        return _duration_ms(self.risks)

    @property
    def events_ms(self) -> int | None:
        """Milliseconds events are kept; None for ever."""
        return _duration_ms(self.events)

    @property
    def journal_ms(self) -> int | None:
        """Milliseconds forwarded readings stay in the journal; None for ever."""
        return _duration_ms(self.journal)

    @property
    def every_ms(self) -> int | None:
        """Milliseconds between two rounds of removing; None for never."""
        return _duration_ms(self.every)


class StoreSettings(_Table):
    """Which store holds the history, and for how long."""

    kind: Literal["sqlite", "influx"] = "sqlite"
    """`sqlite`: a file beside Vigie. `influx`: InfluxDB 2, fed from the local journal."""
    influx: InfluxSettings = Field(default_factory=InfluxSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)

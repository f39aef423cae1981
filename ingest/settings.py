"""The tables [broker] and [ingest] of `vigie.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from ingest.jsonpath import parse_path
from plant.asset import AssetPath
from plant.errors import DataError
from plant.times import parse_duration_ms


def _duration(text: str) -> str:
    try:
        parse_duration_ms(text.removeprefix("-"))
    except DataError as error:
        raise ValueError(str(error)) from error
    return text


def _asset(text: str) -> str:
    try:
        return str(AssetPath.parse(text))
    except DataError as error:
        raise ValueError(str(error)) from error


class _Table(BaseModel):
    """An unknown key is a typing mistake, not a wish."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BrokerSettings(_Table):
    """Where the MQTT broker is and how to log in."""

    host: str = Field(default="127.0.0.1", description="Name or address of the broker.")
    port: int = Field(default=1883, ge=1, le=65535, description="1883 plain, 8883 with TLS.")
    protocol: Literal["5", "3.1.1"] = Field(
        default="5",
        description="MQTT version. 3.1.1 only for brokers that know nothing newer: a session then"
        " lasts as long as the broker likes, and there is no receive maximum.",
    )
    client_id: str = Field(
        default="vigie",
        pattern=r"^[A-Za-z0-9_.-]{1,40}$",
        description="Fixed prefix of our client ids; the broker keeps our session under it, so two"
        " installations on one broker need two of them.",
    )
    username: str = Field(default="", description="Empty: anonymous.")
    password_file: Path | None = Field(
        default=None, description="File whose first line is the password."
    )
    tls: bool = Field(default=False, description="Encrypt; implied by ca_file or cert_file.")
    ca_file: Path | None = Field(
        default=None, description="Certificates to trust; the system's own when empty."
    )
    cert_file: Path | None = Field(
        default=None, description="Our certificate, if one is asked for."
    )
    key_file: Path | None = Field(default=None, description="Our private key.")
    keepalive_s: int = Field(default=30, ge=5, le=3600, description="Ping after this silence.")
    connect_timeout_s: float = Field(
        default=10.0, gt=0, description="Give up a connection attempt."
    )
    session_expiry_s: int = Field(
        default=7 * 86_400,
        ge=60,
        description="How long the broker queues for us while Vigie is down (MQTT 5).",
    )

    @model_validator(mode="after")
    def _key_needs_certificate(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self

    @property
    def uses_tls(self) -> bool:
        """Tell whether the connection is encrypted."""
        return self.tls or self.ca_file is not None or self.cert_file is not None


class SignalMapping(_Table):
    """One signal of a foreign message: where it stands and how it becomes our unit."""

    path: str | tuple[str | int, ...] = Field(
        description="Where the value stands, like ENERGY.Power or values[0].v; keys with odd signs as a list."
    )
    unit: str = Field(default="", description="Unit after conversion, for people.")
    scale: float = Field(default=1.0, description="Multiplied first.")
    offset: float = Field(default=0.0, description="Added after.")
    states: dict[str, float] = Field(
        default_factory=dict, description='Words as numbers, like {"ON" = 1, "OFF" = 0}.'
    )
    binary: Literal["", "u8", "i8", "u16", "i16", "u32", "i32", "f32"] = Field(
        default="",
        description="The value is process data, hex text or bytes: which number is in it.",
    )
    byte: int = Field(default=0, ge=0, description="Position of that number in the process data.")

    @model_validator(mode="after")
    def _path(self) -> Self:
        parse_path(self.path)
        return self


class Mapping(_Table):
    """How messages of one foreign form are read; see docs/ingest.md and deploy/mappings."""

    name: str = Field(min_length=1, max_length=64, description="For logs and `ingest explain`.")
    topic: str = Field(
        min_length=1,
        description="Pattern with named levels, like tele/{asset}/SENSOR; # at the end.",
    )
    format: Literal["json", "line"] = Field(
        default="json", description="line: InfluxDB line protocol; its tags may be used as {names}."
    )
    names: dict[str, str] = Field(
        default_factory=dict, description="Further {names}: where they stand in the message."
    )
    site: str = Field(default="", description="Site, or a template of named levels: {site}.")
    line: str = Field(default="", description="Line, or a template of named levels.")
    asset: str = Field(default="", description="Asset, or a template of named levels: pump-{id}.")
    assets: dict[str, Annotated[str, AfterValidator(_asset)]] = Field(
        default_factory=dict,
        description="Device to asset path, looked up by the rendered `asset`; wins over the three.",
    )
    time: str = Field(
        default="", description="Path of the time stamp; empty: the moment of arrival."
    )
    time_unit: Literal["auto", "ms", "s", "us", "ns", "iso", "iso-local"] = Field(
        default="auto",
        description="auto: ISO 8601 with a zone, or epoch ms; iso-local: no zone in it.",
    )
    timezone: str = Field(default="UTC", description="Zone of iso-local times.")
    seq: str = Field(default="", description="Path of a message counter, if there is one.")
    signals: dict[str, SignalMapping] = Field(
        default_factory=dict, description="Signal name to where its value stands."
    )
    signal: str = Field(
        default="", description="The payload is one bare value: the signal's name or template."
    )
    flatten: str | None = Field(
        default=None,
        description="Take every number below this path (empty: all), named after its place.",
    )
    skip: tuple[str, ...] = Field(
        default=(), description="Names that flatten leaves out; * stands for any text."
    )
    ignore: bool = Field(default=False, description="Read and drop: known, but of no use here.")

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} is not a time zone") from error
        return value

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for path in (self.time, self.seq, self.flatten or "", *self.names.values()):
            parse_path(path)
        if not self.ignore:
            if not (self.signals or self.signal or self.flatten is not None):
                raise ValueError("give signals, signal, flatten, or ignore = true")
            if not self.asset or not ((self.site and self.line) or self.assets):
                raise ValueError("give asset, and either site and line or assets")
        return self


class IngestSettings(_Table):
    """How messages are taken, checked and committed."""

    receive: Literal["bulk", "stock"] = Field(
        default="bulk",
        description="bulk: sockets read in bursts; stock: paho's own receive path, about six times slower.",
    )
    workers: int = Field(
        default=1, ge=1, le=64, description="Ingest processes sharing the load ($share; MQTT 5)."
    )
    share_group: str = Field(
        default="vigie", pattern=r"^[^/+#\s]{1,64}$", description="Name of the shared subscription."
    )
    max_payload_bytes: int = Field(
        default=262_144, ge=64, description="Longer payloads go to quarantine unread."
    )
    max_ahead_s: float = Field(
        default=300.0, ge=0, description="Time stamps further in the future go to quarantine."
    )
    commit_messages: int = Field(
        default=5_000, ge=1, description="Commit at the latest after so many messages."
    )
    commit_ms: float = Field(
        default=10.0, gt=0, description="Commit at the latest after this time."
    )
    receive_maximum: int = Field(
        default=10_000,
        ge=1,
        le=65_535,
        description="Unacknowledged messages the broker may send: bounds memory, allows bursts.",
    )
    retry_s: float = Field(
        default=1.0,
        gt=0,
        description="Try again after this time when the journal cannot be written.",
    )
    quarantine_mb: int = Field(
        default=1_024, ge=1, description="Most room for refused payloads; the oldest go first."
    )
    clock_skew_s: float = Field(
        default=30.0, gt=0, description="Report a device whose clock is off by more."
    )
    clock_offsets: dict[
        Annotated[str, AfterValidator(_asset)], Annotated[str, AfterValidator(_duration)]
    ] = Field(
        default_factory=dict,
        description='Known errors of device clocks, subtracted from their times: {"lyon/l1/p1" = "1h"}.',
    )
    extra_subscriptions: tuple[str, ...] = Field(
        default=(), description="Topic filters to subscribe besides those of contract and mappings."
    )
    sparkplug_groups: tuple[str, ...] = Field(
        default=(), description='Sparkplug B groups to read, or "+" for all; empty: none.'
    )
    sparkplug_line: str = Field(
        default="{edge}",
        description="Line of a Sparkplug device, from {group}, {edge} and {device}; site is the group.",
    )
    sparkplug_asset: str = Field(
        default="{device}", description="Asset of a Sparkplug device; a node alone is its {edge}."
    )
    mappings: tuple[Mapping, ...] = Field(
        default=(), description="Foreign messages; the first whose topic pattern fits is used."
    )

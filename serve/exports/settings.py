"""How the plan is written for other programs: table `[exports]` of `vigie.toml`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Profile = Literal["vigie", "atlas", "maximo", "sap", "fiix"]
PROFILES: tuple[Profile, ...] = ("vigie", "atlas", "maximo", "sap", "fiix")


class ExportSettings(BaseModel):
    """Defaults of `vigie schedule export` and of the calendar feed; options override them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    language: Literal["en", "fr", "de"] = "en"
    """Language of headers and sentences."""

    separator: Literal[",", ";", "\t", "|"] | None = None
    """Separator of CSV files; None: the profile's own (`;` in French and German)."""

    encoding: Literal["utf-8-sig", "utf-8", "cp1252", "utf-16"] = "utf-8-sig"
    """Encoding of CSV files; utf-8-sig carries the mark that spreadsheets need to see UTF-8."""

    date_format: str | None = Field(default=None, max_length=40)
    """strftime format of dates in CSV files; None: the profile's own, else ISO 8601 with offset."""

    sap_notification_type: str = Field(default="M1", pattern=r"[A-Z0-9]{2}")
    """Notification type of the SAP PM profile."""

    feed_host: str = "127.0.0.1"
    """Address the calendar feed listens on; loopback unless you say otherwise."""

    feed_port: int = Field(default=8765, ge=0, le=65535)
    """Port of the calendar feed; 0: a free one."""

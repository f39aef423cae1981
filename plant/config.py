"""`plant.toml`: what stands where, what it measures, what its failures cost, who repairs it, and when.

The models below are the schema; `parse_plant` turns text into a `Plant` or a ConfigError that names
the file, the table, the key and the fix. Costs are in one currency of the plant's choice.
"""

from __future__ import annotations

import tomllib
from datetime import datetime, time
from functools import cached_property
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from plant.asset import AssetPath, check_segment
from plant.config_errors import config_error
from plant.errors import ConfigError, DataError
from plant.signal import SignalRole, check_signal_name

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _segment(value: str) -> str:
    try:
        return check_segment(value)
    except DataError as error:
        raise ValueError(str(error)) from error


def _signal_name(value: str) -> str:
    try:
        return check_signal_name(value)
    except DataError as error:
        raise ValueError(str(error)) from error


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{value!r} is not a time zone; write one like Europe/Paris") from error
    return value


def _asset_path(value: str) -> str:
    try:
        return str(AssetPath.parse(value))
    except DataError as error:
        raise ValueError(str(error)) from error


Segment = Annotated[str, AfterValidator(_segment)]
SignalName = Annotated[str, AfterValidator(_signal_name)]
ZoneName = Annotated[str, AfterValidator(_zone)]
PathText = Annotated[str, AfterValidator(_asset_path)]


class _Strict(BaseModel):
    """An unknown key is a typing mistake, not a wish."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SignalSpec(_Strict):
    """A signal of a kind: unit, physical range (outside it the sensor is at fault), role."""

    unit: str = ""
    low: float | None = None
    high: float | None = None
    role: SignalRole = "condition"
    description: str = ""

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        return self


class ModeSpec(_Strict):
    """A failure mode of a kind: what repairing it takes, planned and unplanned."""

    label: str
    action: str = ""
    skill: str = "mechanic"
    duration_h: float = Field(default=4.0, gt=0)
    unplanned_duration_h: float | None = Field(default=None, gt=0)
    planned_cost: float = Field(default=1_000.0, ge=0)
    unplanned_cost: float = Field(default=10_000.0, ge=0)
    crew_size: int = Field(default=1, ge=1)
    parts: dict[str, int] = Field(default_factory=dict)
    #: Where the mode shows: a repair of it renews these signals' baselines. Empty: all signals.
    signals: tuple[SignalName, ...] = ()

    @property
    def corrective_duration_h(self) -> float:
        """Hours an unplanned repair takes: as given, else twice the planned one."""
        return self.unplanned_duration_h or 2 * self.duration_h


class BearingSpec(_Strict):
    """Rolling bearing geometry, for the defect frequencies BPFO, BPFI, BSF, FTF."""

    balls: int = Field(ge=3)
    ball_mm: float = Field(gt=0)
    pitch_mm: float = Field(gt=0)
    contact_deg: float = Field(default=0.0, ge=0, lt=90)
    speed_signal: SignalName = "speed_rpm"


class KindSpec(_Strict):
    """A kind of machine: its signals and its failure modes."""

    label: str = ""
    signals: dict[SignalName, SignalSpec] = Field(default_factory=dict)
    modes: dict[Segment, ModeSpec] = Field(default_factory=dict)
    bearings: dict[Segment, BearingSpec] = Field(default_factory=dict)
    running_signal: SignalName | None = None
    running_above: float = 0.0


class LineSpec(_Strict):
    """A production line: what an hour of stoppage costs, how many machines may be out at once."""

    stoppage_cost_per_h: float = Field(default=1_000.0, ge=0)
    max_concurrent: int = Field(default=1, ge=1)


class SiteSpec(_Strict):
    """A site: its time zone and its lines."""

    timezone: ZoneName = "UTC"
    lines: dict[Segment, LineSpec] = Field(default_factory=dict)


class AssetSpec(_Strict):
    """A machine: where it stands, what kind it is, since when."""

    path: PathText
    kind: Segment
    commissioned: datetime | None = None
    label: str = ""

    @model_validator(mode="after")
    def _zoned(self) -> Self:
        if self.commissioned is not None and self.commissioned.tzinfo is None:
            raise ValueError("commissioned needs a zone; write it like 2026-01-31T00:00:00Z")
        return self


class ShiftSpec(_Strict):
    """Weekly hours, local time of the site; `end` before `start` means past midnight."""

    days: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri")
    start: time
    end: time


class CrewSpec(_Strict):
    """People who repair: skills, size, shifts, and how many alarms a week they can take."""

    name: Segment
    site: Segment | None = None
    skills: tuple[str, ...] = ("mechanic",)
    size: int = Field(default=1, ge=1)
    cost_per_h: float = Field(default=0.0, ge=0)
    shifts: tuple[ShiftSpec, ...] = ()
    alarm_budget_per_week: float = Field(default=10.0, gt=0)


class BreakSpec(_Strict):
    """A planned production break: weekly (`days`, `start`, `end`) or once (`from`, `to`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    site: Segment | None = None
    line: Segment | None = None
    days: tuple[Weekday, ...] = ()
    start: time | None = None
    end: time | None = None
    from_: datetime | None = Field(default=None, alias="from")
    to: datetime | None = None
    note: str = ""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        weekly = bool(self.days) and self.start is not None and self.end is not None
        once = self.from_ is not None and self.to is not None
        if weekly == once:
            raise ValueError("give either days, start and end (weekly) or from and to (once)")
        if self.from_ is not None and self.to is not None:
            if self.from_.tzinfo is None or self.to.tzinfo is None:
                raise ValueError(
                    "from and to need a zone; write them like 2026-12-24T18:00:00+01:00"
                )
            if self.from_ >= self.to:
                raise ValueError("from must be before to")
        return self


class PartSpec(_Strict):
    """A spare part: how many are in stock, how long a new one takes."""

    stock: int = Field(default=0, ge=0)
    lead_time_d: float = Field(default=7.0, ge=0)
    cost: float = Field(default=0.0, ge=0)


class Plant(_Strict):
    """Everything `plant.toml` says."""

    name: str = "plant"
    root: str = "plant"
    currency: str = "EUR"
    sites: dict[Segment, SiteSpec] = Field(default_factory=dict)
    kinds: dict[Segment, KindSpec] = Field(default_factory=dict)
    assets: tuple[AssetSpec, ...] = ()
    crews: tuple[CrewSpec, ...] = ()
    breaks: tuple[BreakSpec, ...] = ()
    parts: dict[Segment, PartSpec] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _references(self) -> Self:
        seen: set[str] = set()
        for index, asset in enumerate(self.assets):
            if asset.path in seen:
                raise ValueError(f"assets[{index}].path: {asset.path} is listed twice")
            seen.add(asset.path)
            _known("assets", index, "kind", asset.kind, self.kinds)
            site, line, _ = asset.path.split("/")
            _known("assets", index, "path", site, self.sites)
            if line not in self.sites[site].lines:
                lines = ", ".join(self.sites[site].lines) or "none"
                raise ValueError(
                    f"assets[{index}].path: line {line!r} is not in sites.{site}.lines (known: {lines})"
                )
        for index, crew in enumerate(self.crews):
            if crew.site is not None:
                _known("crews", index, "site", crew.site, self.sites)
        for index, pause in enumerate(self.breaks):
            if pause.site is not None:
                _known("breaks", index, "site", pause.site, self.sites)
        for kind_name, kind in self.kinds.items():
            for mode_name, mode in kind.modes.items():
                missing = [part for part in mode.parts if part not in self.parts]
                if missing:
                    raise ValueError(
                        f"kinds.{kind_name}.modes.{mode_name}.parts: {missing[0]!r} is not in [parts]"
                    )
        return self

    def asset(self, path: AssetPath) -> AssetSpec | None:
        """Return what is configured for `path`; None for a machine that registered itself."""
        if self._listed[0] is not self.assets:
            del self.__dict__["_listed"]  # `model_copy` took it along from another plant
        return self._listed[1].get(str(path))

    @cached_property
    def _listed(self) -> tuple[tuple[AssetSpec, ...], dict[str, AssetSpec]]:
        """The machines as they are listed, and by path: a plant is asked a thousand times a tick."""
        return self.assets, {asset.path: asset for asset in self.assets}

    def kind_of(self, path: AssetPath) -> str:
        """Return the kind of the machine at `path`, `unknown` when it registered itself."""
        spec = self.asset(path)
        return spec.kind if spec is not None else "unknown"

    def kind_spec(self, path: AssetPath) -> KindSpec:
        """Return the kind's description; an empty one for a machine that registered itself."""
        return self.kinds.get(self.kind_of(path)) or KindSpec()

    def line_spec(self, path: AssetPath) -> LineSpec:
        """Return the line's description; the defaults for a line that is not configured."""
        site = self.sites.get(path.site)
        return (site.lines.get(path.line) if site else None) or LineSpec()

    def timezone(self, site: str) -> ZoneInfo:
        """Return the site's time zone (UTC when the site is not configured)."""
        spec = self.sites.get(site)
        return ZoneInfo(spec.timezone if spec else "UTC")


def _known(table: str, index: int, key: str, value: str, where: dict[str, Any]) -> None:
    if value not in where:
        names = ", ".join(sorted(where)) or "none"
        raise ValueError(f"{table}[{index}].{key}: {value!r} is not configured (known: {names})")


def parse_plant(text: str, file: str = "plant.toml") -> Plant:
    """Read `plant.toml`. Raises ConfigError naming file, table, key and fix for the first mistake."""
    try:
        return Plant.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            file, "", "", f"not valid TOML: {error}.", fix="Mend that line."
        ) from error
    except ValidationError as error:
        raise config_error(file, error) from error

"""`[serve]` of vigie.toml: when a risk becomes a warning, an alarm, a message."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from plant.risk import Severity


class _Strict(BaseModel):
    """An unknown key is a typing mistake, not a wish."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Thresholds(_Strict):
    """Probabilities of failing within the horizon from which each severity begins."""

    advisory: float = Field(default=0.15, gt=0, lt=1)
    warning: float = Field(default=0.35, gt=0, lt=1)
    critical: float = Field(default=0.65, gt=0, lt=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.advisory <= self.warning <= self.critical:
            raise ValueError("thresholds must rise: advisory <= warning <= critical")
        return self


class SeveritySettings(_Strict):
    """How a survival curve becomes normal, advisory, warning or critical."""

    horizon_h: float = Field(
        default=72.0, gt=0, description="Hours ahead that the thresholds speak of."
    )
    thresholds: Thresholds = Field(
        default_factory=Thresholds, description="For every kind that has none of its own."
    )
    kinds: dict[str, Thresholds] = Field(
        default_factory=dict, description="Thresholds of one kind of machine (`vigie alarms tune`)."
    )
    hysteresis: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="A severity ends this share below the threshold it began at.",
    )
    lead_time_h: float = Field(
        default=24.0,
        ge=0,
        description="Hours it takes to get people to a machine: a median failure time nearer than "
        "this is critical whatever the thresholds say.",
    )
    deviation_advisory: float = Field(
        default=1.5,
        gt=0,
        description="Without a failure model: the deviation an advisory begins at (1: healthy limit).",
    )
    deviation_warning: float = Field(default=3.0, gt=0, description="As above, for a warning.")

    def of_kind(self, kind: str) -> Thresholds:
        """Return the thresholds of a kind of machine."""
        return self.kinds.get(kind, self.thresholds)


class AlarmSettings(_Strict):
    """The alarms' life cycle, after ISA-18.2."""

    raise_from: Severity = Field(
        default="warning", description="The lowest severity that becomes an alarm."
    )
    on_delay_min: float = Field(
        default=30.0, ge=0, description="Minutes the condition must hold before an alarm is raised."
    )
    critical_on_delay_min: float = Field(
        default=0.0, ge=0, description="The same for a critical condition."
    )
    off_delay_min: float = Field(
        default=120.0,
        ge=0,
        description="Minutes it must be gone before the alarm returns to normal.",
    )
    close_returned_h: float = Field(
        default=72.0,
        gt=0,
        description="Hours after which an alarm that returned to normal unacknowledged is closed.",
    )
    stale_observation_h: float = Field(
        default=6.0,
        gt=0,
        description="Silence longer than this interrupts an on-delay or an off-delay.",
    )
    mode_change_h: float = Field(
        default=12.0,
        ge=0,
        description="Hours another mode must be the likeliest before it gets an alarm of its own "
        "beside the one that is open.",
    )
    max_shelve_h: float = Field(default=168.0, gt=0, description="Longest shelving, in hours.")
    budget_per_week: float = Field(
        default=10.0,
        gt=0,
        description="Alarms a week for machines that no crew is responsible for.",
    )
    critical_reserve: float = Field(
        default=0.25,
        ge=0,
        lt=1,
        description="Share of a crew's budget that only critical alarms may use.",
    )
    inspection_cost: float = Field(
        default=500.0, ge=0, description="What looking at a sound machine costs, for tuning."
    )


class PublishSettings(_Strict):
    """What goes out over MQTT, and when."""

    heartbeat_min: float = Field(
        default=20.0, gt=0, description="Minutes after which an unchanged risk is published again."
    )
    valid_min: float = Field(
        default=60.0, gt=0, description="Minutes a risk is valid; after that the machine is stale."
    )
    max_in_flight: int = Field(
        default=20, ge=1, le=65_535, description="Messages sent and not yet acknowledged, at most."
    )
    silent_after_s: float = Field(
        default=180.0,
        gt=0,
        description="Wall seconds without a finished step after which the bridge says offline.",
    )
    discovery: bool = Field(default=False, description="Announce machines to Home Assistant.")
    discovery_prefix: str = Field(
        default="homeassistant", pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$"
    )

    @model_validator(mode="after")
    def _alive(self) -> Self:
        if self.heartbeat_min > self.valid_min:
            raise ValueError("heartbeat_min must not be longer than valid_min")
        return self


class ServeSettings(_Strict):
    """Everything `[serve]` says."""

    interval_s: float = Field(
        default=60.0, gt=0, description="Wall seconds between two steps of the service."
    )
    severity: SeveritySettings = Field(default_factory=SeveritySettings)
    alarms: AlarmSettings = Field(default_factory=AlarmSettings)
    publish: PublishSettings = Field(default_factory=PublishSettings)
    maintenance_default_h: float = Field(
        default=8.0,
        gt=0,
        description="How long work lasts when its event gives no duration and no start follows.",
    )

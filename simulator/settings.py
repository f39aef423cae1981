"""What can be set about a simulated plant."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from simulator.faults.spec import Fault
from simulator.layout import LineLayout

#: Monday 5 January 2026, 00:00 UTC: simulations start here unless told otherwise.
DEFAULT_START_MS = 1_767_571_200_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RecordSettings(_Strict):
    """How well people keep the maintenance log; rates per record. Truth is never affected."""

    missing: float = Field(default=0.0, ge=0, le=1, description="a record is never written")
    wrong_mode: float = Field(default=0.0, ge=0, le=1, description="another mode is written down")
    found_unknown: float = Field(default=0.0, ge=0, le=1, description="condition not recorded")
    late: float = Field(default=0.0, ge=0, le=1, description="time written up to four hours off")


class MaintenanceSettings(_Strict):
    """How the simulated people maintain when nobody hands them a schedule."""

    inspect_every_d: float = Field(default=14.0, ge=0, description="rounds; 0 for none")
    detect_above: float = Field(default=0.35, gt=0, le=1, description="damage a round can see")
    detect: float = Field(default=0.5, ge=0, le=1, description="chance that a round sees it")
    preventive_every_d: float = Field(default=45.0, ge=0, description="part changes; 0 for none")
    repair_quality: float = Field(default=0.95, ge=0, le=1, description="mean; 1 as good as new")
    duration: Literal["lognormal", "exponential"] = Field(
        default="lognormal", description="spread of repair times about their mean"
    )
    induced: float = Field(default=0.03, ge=0, le=1, description="share of repairs done wrongly")


class SimulatorSettings(_Strict):
    """Table [simulator] of vigie.toml."""

    seed: int = Field(default=0, ge=0, description="same seed, same readings to the last bit")
    interval_s: float = Field(default=60.0, gt=0, description="seconds between readings")
    wear: float = Field(default=14.0, gt=0, description="how much faster than life parts wear")
    records: RecordSettings = RecordSettings()
    maintenance: MaintenanceSettings = MaintenanceSettings()
    faults: tuple[Fault, ...] = Field(default=(), description="what goes wrong, see Fault")
    fault_days: float = Field(default=365.0, gt=0, description="how far ahead rates are drawn")
    lines: dict[str, LineLayout] = Field(default_factory=dict, description="layouts by site/line")

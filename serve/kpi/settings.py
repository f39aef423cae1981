"""How figures are counted: table `[kpi]` of `vigie.toml`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RoiInputs(BaseModel):
    """What the return is computed from, beside counted events. Every input is printed with the result."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    running_cost_per_year: float = Field(default=20_000.0, ge=0)
    """Cost of running Vigie for a year: server, sensors' depreciation, people."""

    would_have_failed: float = Field(default=0.7, ge=0, le=1)
    """Share of the parts found degraded on an alarm that would have failed had nobody come."""

    check_cost: float = Field(default=200.0, ge=0)
    """Cost of going to look at a machine because of a false alarm."""


class KpiSettings(BaseModel):
    """Definitions that a plant may choose; the formulas themselves are in docs/kpi.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Confidence of the intervals."""

    horizon_d: float = Field(default=14.0, gt=0)
    """Days in which an alarm must come true to have been right."""

    min_lead_h: float = Field(default=2.0, ge=0)
    """An alarm later than this before the failure was too late to help."""

    min_events: int = Field(default=5, ge=1)
    """With fewer events than this a figure says that there is too little data."""

    resamples: int = Field(default=2_000, ge=100)
    """Resamples of the bootstrap."""

    seed: int = 20_260_101
    """Seed of the bootstrap: the same events give the same interval."""

    roi: RoiInputs = Field(default_factory=RoiInputs)
    """Inputs of the return on investment."""

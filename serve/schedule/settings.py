"""How the planner weighs and searches: table `[schedule]` of `vigie.toml`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ScheduleSettings(BaseModel):
    """Everything about planning that is not a property of the plant. An empty table is valid."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    horizon_d: float = Field(default=28.0, gt=0, le=120)
    """Days ahead in which a job may be given a slot."""

    slot_minutes: Literal[15, 20, 30, 60] | None = None
    """Grid of the starts; None: the coarsest of 60, 30 and 15 that all shifts and breaks fit."""

    notice_h: float = Field(default=1.0, ge=0)
    """Hours between planning and the earliest start, so that a crew can hear of it."""

    min_p_fail: float = Field(default=0.05, ge=0, le=1)
    """A machine less likely than this to fail within the horizon gets no job."""

    typical_life_d: float = Field(default=180.0, gt=0)
    """Days a renewed part usually lasts: what an hour of life thrown away is worth follows from it."""

    restart_h: float = Field(default=0.25, ge=0)
    """Line hours lost by running down and restarting; jobs of one line and day share one restart."""

    move_gain_share: float = Field(default=0.1, ge=0)
    """A job already planned moves only for a gain above this share of its planned cost."""

    reject_d: float = Field(default=7.0, gt=0)
    """Days a rejected job stays away when the planner names no end."""

    time_limit_s: float = Field(default=25.0, gt=0)
    """Seconds the solver may take before the best plan so far is used."""

    gap: float = Field(default=0.005, ge=0)
    """Stop when the plan is proven to be within this share of the best possible cost."""

    optimise: bool = True
    """False: the greedy plan only."""

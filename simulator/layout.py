"""How a line is laid out and what it makes: stages, buffers, shifts, products."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from plant.config import ShiftSpec


class Product(BaseModel):
    """What a line makes: how hard it is on the machines (load) and how fast it goes (rate)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    load: float = Field(default=1.0, gt=0, le=1.2, description="fraction of rated load")
    rate: float = Field(default=1.0, gt=0, description="factor on the line's rate")
    share: float = Field(default=1.0, gt=0, description="how often it is made")


class LineLayout(BaseModel):
    """Stages in series (machines of one stage side by side), buffers between them, hours, products."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stages: tuple[tuple[str, ...], ...] = Field(
        default=(), description="machine names per stage; empty: pairs, in the order of plant.toml"
    )
    rate_per_h: float = Field(default=100.0, gt=0, description="units per hour with all up")
    paces: tuple[float, ...] = Field(default=(), description="factor per stage on rate_per_h")
    buffers_h: tuple[float, ...] = Field(
        default=(6.0,),
        min_length=1,
        description="hours of flow each buffer holds; the last repeats",
    )
    products: tuple[Product, ...] = Field(
        default=(
            Product(name="light", load=0.82),
            Product(name="standard", load=0.9),
            Product(name="heavy", load=1.0, rate=0.95),
        ),
        min_length=1,
    )
    campaign_h: tuple[float, float] = Field(default=(10.0, 40.0), description="shortest, longest")
    changeover_h: float = Field(default=0.5, ge=0, description="hours between two products")
    shifts: tuple[ShiftSpec, ...] = Field(default=(), description="empty: around the clock")

    def pace(self, stage: int) -> float:
        """Return the factor of a stage on the line's rate."""
        return self.paces[stage] if stage < len(self.paces) else 1.0

    def buffer_h(self, number: int) -> float:
        """Return the hours of flow the buffer behind stage `number` holds."""
        return self.buffers_h[min(number, len(self.buffers_h) - 1)]


def default_stages(names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Put machines side by side in pairs, the pairs in series."""
    return tuple(tuple(names[i : i + 2]) for i in range(0, len(names), 2))

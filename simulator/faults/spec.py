"""How a fault is written down: `at`, `for`, `what`, `where`, `how_much`; by script or at a rate."""

from __future__ import annotations

from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from plant.errors import DataError
from plant.times import parse_duration_ms

What = Literal[
    "sensor.drift", "sensor.bias", "sensor.freeze", "sensor.dropout", "sensor.spikes",
    "sensor.noise", "sensor.saturation", "sensor.swapped", "sensor.unit",
    "network.late", "network.duplicate", "network.reorder", "network.gap", "network.burst",
    "clock.skew", "clock.jump", "clock.dst",
    "asset.renamed", "asset.replaced", "asset.new", "asset.fail",
]  # fmt: skip
WHAT: tuple[str, ...] = get_args(What)
#: Faults whose `how_much` is text: another signal, a unit, a duration, a name, a mode.
_TEXT = {
    "sensor.swapped", "sensor.unit", "network.late", "clock.jump", "asset.renamed", "asset.fail",
}  # fmt: skip
_NONE = {
    "sensor.freeze",
    "network.gap",
    "network.burst",
    "clock.dst",
    "asset.replaced",
    "asset.new",
}


class Fault(BaseModel):
    """One entry of a scenario's [[faults]].

    at: when, from the start (`3d 4h`); or per_month: how often, at random moments. for: how long
    (without it, to the end). where: `site/line/asset` or `site/line/asset/signal`, `*` allowed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    what: What
    where: str = Field(min_length=1)
    at: str = ""
    per_month: float | None = Field(default=None, gt=0)
    for_: str = Field(default="", alias="for")
    how_much: float | str | None = None

    @field_validator("at", "for_")
    @classmethod
    def _duration(cls, text: str) -> str:
        if text:
            try:
                parse_duration_ms(text)
            except DataError as error:
                raise ValueError(str(error)) from error
        return text

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if bool(self.at) == (self.per_month is not None):
            raise ValueError("give either at (a time like 3d 4h) or per_month (a rate)")
        if self.per_month is not None and not self.for_ and not self.what.startswith("asset."):
            raise ValueError("a fault at a rate needs for: how long each one lasts")
        levels = self.where.count("/")
        if levels != (3 if self.what.startswith("sensor.") else 2):
            form = "site/line/asset/signal" if levels == 2 else "site/line/asset"
            raise ValueError(f"where of {self.what} is {form}, not {self.where!r}")
        if self.what in _TEXT and not isinstance(self.how_much, str):
            raise ValueError(f"how_much of {self.what} is a text")
        if self.what not in _TEXT | _NONE and not isinstance(self.how_much, float):
            raise ValueError(f"how_much of {self.what} is a number")
        return self

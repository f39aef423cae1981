"""How a fault is written down: `at`, `for`, `what`, `where`, `how_much`; by script or at a rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from plant.asset import AssetPath
from plant.errors import DataError
from plant.times import DAY_MS, parse_duration_ms
from simulator.rng import keyed

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
_FOREVER_MS = 1 << 60


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


@dataclass(frozen=True, slots=True)
class Active:
    """A fault at one place and time, ready to be applied: [from_ms, until_ms)."""

    number: int
    what: str
    asset: AssetPath
    signal: str
    from_ms: int
    until_ms: int
    amount: float
    text: str


def activate(
    faults: Sequence[Fault],
    places: Sequence[tuple[AssetPath, Sequence[str]]],
    *,
    seed: int,
    start_ms: int,
    days: float,
) -> list[Active]:
    """Work out where and when every fault happens. Raises DataError when a `where` fits nothing."""
    out: list[Active] = []
    for number, fault in enumerate(faults):
        fits = [
            (asset, signal)
            for asset, signals in places
            for signal in (signals if fault.what.startswith("sensor.") else [""])
            if fnmatchcase(f"{asset}/{signal}".rstrip("/"), fault.where)
        ]
        if not fits:
            raise DataError(
                f"faults[{number}].where: {fault.where!r} fits no machine or signal of the plant.",
                fix="Name one, or use * for any.",
            )
        lasts = parse_duration_ms(fault.for_) if fault.for_ else _FOREVER_MS
        moments: list[tuple[int, list[tuple[AssetPath, str]]]] = []
        if fault.at:
            moments = [(start_ms + parse_duration_ms(fault.at), fits)]
        elif fault.per_month is not None:
            rng = keyed(seed, "fault", number)
            at = start_ms + rng.exponential(30.0 / fault.per_month) * DAY_MS
            while at < start_ms + days * DAY_MS:
                moments.append((round(at), [fits[int(rng.integers(len(fits)))]]))
                at += rng.exponential(30.0 / fault.per_month) * DAY_MS
        for at_ms, hit in moments:
            for asset, signal in hit:
                amount = fault.how_much if isinstance(fault.how_much, float) else 0.0
                text = fault.how_much if isinstance(fault.how_much, str) else ""
                n = len(out)
                out.append(Active(n, fault.what, asset, signal, at_ms, at_ms + lasts, amount, text))
    return out

"""What a machine said at one moment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from plant.asset import AssetPath
from plant.errors import PayloadError


@dataclass(frozen=True, slots=True)
class Reading:
    """The values one asset measured at one moment.

    `ts_ms` is event time, UTC epoch milliseconds. `received_ms` is when Vigie had it (its Clock),
    which decides lateness; None before ingest. `run_id` and `simulated` mark readings of a simulator.
    Raises PayloadError when there is no value or one is not finite.
    """

    asset: AssetPath
    ts_ms: int
    values: Mapping[str, float]
    seq: int | None = None
    received_ms: int | None = None
    simulated: bool = False
    run_id: str = ""

    def __post_init__(self) -> None:
        if not self.values:
            raise PayloadError("no_values", "the reading has no values.", field="values")
        for name, value in self.values.items():
            if not math.isfinite(value):
                raise PayloadError("not_finite", f"{name} is not a finite number.", field=name)

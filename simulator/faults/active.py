"""From faults as they are written to faults at one place and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from plant.asset import AssetPath
from plant.errors import DataError
from plant.times import DAY_MS, parse_duration_ms
from simulator.faults.spec import Fault
from simulator.rng import keyed

_FOREVER_MS = 1 << 60


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

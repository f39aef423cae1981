"""Applies a scenario's faults: to columns, time stamps, names, and the plant itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from plant.asset import AssetPath
from plant.errors import DataError
from plant.times import DAY_MS, HOUR_MS, parse_duration_ms
from simulator.faults.active import Active, activate
from simulator.faults.sensor import DISTORTIONS, converted
from simulator.faults.spec import Fault
from simulator.rng import keyed
from simulator.wear import Array

if TYPE_CHECKING:
    from simulator.plant import PlantSimulation
    from simulator.unit import Unit


class Injector:
    """The faults of one plant. Built by PlantSimulation; asked by the sampler and the player."""

    def __init__(
        self,
        faults: Sequence[Fault],
        units: Sequence[Unit],
        *,
        seed: int,
        start_ms: int,
        days: float,
    ) -> None:
        places = [(unit.asset, tuple(unit.machine.signals)) for unit in units]
        self._seed = seed
        self.active = activate(faults, places, seed=seed, start_ms=start_ms, days=days)
        self._by_asset: dict[AssetPath, list[Active]] = {}
        signals = dict(places)
        for fault in self.active:
            if fault.what == "sensor.swapped" and fault.text not in signals[fault.asset]:
                raise DataError(f"sensor.swapped: {fault.asset} has no signal {fault.text!r}.")
            self._by_asset.setdefault(fault.asset, []).append(fault)

    def of(self, asset: AssetPath, family: str) -> list[Active]:
        """Return the faults of one machine of one family: sensor, network, clock or asset."""
        found = self._by_asset.get(asset, ())
        return [fault for fault in found if fault.what.startswith(family + ".")]

    def distort(
        self, unit: Unit, t_ms: Array, block: int, at: int, size: int, columns: list[Array]
    ) -> list[Array]:
        """Return the columns as faulty sensors show them; at: first sample's place in its block."""
        names = list(unit.machine.signals)
        for fault in self.of(unit.asset, "sensor"):
            on = (t_ms >= fault.from_ms) & (t_ms < fault.until_ms)
            if not on.any():
                continue
            k = names.index(fault.signal)
            if fault.what == "sensor.swapped":
                other = names.index(fault.text)
                a, b = columns[k], columns[other]
                columns[k], columns[other] = np.where(on, b, a), np.where(on, a, b)
                continue
            if fault.what == "sensor.unit":
                wrong = converted(columns[k], fault.text)
            elif fault.what == "sensor.freeze":
                continue  # needs the value it froze at: see frozen()
            else:
                rng = keyed(self._seed, "fault", fault.number, block)
                draws = rng.standard_normal(size)[at : at + len(t_ms)]
                uniform = rng.random(size)[at : at + len(t_ms)]
                hours = np.maximum(t_ms - fault.from_ms, 0.0) / HOUR_MS
                wrong = DISTORTIONS[fault.what](columns[k], hours, fault.amount, draws, uniform)
            columns[k] = np.where(on, wrong, columns[k])
        return columns

    def frozen(self, asset: AssetPath) -> list[Active]:
        """Return the frozen sensors of a machine."""
        return [fault for fault in self.of(asset, "sensor") if fault.what == "sensor.freeze"]

    def stamp(self, asset: AssetPath, ts_ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the times as the machine's own clock tells them."""
        out = ts_ms
        for fault in self.of(asset, "clock"):
            on = (ts_ms >= fault.from_ms) & (ts_ms < fault.until_ms)
            if fault.what == "clock.skew":  # seconds a day
                shift = ((ts_ms - fault.from_ms) * (fault.amount * 1000.0 / DAY_MS)).astype(
                    np.int64
                )
            elif fault.what == "clock.jump":
                text = fault.text.lstrip("-")
                sign = -1 if fault.text.startswith("-") else 1
                shift = np.full(len(ts_ms), sign * parse_duration_ms(text), dtype=np.int64)
            else:  # local summer time written as if it were UTC
                shift = np.full(len(ts_ms), HOUR_MS, dtype=np.int64)
            out = np.where(on, out + shift, out)
        return out

    def arrives(self, asset: AssetPath, ts_ms: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which readings ever arrive: not those of a gap, nor from before a machine was there."""
        there = np.ones(len(ts_ms), dtype=bool)
        for fault in self.of(asset, "network"):
            if fault.what == "network.gap":
                there &= (ts_ms < fault.from_ms) | (ts_ms >= fault.until_ms)
        for fault in self.of(asset, "asset"):
            if fault.what == "asset.new":
                there &= ts_ms >= fault.from_ms
        return there

    def name(self, asset: AssetPath, ts_ms: int) -> AssetPath:
        """Return the name a machine goes by at a moment."""
        for fault in self.of(asset, "asset"):
            if fault.what == "asset.renamed" and fault.from_ms <= ts_ms < fault.until_ms:
                return AssetPath(asset.site, asset.line, fault.text)
        return asset

    def begin(self, plant: PlantSimulation) -> None:
        """Set off what happens to machines themselves: failures by script, replacements."""
        for fault in self.active:
            if fault.what == "asset.fail":
                plant.at(fault.from_ms, partial(plant.break_down, fault.asset, fault.text))
            elif fault.what == "asset.replaced":
                plant.at(fault.from_ms, partial(plant.replace, fault.asset))

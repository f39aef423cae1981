"""A small synthetic fleet whose truth is known: wear rises, two modes show in two signals."""

from __future__ import annotations

import numpy as np

from features.catalogue import Catalogue, Feature
from features.table import FeatureTable
from plant.asset import AssetPath
from plant.config import Plant, parse_plant
from plant.event import Event
from plant.times import HOUR_MS

PLANT: Plant = parse_plant(
    """
    [sites.s.lines.l]
    [kinds.pump.signals.heat]
    unit = "degC"
    [kinds.pump.signals.shake]
    unit = "mm/s"
    [kinds.pump.modes.BRG]
    label = "bearing wear"
    [kinds.pump.modes.SEAL]
    label = "seal leak"
    """
)
CATALOGUE = Catalogue(
    (
        Feature("heat", "ewm6h", "level", "degC", "heat level"),
        Feature("heat", "24h", "slope", "degC/h", "heat slope"),
        Feature("shake", "ewm6h", "level", "mm/s", "shake level"),
        Feature("shake", "24h", "slope", "mm/s/h", "shake slope"),
        Feature("noise", "ewm6h", "level", "", "nothing"),
        Feature("asset", "life", "age", "h", "hours since renewal"),
    ),
    ("heat", "shake", "noise"),
)


def fleet(
    machines: int = 12, lives: int = 4, seed: int = 0, step_h: float = 4.0, repaired: float = 0.0
) -> tuple[FeatureTable, list[Event]]:
    """Return rows every `step_h` and the log. A share `repaired` of lives ends in a coded repair.

    Each life lasts 150 to 450 h; wear grows linearly to 1 at the failure and shows in `heat` (SEAL)
    or `shake` (BRG) with noise.
    """
    rng = np.random.default_rng(seed)
    assets, times, rows, events = [], [], [], []
    for m in range(machines):
        path = AssetPath("s", "l", f"pump-{m:02d}")
        t = 0.0
        for _ in range(lives):
            life = float(rng.uniform(150, 450))
            mode = "BRG" if rng.random() < 0.5 else "SEAL"
            cut = life
            if rng.random() < repaired:
                cut = life * float(rng.uniform(0.3, 0.98))
            ages = np.arange(step_h, cut, step_h)
            wear = ages / life
            signal = {s: rng.normal(0, 0.15, len(ages)) for s in ("heat", "shake", "noise")}
            shown = "shake" if mode == "BRG" else "heat"
            signal[shown] = signal[shown] + 3 * wear**2
            slope = {s: rng.normal(0, 0.02, len(ages)) for s in ("heat", "shake")}
            slope[shown] = slope[shown] + 6 * wear / life
            columns = [
                signal["heat"],
                slope["heat"],
                signal["shake"],
                slope["shake"],
                signal["noise"],
                ages,
            ]
            rows.append(np.column_stack(columns))
            times.append(((t + ages) * HOUR_MS).astype(np.int64))
            assets += [str(path)] * len(ages)
            end = round((t + cut) * HOUR_MS)
            if cut == life:
                events.append(Event(path, end, "failure", mode=mode))
                events.append(
                    Event(path, end + 4 * HOUR_MS, "maintenance", mode=mode, found="failed")
                )
                t += cut + 6
            else:
                found = "degraded" if life - cut < 40 else "sound"
                events.append(Event(path, end, "maintenance", mode=mode, found=found, planned=True))
                t += cut + 2
    table = FeatureTable(
        np.array(assets, dtype=object),
        np.concatenate(times),
        np.concatenate(rows),
        CATALOGUE,
        np.zeros((len(assets), 3), dtype=np.uint8),
        np.full(len(assets), "pump", dtype=object),
    )
    return table, events

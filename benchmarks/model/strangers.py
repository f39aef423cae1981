"""Does the deviation keep its false alarm rate on machines it never saw, and what does it see in time?

Simulated plants, one kind each: half of the machines teach, the others are judged, and the other way
round. No failure is needed for learning, only the log that says which rows were healthy.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from features.assemble import build_table
from features.fit import fit_regimes_of
from features.settings import FeatureSettings
from features.sources import FrameSource
from models.columns import views
from models.deviation import fit_deviation
from models.hazard import as_input
from models.healthy import healthy_rows
from models.labels import label_rows
from models.settings import ModelSettings
from models.tail import MONTH_MS, spell_peaks, watched_ms
from plant.config import parse_plant
from plant.times import DAY_MS
from simulator.plant import simulate
from simulator.presets import machine_plant_toml

KINDS = ("pump", "fan", "gearmotor", "compressor")
SHOCK = "UST"  # the simulator's failures that nothing announces
LATE_H = 24.0


def run(seed: int, quick: bool) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield figures per kind: false alarms a month of healthy machines, failures deviating a day before."""
    for number, kind in enumerate(KINDS[:2] if quick else KINDS):
        plant = parse_plant(machine_plant_toml(kind, 12))
        simulation = simulate(plant, seed=seed + number, days=90, interval_s=120.0)
        source = FrameSource.from_frames(
            {
                str(asset): pd.DataFrame(f.values, columns=list(f.signals)).assign(ts_ms=f.ts_ms)
                for asset, f in simulation.frames.items()
            }
        )
        settings, events = FeatureSettings(), simulation.events
        regimes = fit_regimes_of(source, source.extents(), plant, settings, events=events)
        table = build_table(
            source, source.extents(), plant, settings, events=events, regimes=regimes
        )
        labels = label_rows(table.assets, table.ts_ms, events, ModelSettings())
        healthy = healthy_rows(table, labels, ModelSettings())
        X = as_input(table.X)
        machine = pd.factorize(table.assets, sort=True)[0].astype(np.int64)
        order = np.random.default_rng(seed).permutation(np.unique(machine))
        score = np.full(len(X), np.nan)
        for half in (0, 1):
            teach = healthy & np.isin(machine, order[half::2])
            model = fit_deviation(
                X[teach], table.ts_ms[teach], machine[teach], views(table.catalogue),
                ModelSettings(),
            )  # fmt: skip
            others = np.isin(machine, order[1 - half :: 2])
            score[others] = model.score(X[others])
        known = np.flatnonzero(healthy & np.isfinite(score))
        known = known[np.lexsort((table.ts_ms[known], machine[known]))]
        ts, group = table.ts_ms[known], machine[known]
        months = watched_ms(ts, group) / MONTH_MS
        late = labels.observed & labels.valid & (labels.ttf_h <= LATE_H) & (labels.mode != SHOCK)
        lives = np.unique(labels.life[late])
        seen = np.unique(labels.life[late & (score >= 1)])
        yield (
            kind,
            {
                "false_alarms_per_month": len(spell_peaks(score[known], ts, group, 1.0, DAY_MS))
                / months,
                "asked_per_month": ModelSettings().false_alarms_per_month,
                "machine_months": months,
                "failures": len(lives),
                "failures_seen": len(seen) / max(len(lives), 1),
            },
        )

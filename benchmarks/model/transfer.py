"""Borrowing failures from a simulated plant of the same kind.

The donor is a plant of pumps as the simulator makes them. The own plant has pumps of the same kind with
another seed, slower wear, other products and campaigns, and noisier sensors. With 0, 5, 20 and 50 own
failures three models say what follows: the donor's, one of the own history, and one of both together. All
are judged on the same later months of the own plant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.assemble import build_table
from features.fit import fit_regimes_of
from features.regime import RegimeModel
from features.settings import FeatureSettings
from features.sources import FrameSource
from features.table import FeatureTable
from models.bundle import Bundle
from models.labels import label_rows
from models.metrics import brier, calibration_ratio, concordance, rmse
from models.score import predict
from models.settings import ModelSettings
from models.train import train
from plant.config import Plant, parse_plant
from plant.event import Event
from plant.times import DAY_MS, HOUR_MS
from simulator.faults.spec import Fault
from simulator.layout import LineLayout, Product
from simulator.plant import simulate
from simulator.presets import plant_toml
from simulator.settings import SimulatorSettings

OWN_FAILURES = (5, 20, 50)
JUDGED_CAP_H = 336.0
_EMBARGO_MS = 7 * DAY_MS
_SETTINGS = FeatureSettings(bucket_ms=HOUR_MS)
SIMULATED = ModelSettings(members=1, midlife_share=0, challengers=False, horizon_h=504.0)


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """A simulated plant's history: readings, log, and the plant."""

    plant: Plant
    source: FrameSource
    events: list[Event]
    stop_ms: int

    def failures(self) -> list[int]:
        """Return the times of its failures, rising."""
        return sorted(e.ts_ms for e in self.events if e.kind == "failure")

    def regimes(self, stop_ms: int | None = None) -> dict[str, RegimeModel]:
        """Return what is normal here, learned from the history before `stop_ms`."""
        extents = [
            type(e)(e.asset, e.first_ms, min(e.last_ms, stop_ms or e.last_ms), e.signals)
            for e in self.source.extents()
        ]
        before = [e for e in self.events if stop_ms is None or e.ts_ms < stop_ms]
        return fit_regimes_of(self.source, extents, self.plant, _SETTINGS, events=before)

    def rows(self, regimes: dict[str, RegimeModel]) -> FeatureTable:
        """Return its feature rows by these regimes."""
        return build_table(
            self.source, self.source.extents(), self.plant, _SETTINGS,
            events=self.events, regimes=regimes,
        )  # fmt: skip


def simulated(
    line: str, machines: int, days: float, seed: int, *, other: bool = False, wear: float = 14.0
) -> Fleet:
    """Simulate pumps on one line; `other`: wear, products, hours and noise of another plant."""
    paths = [f"lyon/{line}/pump-{i}" for i in range(1, machines + 1)]
    where = parse_plant(plant_toml("transfer", [(path, "pump") for path in paths]))
    settings = SimulatorSettings(wear=wear)
    if other:
        products = (Product(name="thin", load=0.75), Product(name="thick", load=1.05, rate=0.9))
        noise = {"vibration_rms": 0.15, "bearing_temp_c": 1.0, "flow_m3h": 0.6, "current_a": 0.3}
        settings = SimulatorSettings(
            wear=10.0,
            lines={f"lyon/{line}": LineLayout(products=products, campaign_h=(20.0, 80.0))},
            faults=tuple(
                Fault(what="sensor.noise", where=f"lyon/{line}/*/{name}", at="0h", how_much=much)
                for name, much in noise.items()
            ),
        )
    run = simulate(where, seed=seed, days=days, interval_s=1200, settings=settings)
    tables = {}
    for path, frame in run.frames.items():
        tables[str(path)] = pd.DataFrame(frame.values, columns=list(frame.signals)).assign(
            ts_ms=frame.ts_ms
        )
    return Fleet(where, FrameSource.from_frames(tables), list(run.events), run.stop_ms)


def run(seed: int, quick: bool) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the figures of the donor's, the own and the pooled model per number of own failures."""
    machines = 12 if quick else 20
    donor = simulated("donor", machines, 150 if quick else 240, seed)
    own = simulated("own", machines, 240 if quick else 330, seed + 1, other=True)
    times = own.failures()
    wanted = [n for n in OWN_FAILURES if n < len(times)]
    judge_from = times[max(wanted)] + _EMBARGO_MS
    borrowed = donor.regimes()
    of_donor = donor.rows(borrowed)
    donor_bundle = _train(of_donor, donor.events, donor.plant, donor.stop_ms, 20)
    by_donor = own.rows(borrowed)
    yield "0-donor", _judge(donor_bundle, by_donor, own, judge_from)
    for n in wanted:
        cut = times[n]
        past = by_donor.take(by_donor.ts_ms < cut)
        both = FeatureTable.concat([of_donor, past])
        log = donor.events + [e for e in own.events if e.ts_ms < cut]
        pooled = _train(both, log, own.plant, max(donor.stop_ms, cut), 20)
        yield f"{n}-pooled", _judge(pooled, by_donor, own, judge_from)
        table = own.rows(own.regimes(cut))
        alone = _train(table.take(table.ts_ms < cut), own.events, own.plant, cut, min(n, 20))
        yield f"{n}-own", _judge(alone, table, own, judge_from)


def _train(
    table: FeatureTable, events: list[Event], plant: Plant, as_of_ms: int, least: int
) -> Bundle:
    settings = SIMULATED.model_copy(update={"min_failures": max(2, least)})
    return train(table, events, plant, settings, now_ms=0, as_of_ms=as_of_ms)


def _judge(bundle: Bundle, table: FeatureTable, own: Fleet, start_ms: int) -> dict[str, float]:
    """Return the figures of the own plant's rows from `start_ms` on, every sixth hour."""
    rows = table.take((table.ts_ms >= start_ms) & (table.ts_ms // HOUR_MS % 6 == 0))
    labels = label_rows(rows.assets, rows.ts_ms, own.events, SIMULATED, own.stop_ms)
    p = predict(bundle, rows.X)
    use = np.flatnonzero(labels.valid & p.known)
    ttf, seen, life = labels.ttf_h[use], labels.observed[use], labels.life[use]
    if p.curves is None:
        ranked = concordance(-p.deviation[use], ttf, seen, life)
        return {"window": 0, "c_index_of_deviation": ranked, "rows": len(use)}
    curves = p.curves.take(use)
    return {"window": 1, **_figures(curves.restricted_mean_h(JUDGED_CAP_H), ttf, seen, life)} | {
        f"{name}_{h}h": figure(curves.p_fail(float(h))[:, 0], ttf, seen, float(h))
        for h in (72, 168)
        for name, figure in (("brier", brier), ("observed_over_expected", calibration_ratio))
    }


def _figures(
    mean: NDArray[np.float64],
    ttf: NDArray[np.float64],
    seen: NDArray[np.bool_],
    life: NDArray[np.int64],
) -> dict[str, float]:
    known = seen | (ttf >= JUDGED_CAP_H)
    return {
        "rmse_capped": rmse(mean[known], np.minimum(ttf[known], JUDGED_CAP_H)),
        "c_index": concordance(mean, ttf, seen, life),
        "rows": len(ttf),
        "failures": len(np.unique(life[seen])),
    }

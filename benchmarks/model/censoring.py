"""70 % of the training engines censored: at random, by age, by condition, with and without as-found codes.

Test engines are the official ones with all their rows between 1 and 145 hours before failure, from
hour 31 of life on: no test engine is censored, and none was trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cmapss_data import CAP_H
from benchmarks.model.rivals import RIVALS, tune
from benchmarks.model.turbofan import MODEL, Turbofans
from features.table import FeatureTable
from models.crossfit import landmark_rows
from models.hazard import as_input
from models.labels import label_rows
from models.metrics import brier, calibration_ratio, rmse, window_coverage
from models.score import predict
from models.splits import thin
from models.train import train
from plant.asset import AssetPath
from plant.event import Event
from plant.times import HOUR_MS

SCENARIOS = ("condition", "random", "age")
#: How as-found codes are kept: none, all right, or 30 % missing and 10 % wrong.
CODES = ("nocodes", "codes", "poorcodes")


@dataclass(frozen=True, slots=True, eq=False)
class Censored:
    """The shortened training rows, their log, and how many engines were seen to fail."""

    table: FeatureTable
    events: list[Event]
    failures: int


def censor(data: Turbofans, scenario: str, codes: str, seed: int) -> Censored:
    """Cut training engines short by planned repairs; a repair finds wear in the last 30 hours of life."""
    rng = np.random.default_rng(seed)
    engines = sorted(data.life_ms)
    start = {a: int(data.train.ts_ms[data.train.assets == a].min()) for a in engines}
    life_h = np.array([(data.life_ms[a] - start[a]) / HOUR_MS for a in engines])
    cut_h = _cuts(data, engines, life_h, scenario, rng)
    keep = np.zeros(len(data.train), dtype=bool)
    events = []
    for a, life, cut in zip(engines, life_h, cut_h, strict=True):
        mine = data.train.assets == a
        path = AssetPath.parse(a)
        if cut >= life:
            keep |= mine
            events.append(Event(path, data.life_ms[a], "failure", mode="ENG", found="failed"))
            continue
        at = start[a] + round(max(cut, 25.0) * HOUR_MS)
        keep |= mine & (data.train.ts_ms < at)
        found = "degraded" if data.life_ms[a] - at <= 30 * HOUR_MS else "sound"
        draw = rng.random(2)
        if codes == "nocodes" or (codes == "poorcodes" and draw[0] < 0.3):
            found = "unknown"
        elif codes == "poorcodes" and draw[1] < 0.1:
            found = "sound" if found == "degraded" else "degraded"
        events.append(Event(path, at, "maintenance", mode="ENG", found=found, planned=True))
    failures = sum(e.kind == "failure" for e in events)
    return Censored(data.train.take(keep), events, failures)


def _cuts(
    data: Turbofans,
    engines: list[str],
    life_h: NDArray[np.float64],
    scenario: str,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return when each engine would be repaired (hours of life), so that about 70 % are."""
    n = len(engines)
    if scenario == "random":
        return np.median(life_h) * rng.uniform(0.15, 1.25, n)
    if scenario == "age":
        return np.quantile(life_h, 0.30) * rng.normal(1.0, 0.08, n)
    level = data.train.column("health1.ewm30h.level")
    lived = [(data.train.assets == a) & (data.train.ts_ms < data.life_ms[a]) for a in engines]
    ends = np.array([level[rows][-1] for rows in lived])
    sign = np.sign(np.median(ends) - np.nanmedian(level))
    thresholds = np.quantile(sign * ends, 0.5) * rng.uniform(0.55, 1.15, n)
    cuts = np.full(n, np.inf)
    for i, rows in enumerate(lived):
        above = np.flatnonzero(sign * level[rows] > thresholds[i])
        if len(above):
            cuts[i] = above[0] + 1.0
    return cuts


def run(
    data: Turbofans, scenario: str, codes: str, seed: int, rivals: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (method, figures)."""
    cut = censor(data, scenario, codes, seed)
    settings = MODEL.model_copy(update={"min_failures": 10, "seed": seed})
    labels = label_rows(cut.table.assets, cut.table.ts_ms, cut.events, settings)
    test, y = _test_rows(data)
    share = {"failures": cut.failures, "censored": round(1 - cut.failures / len(data.life_ms), 3)}
    bundle = train(cut.table, cut.events, data.plant, settings, now_ms=0)
    p = predict(bundle, test)
    if p.curves is None or p.windows_h is None:
        raise SystemExit("The model gives no window.")
    coverage, width, _ = window_coverage(p.windows_h, y, np.ones(len(y), dtype=bool))
    ours = figures(p.curves, y) | {"window_coverage_80": coverage, "window_width": width}
    found: dict[str, dict[str, Any]] = {}
    rows = landmark_rows(cut.table, labels, settings, 0)
    X, ttf, observed = as_input(cut.table.X[rows]), labels.ttf_h[rows], labels.observed[rows]
    for name, (fit, _settings) in RIVALS.items() if rivals else ():
        chosen = tune(name, X, ttf, observed, labels.life[rows])
        curves = fit(X, ttf, observed, chosen)(test)
        found[name] = figures(curves, y) | {"setting": chosen}
    yield "vigie", ours | share | {"findings": bundle.lineage["findings"]} | _why_not(ours, found)
    for name, one in found.items():
        yield name, one | share


def _why_not(ours: dict[str, float], rivals: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Say from the figures why Vigie is not first, when it is not."""
    if not rivals:
        return {}
    best = min(rivals, key=lambda name: float(rivals[name]["rmse"]))
    other = rivals[best]
    if ours["rmse"] <= other["rmse"]:
        return {}
    own, its = (np.sqrt(max(f["rmse"] ** 2 - f["bias"] ** 2, 0.0)) for f in (ours, other))
    if own <= its:
        side = "hopeful" if ours["bias"] > 0 else "careful"
        why = f"it is {abs(ours['bias']):.1f} h too {side} ({best}: {other['bias']:+.1f} h); without bias"
        return {"why_not": f"{why} it would be first with {own:.1f} h against {its:.1f} h"}
    return {"why_not": f"{best} scatters less, bias aside: {its:.1f} h against {own:.1f} h"}


def _test_rows(data: Turbofans) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    table = data.test
    number = np.array([int(str(a).rsplit("-", 1)[1]) - 1 for a in table.assets])
    last = np.zeros(len(data.true_rul_h), dtype=np.int64)
    np.maximum.at(last, number, table.ts_ms)
    first = np.full(len(last), 1 << 62)
    np.minimum.at(first, number, table.ts_ms)
    y = data.true_rul_h[number] + (last[number] - table.ts_ms) / HOUR_MS
    old = (table.ts_ms - first[number]) / HOUR_MS >= 30
    chosen = old & (y >= 1) & (y <= 145) & thin(number, table.ts_ms, 3, 0, 0)
    return as_input(table.X[chosen]), y[chosen]


def figures(curves: object, y: NDArray[np.float64]) -> dict[str, float]:
    """Return RMSE, bias and calibration on fully known lives."""
    from models.curve import SurvivalCurves

    assert isinstance(curves, SurvivalCurves)
    mean = curves.restricted_mean_h(CAP_H)
    capped = np.minimum(y, CAP_H)
    everyone = np.ones(len(y), dtype=bool)
    p30 = curves.p_fail(30)[:, 0]
    return {
        "rows": len(y),
        "rmse": rmse(mean, capped),
        "bias": float(np.mean(mean - capped)),
        "brier_30": brier(p30, y, everyone, 30),
        "observed_over_expected_30": calibration_ratio(p30, y, everyone, 30),
    }

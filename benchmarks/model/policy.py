"""What the predictions are worth: repair policies replayed on engines that no model has seen.

Unplanned costs ten times planned. An order placed at age x is carried out `lead` hours later, if the
engine still runs. The optimal stopping rule weighs the cost of a failure against the life thrown away
at the long-run cost rate found on the other folds; every other policy's threshold is tuned there too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.model.censoring import censor
from benchmarks.model.turbofan import MODEL, Turbofans
from models.score import predict
from models.splits import folds_by_group
from models.train import train
from plant.times import HOUR_MS

Array = NDArray[np.float64]
UNPLANNED = 10.0
HORIZON = 160


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """Held-out curves of every training engine: survival float64[n, HORIZON + 1] at whole hours."""

    engines: list[str]
    life: dict[str, float]
    rows: dict[str, NDArray[np.int64]]
    age: Array
    survival: Array
    sensor: Array
    health: Array
    fold: dict[str, int]


def replay(data: Turbofans, folds: int, seed: int, scenario: str | None) -> Replay:
    """Train on the other folds (on censored lives when `scenario` is given) and predict each engine."""
    engines = sorted(data.life_ms)
    groups = np.arange(len(engines))
    fold_of = folds_by_group(groups, np.ones(len(engines)), folds, seed)
    fold = dict(zip(engines, fold_of.tolist(), strict=True))
    row_fold = np.array([fold[str(a)] for a in data.train.assets])
    table, events = data.train, data.events
    if scenario is not None:
        cut = censor(data, scenario, "codes", seed)
        table, events = cut.table, cut.events
    learn_fold = np.array([fold[str(a)] for a in table.assets])
    survival = np.ones((len(data.train), HORIZON + 1))
    settings = MODEL.model_copy(update={"heads": 0, "members": 1, "min_failures": 8})
    for k in range(folds):
        mine = [e for e in events if fold[str(e.asset)] != k]
        bundle = train(table.take(learn_fold != k), mine, data.plant, settings, now_ms=0)
        curves = predict(bundle, data.train.X[row_fold == k]).curves
        if curves is None:
            raise SystemExit("The model gives no window.")
        survival[row_fold == k] = curves.at(np.arange(HORIZON + 1.0))
    start = {a: int(data.train.ts_ms[data.train.assets == a].min()) - HOUR_MS for a in engines}
    first = np.array([start[str(a)] for a in data.train.assets])
    age = (data.train.ts_ms - first) / HOUR_MS
    life = {a: (data.life_ms[a] - start[a]) / HOUR_MS for a in engines}
    remaining = np.array([life[str(a)] for a in data.train.assets]) - age
    sensor = _best_sensor(data, remaining)
    health = data.train.column("health1.ewm12h.level")
    health = health * -np.sign(_corr(health, remaining))
    rows = {a: np.flatnonzero((data.train.assets == a) & (remaining > 0)) for a in engines}
    return Replay(engines, life, rows, age, survival, sensor, health, fold)


def _best_sensor(data: Turbofans, remaining: Array) -> Array:
    names = [
        n for n in data.train.catalogue.names if n.endswith("ewm12h.level") and n.startswith("s")
    ]
    columns = {n: data.train.column(n) for n in names}
    capped = np.minimum(remaining, 125)
    best = max(names, key=lambda n: abs(_corr(columns[n], capped)))
    return columns[best] * -np.sign(_corr(columns[best], capped))


def _corr(x: Array, y: Array) -> float:
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any() or np.std(x[known]) < 1e-12:
        return 0.0
    return float(np.corrcoef(x[known], y[known])[0, 1])


def cost_rate(
    r: Replay, engines: list[str], order: dict[str, float], lead: float
) -> tuple[float, int]:
    """Return long-run cost per hour and failures, when each engine's repair is ordered at that age."""
    cost = hours = 0.0
    fails = 0
    for e in engines:
        at = order[e] + lead
        if at < r.life[e]:
            cost, hours = cost + 1.0, hours + at
        else:
            cost, hours, fails = cost + UNPLANNED, hours + r.life[e], fails + 1
    return cost / hours, fails


def policies(r: Replay, lead: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield every policy's cost as a ratio to the oracle, which orders in the last possible hour."""
    folds = sorted(set(r.fold.values()))
    total: dict[str, list[float]] = {}
    for k in folds:
        judge = [e for e in r.engines if r.fold[e] == k]
        learn = [e for e in r.engines if r.fold[e] != k]

        def tuned(
            grid: Array,
            rule: Callable[[float, str], float],
            a: list[str] = learn,
            b: list[str] = judge,
        ) -> dict[str, float]:
            costs = [cost_rate(r, a, {e: rule(float(c), e) for e in a}, lead)[0] for c in grid]
            best = grid[int(np.argmin(costs))]
            return {e: rule(float(best), e) for e in b}

        rate = 1.0 / float(np.mean([r.life[e] for e in learn]))
        for _ in range(6):
            now = _stop_now(r, lead, rate)
            rate = cost_rate(r, learn, {e: _first(r, e, now) for e in learn}, lead)[0]
        now = _stop_now(r, lead, rate)
        risk = 1.0 - r.survival[:, min(lead + 5, HORIZON)]
        orders = {
            "vigie": {e: _first(r, e, now) for e in judge},
            "vigie_threshold": tuned(
                np.array([0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5]),
                lambda c, e, risk=risk: _first(r, e, risk > c),
            ),
            "age": tuned(np.arange(20.0, 400.0, 5.0), lambda c, _: c),
            "single_sensor": tuned(
                np.nanquantile(r.sensor, np.linspace(0.5, 0.999, 60)),
                lambda c, e: _first(r, e, r.sensor > c),
            ),
            "health_index": tuned(
                np.nanquantile(r.health, np.linspace(0.5, 0.999, 60)),
                lambda c, e: _first(r, e, r.health > c),
            ),
            "run_to_failure": dict.fromkeys(judge, np.inf),
            "oracle": {e: r.life[e] - 1 - lead for e in judge},
        }
        for name, order in orders.items():
            c, fails = cost_rate(r, judge, order, lead)
            hours = sum(min(order[e] + lead, r.life[e]) for e in judge)
            sums = total.setdefault(name, [0.0, 0.0, 0.0])
            sums[0] += c * hours
            sums[1] += hours
            sums[2] += fails
    oracle = total["oracle"][0] / total["oracle"][1]
    for name, (cost, hours, fails) in total.items():
        yield (
            name,
            {
                "cost_ratio_to_oracle": cost / hours / oracle,
                "failures": int(fails),
                "engines": len(r.engines),
            },
        )


def _stop_now(r: Replay, lead: int, rate: float) -> NDArray[np.bool_]:
    """Tell at which rows ordering now is as cheap as ordering at any later hour."""
    s = r.survival
    lived = np.concatenate(
        [np.zeros((len(s), 1)), np.cumsum((s[:, 1:] + s[:, :-1]) / 2, axis=1)], axis=1
    )
    cost = s + UNPLANNED * (1 - s) - rate * lived
    return np.asarray(cost[:, lead] <= cost[:, lead:].min(axis=1) + 1e-9)


def _first(r: Replay, engine: str, trigger: NDArray[np.bool_]) -> float:
    rows = r.rows[engine]
    hit = np.flatnonzero(trigger[rows] & (r.age[rows] >= 10))
    return float(r.age[rows[hit[0]]]) if len(hit) else np.inf

"""What the predictions are worth: repair policies replayed on engines that no model has seen.

Unplanned costs ten times planned. An order placed at age x is carried out `lead` hours later, if the
engine still runs. Vigie's rule is optimal stopping by the whole curve (Makis & Jardine 1992, DOI
10.1080/03155986.1992.11732183): order once going on costs more per hour than the long-run rate, which
is found by fixed point on the other folds. The rule acts at the first crossing, and the first crossing of a
jittery index comes too early; so the index is an exponentially weighted mean, its span chosen on
the other folds. Every other policy's threshold is tuned there too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.model.censoring import censor
from benchmarks.model.turbofan import FEATURES, MODEL, Turbofans
from features.assemble import build_table
from models.score import predict
from models.splits import folds_by_group
from models.train import train
from plant.times import HOUR_MS

Array = NDArray[np.float64]
UNPLANNED = 10.0
HORIZON = 160
#: Weights of the newest value among which the other folds choose; 1 is no smoothing. A mean must not be older
#: than the warning it has to give: at 0.06 it is 16 h old, and with a lead of 10 h a third of FD002 fails.
_SMOOTHING = (1.0, 0.5, 0.25, 0.12)


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
    settings = MODEL.model_copy(
        update={"heads": 0, "members": 1, "min_failures": 8, "challengers": False, "seed": seed}
    )
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
    settings = FEATURES.model_copy(
        update={"excess": "all"}
    )  # the model itself needs no lone sensor
    table = build_table(
        data.source, data.source.extents(), data.plant, settings,
        events=data.events, regimes=data.regimes,
    )  # fmt: skip
    names = [n for n in table.catalogue.names if n.endswith("ewm12h.level") and n.startswith("s")]
    columns = {n: table.column(n) for n in names}
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
    indices = [smoothed(r, stopping_index(r.survival, lead), a) for a in _SMOOTHING]
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

        found = [(*_long_run(r, learn, index, lead), index) for index in indices]
        _, rate, index = min(found, key=lambda f: f[0])
        now = index >= rate
        risk = 1.0 - r.survival[:, min(lead + 5, HORIZON)]
        orders = {
            "vigie": {e: _first(r, e, now) for e in judge},
            "vigie_unsmoothed": {e: _first(r, e, indices[0] >= found[0][1]) for e in judge},
            "vigie_threshold": tuned(
                np.quantile(risk, np.linspace(0.5, 0.999, 60)),
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


def stopping_index(survival: Array, lead: int) -> Array:
    """Return the lowest cost per hour at which each row's engine could be kept on, float64[n].

    Waiting until d instead of ordering now adds (UNPLANNED - 1) * P(fails in between) and gains the hours
    lived in between; the best d counts. survival: float64[n, HORIZON + 1] at whole hours.
    """
    lived = np.concatenate(
        [
            np.zeros((len(survival), 1)),
            np.cumsum((survival[:, 1:] + survival[:, :-1]) / 2, axis=1),
        ],
        axis=1,
    )
    cost = (UNPLANNED - 1) * (survival[:, [lead]] - survival[:, lead + 1 :])
    gained = np.maximum(lived[:, lead + 1 :] - lived[:, [lead]], 1e-9)
    return np.asarray((cost / gained).min(axis=1), dtype=np.float64)


def smoothed(r: Replay, index: Array, newest: float) -> Array:
    """Return the exponentially weighted geometric mean along each engine's past."""
    out = np.log(np.maximum(index, 1e-9))
    for rows in r.rows.values():
        for before, row in pairwise(rows):
            out[row] = newest * out[row] + (1 - newest) * out[before]
    return np.exp(out)


def _long_run(r: Replay, learn: list[str], index: Array, lead: int) -> tuple[float, float]:
    """Return the cost rate on `learn` of stopping at its own long-run rate, and that rate."""
    rate = 1.0 / float(np.mean([r.life[e] for e in learn]))
    for _ in range(6):
        rate = cost_rate(r, learn, {e: _first(r, e, index >= rate) for e in learn}, lead)[0]
    order = {e: _first(r, e, index >= rate) for e in learn}
    return cost_rate(r, learn, order, lead)[0], rate


def _first(r: Replay, engine: str, trigger: NDArray[np.bool_]) -> float:
    rows = r.rows[engine]
    hit = np.flatnonzero(trigger[rows] & (r.age[rows] >= 10))
    return float(r.age[rows[hit[0]]]) if len(hit) else np.inf

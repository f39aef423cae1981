"""NAB machine temperature and SKAB valve 1 with the deviation score alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.assemble import build_table
from features.settings import FeatureSettings
from features.sources import FrameSource
from models.columns import views
from models.deviation import fit_deviation
from models.hazard import as_input
from models.settings import ModelSettings
from plant.config import Plant, parse_plant
from plant.times import DAY_MS, MINUTE_MS

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]
#: Learns from rows float64[n, F] at times int64[n]; scores others.
Fit = Callable[[Array, IntArray], Callable[[Array], Array]]
#: Published by the SKAB authors for the whole benchmark (three valve groups), best autoencoder (Conv-AE).
SKAB_CONV_AE_F1 = 0.78
#: Normalised from NAB's published results for this file, thresholds optimised over its whole corpus.
NAB_HTM, NAB_CONTEXT_OSE = 86.2, 70.5


def nab(folder: Path, seed: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the NAB score (standard profile) of each detector on machine_temperature.

    Every detector says when an alarm begins, a day of calm between two, and learns again every day
    from all rows before. The moving z has the best of four windows.
    """
    frame = pd.read_csv(
        folder / "nab" / "machine_temperature_system_failure.csv", parse_dates=["timestamp"]
    )
    ts, value = _ms(frame["timestamp"]), frame["value"].to_numpy(dtype=float)
    listed = json.loads((folder / "nab" / "combined_windows.json").read_text())
    windows = [
        (int(pd.Timestamp(low).value // 1_000_000), int(pd.Timestamp(high).value // 1_000_000))
        for low, high in listed["realKnownCause/machine_temperature_system_failure.csv"]
    ]
    file = NabFile(ts, windows)
    settings = FeatureSettings(
        bucket_ms=5 * MINUTE_MS,
        windows=("1h", "6h"),
        window_stats=("mean", "std"),
        extra=(),
        ewm=("1h", "6h"),
        trends=("1h.scatter", "6h.trend", "6h.shift", "24h.shift"),
        own=False,
        components=0,
    )
    first = pd.DataFrame({"ts_ms": ts, "value": value}).drop_duplicates("ts_ms")
    source = FrameSource.from_frames({"s/l/m": first})
    table = build_table(source, source.extents(), _plant(("value",)), settings)
    # The row that has just seen a reading is the next of the grid.
    row = np.searchsorted(table.ts_ms, ts + settings.bucket_ms, side="right") - 1
    X, begin = as_input(table.X), int(ts[file.probation])
    score = _daily(table.ts_ms, X, begin, _deviation(views(table.catalogue), 0.5))[row]
    published = {"published_numenta_htm": NAB_HTM, "published_context_ose": NAB_CONTEXT_OSE}
    at_limit = file.score(_onsets(score, 1.0))
    yield "nab-vigie", {**_nab_best(score, file), "nab_at_limit_1": at_limit, **published}
    forest = _daily(table.ts_ms, np.nan_to_num(X), begin, _forest(seed))[row]
    yield "nab-isolation_forest", _nab_best(forest, file)
    series = pd.Series(value)
    yield (
        "nab-moving_z",
        max(
            (
                _nab_best(
                    ((series - series.rolling(n).mean()) / series.rolling(n).std())
                    .abs()
                    .fillna(0)
                    .to_numpy(),
                    file,
                )
                | {"window": n}
                for n in (72, 144, 288, 2016)
            ),
            key=lambda figures: figures["nab_score"],
        ),
    )


def _daily(ts: IntArray, X: Array, begin: int, fit: Fit) -> Array:
    """Score row by row with a detector fitted anew every day on all rows before; 0 where unknown."""
    out = np.zeros(len(X))
    for start in range(begin, int(ts[-1]) + 1, DAY_MS):
        past, now = ts < start, (ts >= start) & (ts < start + DAY_MS)
        if now.any():
            out[now] = np.nan_to_num(fit(X[past], ts[past])(X[now]))
    return out


def _deviation(columns: tuple[IntArray, ...], per_month: float) -> Fit:
    settings = ModelSettings(false_alarms_per_month=per_month)
    return lambda X, ts: fit_deviation(X, ts, np.zeros(len(X), np.int64), columns, settings).score


def _forest(seed: int) -> Fit:
    from sklearn.ensemble import IsolationForest

    def fit(X: Array, _ts: IntArray) -> Callable[[Array], Array]:
        forest = IsolationForest(n_estimators=200, random_state=seed).fit(X)
        return lambda Z: np.asarray(-forest.score_samples(Z))

    return fit


def _onsets(score: Array, limit: float, rest: int = 288) -> IntArray:
    """Return the rows at which an alarm begins: at the limit, and at none of the `rest` rows before."""
    at = np.flatnonzero(score >= limit)
    return at[np.r_[True, np.diff(at) > rest]] if len(at) else at


def _nab_best(score: Array, file: NabFile) -> dict[str, float]:
    """Return the score at the threshold that suits it best, as NAB's own optimiser does."""
    later = np.sort(score[file.probation :])
    tried = np.unique(np.r_[np.quantile(later, np.linspace(0.8, 1, 800)), later[-100:]])
    best, limit = max((file.score(_onsets(score, limit)), limit) for limit in tried)
    return {"nab_score": best, "threshold": float(limit)}


class NabFile:
    """NAB's scoring of one file, standard profile (Lavin & Ahmad 2015, DOI 10.1109/ICMLA.2015.141).

    Places count rows, as NAB's published sweeper does. The first 15 % of the rows, 750 at most, are for
    learning: alarms there do not count. The earliest alarm in a window is credited by a sigmoid of its
    place, a window without one costs 1, an alarm outside 0.11 times a sigmoid of its distance from the
    window before. 0 is saying nothing, 100 is perfect.
    """

    def __init__(self, ts: IntArray, windows: list[tuple[int, int]]) -> None:
        n = len(ts)
        self.probation = int(min(0.15 * n, 750))
        self.windows = len(windows)
        self._window = np.full(n, -1)
        self._credit = np.zeros(n)
        past = np.full(n, 3.0)
        for k, (low, high) in enumerate(windows):
            left, right = (int(np.flatnonzero(ts == edge)[0]) for edge in (low, high))
            width = right - left + 1
            inside, after = np.arange(left, right + 1), np.arange(right + 1, n)
            self._window[inside] = k
            self._credit[inside] = _sigmoid(-(right - inside + 1) / width) / _sigmoid(
                np.array([-1.0])
            )
            past[after] = (after - right) / (width - 1)
        self._cost = 0.11 * _sigmoid(past)

    def score(self, alarms: IntArray) -> float:
        """Return the normalised score of alarms at these rows."""
        at = alarms[alarms >= self.probation]
        raw = float(self._cost[at[self._window[at] < 0]].sum())
        for k in range(self.windows):
            credit = self._credit[at[self._window[at] == k]]
            raw += float(credit.max()) if len(credit) else -1.0
        return 100.0 * (raw + self.windows) / (2 * self.windows)


def _sigmoid(place: Array) -> Array:
    return np.where(place >= 3.0, -1.0, 2.0 / (1.0 + np.exp(5.0 * np.minimum(place, 3.0))) - 1.0)


def skab(folder: Path, seed: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield F1, false and missed alarm rates over the 16 files; each learns from its first 400 rows.

    Thresholds come from those rows: their 99 % point, times 1.3 for the two distances, which are
    smaller on rows they were fitted on. Beside it the product's own limit: at the default rate per row
    (0.5 a month on a grid of 10 minutes is 300 a month on one of a second), and at one a month.
    Windows are at most a tenth of the healthy rows.
    """
    truth: list[NDArray[np.bool_]] = []
    detectors = (
        "vigie", "vigie_at_limit_1", "vigie_at_limit_1_monthly",
        "isolation_forest_readings", "isolation_forest_features", "moving_z",
    )  # fmt: skip
    found: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in detectors}
    settings = FeatureSettings(
        bucket_ms=1_000,
        windows=("30s",),
        window_stats=("mean",),
        extra=(),
        ewm=("10s", "30s"),
        trends=("30s.scatter",),
        own=False,
        components=0,
    )
    for file in sorted((folder / "skab" / "valve1").glob("*.csv"), key=lambda f: int(f.stem)):
        frame = pd.read_csv(file, sep=";", parse_dates=["datetime"])
        channels = [c.replace(" ", "_") for c in frame.columns[1:9]]
        ts = _ms(frame["datetime"])
        values = frame.iloc[:, 1:9].to_numpy(dtype=float)
        plant = _plant(tuple(channels))
        readings = pd.DataFrame(values, columns=channels).assign(ts_ms=ts)
        source = FrameSource.from_frames({"s/l/m": readings})
        table = build_table(source, source.extents(), plant, settings)
        row = np.clip(np.searchsorted(table.ts_ms, ts + 1_000, side="right") - 1, 0, None)
        X = as_input(table.X)[row]
        learn = np.arange(len(ts)) < 400
        truth.append(frame["anomaly"].to_numpy(dtype=float) > 0)
        columns = views(table.catalogue)
        score = np.nan_to_num(_deviation(columns, 300.0)(X[learn], ts[learn])(X))
        found["vigie"].append(score > np.quantile(score[learn], 0.99) * 1.3)
        found["vigie_at_limit_1"].append(score > 1.0)
        score = np.nan_to_num(_deviation(columns, 1.0)(X[learn], ts[learn])(X))
        found["vigie_at_limit_1_monthly"].append(score > 1.0)
        from sklearn.ensemble import IsolationForest

        # It is given the readings or the features, each in its own line.
        for name, inputs in (("readings", values), ("features", np.nan_to_num(X))):
            forest = IsolationForest(n_estimators=200, random_state=seed).fit(inputs[learn])
            s = -forest.score_samples(inputs)
            found[f"isolation_forest_{name}"].append(s > np.quantile(s[learn], 0.99))
        mean, spread = values[learn].mean(axis=0), values[learn].std(axis=0) + 1e-9
        z = np.abs(
            (pd.DataFrame(values).rolling(30, min_periods=1).mean().to_numpy() - mean) / spread
        )
        found["moving_z"].append(z.max(axis=1) > np.quantile(z[learn].max(axis=1), 0.99) * 1.3)
    y = np.concatenate(truth)
    for name, parts in found.items():
        alarm = np.concatenate(parts)
        hit = float(np.sum(alarm & y))
        yield (
            f"skab-{name}",
            {
                "f1": 2 * hit / (2 * hit + np.sum(alarm & ~y) + np.sum(~alarm & y)),
                "false_alarm_rate": float(np.mean(alarm[~y])),
                "missed_alarm_rate": float(np.mean(~alarm[y])),
                "published_conv_ae_f1_all_groups": SKAB_CONV_AE_F1,
            },
        )


def _ms(times: pd.Series) -> IntArray:
    return np.asarray(times.astype("datetime64[ns]").astype("int64") // 1_000_000, dtype=np.int64)


def _plant(signals: tuple[str, ...]) -> Plant:
    text = ["[sites.s.lines.l]", *(f"[kinds.k.signals.{s}]" for s in signals)]
    return parse_plant("\n".join([*text, '[[assets]]\npath = "s/l/m"\nkind = "k"']))

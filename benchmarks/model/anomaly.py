"""NAB machine temperature and SKAB valve 1 with the deviation score alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.assemble import build_table
from features.settings import FeatureSettings
from features.sources import FrameSource
from features.table import FeatureTable
from models.columns import standing
from models.deviation import fit_deviation
from models.hazard import as_input
from models.settings import ModelSettings
from plant.config import Plant, parse_plant
from plant.times import DAY_MS, MINUTE_MS

Array = NDArray[np.float64]
#: Published by the SKAB authors for the whole benchmark (three valve groups), best autoencoder (Conv-AE).
SKAB_CONV_AE_F1 = 0.78


def nab(folder: Path, seed: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the NAB score (standard profile) of each detector on machine_temperature."""
    frame = pd.read_csv(
        folder / "nab" / "machine_temperature_system_failure.csv", parse_dates=["timestamp"]
    ).drop_duplicates("timestamp", keep="first")
    ts = (frame["timestamp"].astype("datetime64[ns]").astype("int64") // 1_000_000).to_numpy()
    value = frame["value"].to_numpy(dtype=float)
    listed = json.loads((folder / "nab" / "combined_windows.json").read_text())
    windows = [
        tuple(int(pd.Timestamp(t).value // 1_000_000) for t in pair)
        for pair in listed["realKnownCause/machine_temperature_system_failure.csv"]
    ]
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
    plant = _plant(("value",))
    source = FrameSource.from_frames({"s/l/m": pd.DataFrame({"ts_ms": ts, "value": value})})
    table = build_table(source, source.extents(), plant, settings)
    probation = ts[0] + 0.15 * (ts[-1] - ts[0])
    vigie = _weekly(table, probation)
    at = table.ts_ms
    yield (
        "nab-vigie",
        {
            **_nab_best(vigie, at, windows, probation),
            "nab_at_limit_1": nab_score(_onsets(vigie, 1.0), at, windows, probation),
        },
    )
    from sklearn.ensemble import IsolationForest

    X = np.nan_to_num(as_input(table.X))
    forest = IsolationForest(n_estimators=200, random_state=seed).fit(X[at < probation])
    yield "nab-isolation_forest", _nab_best(-forest.score_samples(X), at, windows, probation)
    series = pd.Series(value)
    z = (
        ((series - series.rolling(288).mean()) / series.rolling(288).std())
        .abs()
        .fillna(0)
        .to_numpy()
    )
    yield "nab-moving_z", _nab_best(z, ts, windows, probation)


def _weekly(table: FeatureTable, probation: float) -> Array:
    """Score row by row with a model refitted every week on what was calm before, as a plant would."""
    X, out = as_input(table.X), np.full(len(table), np.nan)
    columns, settings = standing(table.catalogue), ModelSettings(false_alarms_per_month=0.5)
    start = int(probation)
    calm = table.ts_ms < start
    while start <= table.ts_ms[-1]:
        past = np.flatnonzero((table.ts_ms < start) & calm)
        model = fit_deviation(
            X[past], table.ts_ms[past], np.zeros(len(past), np.int64), columns, settings
        )
        now = (table.ts_ms >= start) & (table.ts_ms < start + 7 * DAY_MS)
        out[now] = model.score(X[now])
        calm[now] = ~(out[now] > 1.0)
        start += 7 * DAY_MS
    return np.nan_to_num(out)


def _onsets(score: Array, limit: float, rest: int = 288) -> NDArray[np.bool_]:
    """Return the rows at which an alarm begins: above the limit, and none in the `rest` rows before."""
    out = np.zeros(len(score), dtype=bool)
    quiet = rest
    for i, high in enumerate(score > limit):
        if high and quiet >= rest:
            out[i] = True
        quiet = 0 if high else quiet + 1
    return out


def _nab_best(
    score: Array, ts: NDArray[np.int64], windows: list[tuple[int, ...]], probation: float
) -> dict[str, float]:
    """Return the score at the threshold that suits it best, as NAB's own optimiser does."""
    later = score[ts >= probation]
    best = max(
        (nab_score(_onsets(score, limit), ts, windows, probation), float(limit))
        for limit in np.unique(np.quantile(later, np.r_[np.linspace(0.9, 0.999, 60), 0.9995]))
    )
    return {"nab_score": best[0], "threshold": best[1]}


def nab_score(
    alarms: NDArray[np.bool_],
    ts: NDArray[np.int64],
    windows: list[tuple[int, ...]],
    probation: float,
) -> float:
    """Return NAB's normalised score, standard profile: 0 says nothing, 100 is perfect.

    Lavin & Ahmad 2015, DOI 10.1109/ICMLA.2015.141: the earliest alarm of a window scores by a sigmoid of
    its place, a missed window -1, an alarm outside -0.11 times a sigmoid of its distance.
    """
    raw = 0.0
    at = np.flatnonzero(alarms & (ts >= probation))
    for low, high in windows:
        inside = at[(ts[at] >= low) & (ts[at] <= high)]
        if len(inside):
            place = -1.0 + (ts[inside[0]] - low) / max(high - low, 1)
            raw += _sigmoid(place) / _sigmoid(-1.0)
        else:
            raw -= 1.0
    for i in at:
        if any(low <= ts[i] <= high for low, high in windows):
            continue
        before = [w for w in windows if w[1] < ts[i]]
        if not before:
            raw += 0.11 * -1.0
            continue
        low, high = before[-1]
        raw += 0.11 * _sigmoid((ts[i] - high) / max(high - low, 1))
    n = len(windows)
    return 100.0 * (raw + n) / (2 * n)


def _sigmoid(place: float) -> float:
    return 2.0 / (1.0 + np.exp(5.0 * place)) - 1.0 if place <= 3.0 else -1.0


def skab(folder: Path, seed: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield F1, false and missed alarm rates over the 16 files; each learns from its first 400 rows.

    Thresholds come from those rows: their 99 % point, times 1.3 for the two distances, which are
    smaller on rows they were fitted on.
    """
    truth: list[NDArray[np.bool_]] = []
    detectors = ("vigie", "vigie_at_limit_1", "isolation_forest", "moving_z")
    found: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in detectors}
    settings = FeatureSettings(
        bucket_ms=1_000,
        windows=("30s",),
        window_stats=("mean",),
        extra=(),
        ewm=("30s",),
        trends=("30s.level",),
        own=False,
        components=0,
    )
    for file in sorted((folder / "skab" / "valve1").glob("*.csv"), key=lambda f: int(f.stem)):
        frame = pd.read_csv(file, sep=";", parse_dates=["datetime"])
        channels = [c.replace(" ", "_") for c in frame.columns[1:9]]
        ts = (frame["datetime"].astype("datetime64[ns]").astype("int64") // 1_000_000).to_numpy()
        values = frame.iloc[:, 1:9].to_numpy(dtype=float)
        plant = _plant(tuple(channels))
        readings = pd.DataFrame(values, columns=channels).assign(ts_ms=ts)
        source = FrameSource.from_frames({"s/l/m": readings})
        table = build_table(source, source.extents(), plant, settings)
        row = np.clip(np.searchsorted(table.ts_ms, ts + 1_000, side="right") - 1, 0, None)
        X = as_input(table.X)[row]
        learn = np.arange(len(ts)) < 400
        model = fit_deviation(
            X[learn], ts[learn], np.zeros(400, np.int64), standing(table.catalogue),
            ModelSettings(false_alarms_per_month=1.0),
        )  # fmt: skip
        truth.append(frame["anomaly"].to_numpy(dtype=float) > 0)
        score = np.nan_to_num(model.score(X))
        found["vigie"].append(score > np.quantile(score[learn], 0.99) * 1.3)
        found["vigie_at_limit_1"].append(score > 1.0)
        from sklearn.ensemble import IsolationForest

        forest = IsolationForest(n_estimators=200, random_state=seed).fit(values[learn])
        s = -forest.score_samples(values)
        found["isolation_forest"].append(s > np.quantile(s[learn], 0.99))
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


def _plant(signals: tuple[str, ...]) -> Plant:
    text = ["[sites.s.lines.l]", *(f"[kinds.k.signals.{s}]" for s in signals)]
    return parse_plant("\n".join([*text, '[[assets]]\npath = "s/l/m"\nkind = "k"']))

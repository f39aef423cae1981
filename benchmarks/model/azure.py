"""Azure PdM: fail within 24 h or 72 h from telemetry only, split by machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.model.rivals import RIVALS, tune
from features.assemble import build_table
from features.fit import fit_regimes_of
from features.settings import FeatureSettings
from features.sources import FrameSource
from models.crossfit import landmark_rows
from models.hazard import as_input
from models.labels import label_rows
from models.metrics import average_precision
from models.score import predict
from models.settings import ModelSettings
from models.train import train
from plant.asset import AssetPath
from plant.config import parse_plant
from plant.event import Event
from plant.times import DAY_MS, HOUR_MS

SIGNALS = ("volt", "rotate", "pressure", "vibration")
FEATURES = FeatureSettings(
    bucket_ms=HOUR_MS,
    windows=("6h", "24h"),
    window_stats=("mean", "std"),
    extra=(),
    ewm=("12h", "48h"),
    trends=("24h.trend", "72h.trend", "24h.scatter"),
    baseline_h=48,
)
MODEL = ModelSettings(
    horizon_h=170, bins=20, midlife_share=0, landmark_every=6, degraded_residual_h=24
)


def load(folder: Path) -> tuple[dict[str, pd.DataFrame], list[Event]]:
    """Return telemetry per machine and the log: failures, and replacements nobody was forced to make."""
    telemetry = pd.read_csv(
        folder / "azure_pdm" / "PdM_telemetry_windows.csv.gz", parse_dates=["datetime"]
    )
    telemetry["ts_ms"] = _ms(telemetry["datetime"])
    frames = {
        f"azure/fleet/m{machine}": rows[["ts_ms", *SIGNALS]].reset_index(drop=True)
        for machine, rows in telemetry.groupby("machineID", sort=True)
    }
    failures = pd.read_csv(folder / "azure_pdm" / "PdM_failures.csv", parse_dates=["datetime"])
    replaced = pd.read_csv(folder / "azure_pdm" / "PdM_maint.csv", parse_dates=["datetime"])
    events = [
        Event(
            AssetPath.parse(f"azure/fleet/m{m}"), int(ts), "failure", mode=str(comp), found="failed"
        )
        for m, ts, comp in zip(
            failures["machineID"], _ms(failures["datetime"]), failures["failure"], strict=True
        )
    ]
    failed = {(str(e.asset), e.ts_ms, e.mode) for e in events}
    for m, ts, comp in zip(
        replaced["machineID"], _ms(replaced["datetime"]), replaced["comp"], strict=True
    ):
        path = AssetPath.parse(f"azure/fleet/m{m}")
        if (str(path), int(ts), str(comp)) not in failed:
            events.append(Event(path, int(ts), "maintenance", scope=(str(comp),)))
    return frames, events


def _ms(column: pd.Series) -> NDArray[np.int64]:
    return np.asarray(column.astype("datetime64[ns]").astype("int64") // 1_000_000, dtype=np.int64)


def run(folder: Path, seed: int, quick: bool) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield (case, figures): two folds by machine, every machine judged by models that never saw it."""
    frames, events = load(folder)
    toml = ["[sites.azure.lines.fleet]", *(f"[kinds.machine.signals.{s}]" for s in SIGNALS)]
    toml += [f'[kinds.machine.modes.comp{i}]\nlabel = "component {i}"' for i in range(1, 5)]
    toml += [f'[[assets]]\npath = "{path}"\nkind = "machine"' for path in frames]
    plant = parse_plant("\n".join(toml))
    source = FrameSource.from_frames(frames)
    machines = np.random.default_rng(seed).permutation(sorted(frames))
    halves = [set(machines[:40]), set(machines[40:])]
    scores: dict[str, dict[int, list[NDArray[np.float64]]]] = {}
    truth: dict[int, list[NDArray[np.bool_]]] = {24: [], 72: []}
    hours = []
    for k in range(1 if quick else 2):
        learn, judge = halves[k], halves[1 - k]
        extents = [e for e in source.extents() if str(e.asset) in learn]
        mine = [e for e in events if str(e.asset) in learn]
        regimes = fit_regimes_of(source, extents, plant, FEATURES, events=mine)
        table = build_table(
            source, source.extents(), plant, FEATURES, events=events, regimes=regimes
        )
        labels = label_rows(table.assets, table.ts_ms, events, MODEL)
        of = np.array([str(a) in learn for a in table.assets])
        bundle = train(table.take(of), mine, plant, MODEL, now_ms=0)
        judged = np.flatnonzero(~of & labels.valid & (labels.observed | (labels.ttf_h > 72)))
        X = as_input(table.X[judged])
        hours.append(len(judged))
        for h, found in truth.items():
            found.append((labels.ttf_h[judged] <= h) & labels.observed[judged])
        curves = predict(bundle, X).curves
        if curves is None:
            raise SystemExit("The model gives no window.")
        for h in truth:
            scores.setdefault("vigie", {}).setdefault(h, []).append(curves.p_fail(h)[:, 0])
        part = table.take(of)
        own = label_rows(part.assets, part.ts_ms, mine, MODEL)
        rows = landmark_rows(part, own, MODEL, seed)
        Z = as_input(part.X[rows])
        machine = np.unique(part.assets[rows].astype(str), return_inverse=True)[1]
        for name, (fit, _settings) in RIVALS.items():
            setting = tune(name, Z, own.ttf_h[rows], own.observed[rows], machine)
            curves = fit(Z, own.ttf_h[rows], own.observed[rows], setting)(X)
            for h in truth:
                scores.setdefault(name, {}).setdefault(h, []).append(curves.p_fail(h)[:, 0])
        del table, part, judge
    months = sum(hours) * HOUR_MS / (30 * DAY_MS)
    for name, by_h in scores.items():
        for h, parts in by_h.items():
            p, y = np.concatenate(parts), np.concatenate(truth[h])
            recall = _recall_at(p, y, hours_allowed=months)
            yield (
                f"azure-{h}h-{name}",
                {"average_precision": average_precision(p, y), "recall_at_1_false_per_month": recall,
                 "rows": len(y), "base_rate": float(y.mean())},
            )  # fmt: skip


def _recall_at(p: NDArray[np.float64], y: NDArray[np.bool_], hours_allowed: float) -> float:
    """Return the share of failing machine-hours caught when false machine-hours are at most so many."""
    order = np.argsort(-p, kind="stable")
    false = np.cumsum(~y[order])
    caught = np.cumsum(y[order])
    within = np.flatnonzero(false <= hours_allowed)
    return float(caught[within[-1]] / y.sum()) if len(within) and y.any() else 0.0

"""Features against pandas, polars and tsflex on the same readings, one core, answers checked equal.

Cases vigie, pandas, polars, tsflex (each library's documented way) and tsflex_vectorised (numpy over
whole matrices, possible where readings are regular): 14 days at 1 Hz, 8 signals, mean, std, min and max
over 1 h, 6 h and 24 h every 10 min. numpy_sum is one pass over the same memory. Then: what a tick of
1,000 assets costs at 1 Hz and at 0.1 Hz, and what a year of 100 assets costs.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.report import emit, say

BUCKET = 600_000
START = 1_699_920_000_000
HOURS = (1, 6, 24)
STATS = ("mean", "std", "min", "max")
SIGNALS = tuple(f"s{i}" for i in range(8))
PEERS = ("vigie", "pandas", "polars", "tsflex", "tsflex_vectorised", "numpy_sum")


def readings(days: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ts int64[n] at 1 Hz and values float64[n, 8], each signal contiguous."""
    n = round(days * 86_400)
    rng = np.random.default_rng(seed)
    values = np.empty((n, len(SIGNALS)), order="F")
    for s in range(len(SIGNALS)):
        values[:, s] = rng.normal(size=n).cumsum() * 0.01 + 50
    return START + np.arange(n, dtype=np.int64) * 1000, values


Run = Callable[[], Any]
#: Turns a run's result into float64[rows, signals, windows, stats]; row r ends at (r + 1) * 10 min.
Read = Callable[[Any], np.ndarray]


def case_vigie(ts: np.ndarray, values: np.ndarray) -> tuple[Run, Read]:
    from features.assemble import build_table
    from features.settings import FeatureSettings
    from features.sources import FrameSource
    from plant.asset import AssetPath
    from plant.config import KindSpec, Plant, SignalSpec
    from store.port import ReadingBlock

    asset = AssetPath("bench", "l", "a")
    kind = KindSpec(signals={name: SignalSpec() for name in SIGNALS})
    plant = Plant(kinds={"unknown": kind})
    settings = FeatureSettings(
        windows=("1h", "6h", "24h"), window_stats=STATS, extra=(), trends=(), ewm=(), own=False
    )
    source = FrameSource([ReadingBlock(asset, ts, np.zeros_like(ts), SIGNALS, values)])

    def read(table: Any) -> np.ndarray:
        columns = [f"{s}.{h}h.{stat}" for s in SIGNALS for h in HOURS for stat in STATS]
        X = np.stack([table.column(name) for name in columns], axis=1)
        rows = (table.ts_ms - START) // BUCKET
        return X[rows <= len(ts) // 600].reshape(-1, len(SIGNALS), len(HOURS), len(STATS))

    return (lambda: build_table(source, source.extents(), plant, settings)), read


def _frame(ts: np.ndarray, values: np.ndarray) -> Any:
    import pandas as pd

    return pd.DataFrame(values, index=pd.to_datetime(ts, unit="ms"), columns=list(SIGNALS))


def case_pandas(ts: np.ndarray, values: np.ndarray) -> tuple[Run, Read]:
    frame = _frame(ts, values)

    def run() -> list[Any]:
        return [
            [getattr(rolling, stat)() for stat in STATS]
            for rolling in (frame.rolling(f"{h}h") for h in HOURS)
        ]

    def read(result: Any) -> np.ndarray:
        picked = [[stat.iloc[599::600].to_numpy() for stat in window] for window in result]
        return np.moveaxis(np.array(picked), (0, 1), (2, 3))

    return run, read


def case_polars(ts: np.ndarray, values: np.ndarray) -> tuple[Run, Read]:
    import polars as pl

    frame = pl.DataFrame({"t": ts, **{s: values[:, i] for i, s in enumerate(SIGNALS)}})
    frame = frame.with_columns(pl.col("t").cast(pl.Datetime("ms"))).set_sorted("t")
    kinds = (pl.Expr.mean, pl.Expr.std, pl.Expr.min, pl.Expr.max)
    wanted = [
        kind(pl.col(s)).alias(f"{s}_{stat}")
        for s in SIGNALS
        for kind, stat in zip(kinds, STATS, strict=True)
    ]

    def run() -> list[Any]:
        return [frame.group_by_dynamic("t", every="10m", period=f"{h}h").agg(wanted) for h in HOURS]

    def read(result: Any) -> np.ndarray:
        rows = len(ts) // 600
        out = np.full((rows, len(SIGNALS), len(HOURS), len(STATS)), np.nan)
        for w, (hours, table) in enumerate(zip(HOURS, result, strict=True)):
            start = table["t"].dt.epoch("ms").to_numpy()
            row = (start - START) // BUCKET + hours * 6 - 1
            inside = (row >= 0) & (row < rows)
            for s, name in enumerate(SIGNALS):
                for k, stat in enumerate(STATS):
                    out[row[inside], s, w, k] = table[f"{name}_{stat}"].to_numpy()[inside]
        return out

    return run, read


def _tsflex(ts: np.ndarray, values: np.ndarray, vectorised: bool) -> tuple[Run, Read]:
    from tsflex.features import FeatureCollection, FuncWrapper, MultipleFeatureDescriptors

    frame = _frame(ts, values)
    functions: list[Any] = [np.mean, np.std, np.min, np.max]
    if vectorised:
        functions = [
            FuncWrapper(f, output_names=name, vectorized=True, axis=-1)
            for f, name in zip(functions, STATS, strict=True)
        ]
    collection = FeatureCollection(
        MultipleFeatureDescriptors(
            functions=functions,
            series_names=list(SIGNALS),
            windows=[f"{h}h" for h in HOURS],
            strides="10min",
        )
    )

    def run() -> Any:
        return collection.calculate(frame, n_jobs=1, return_df=True, approve_sparsity=True)

    def read(result: Any) -> np.ndarray:
        rows = len(ts) // 600
        out = np.full((rows, len(SIGNALS), len(HOURS), len(STATS)), np.nan)
        row = ((result.index.as_unit("ms").asi8 - START) // BUCKET) - 1
        inside = (row >= 0) & (row < rows)
        names = STATS if vectorised else ("mean", "std", "amin", "amax")
        for s, signal in enumerate(SIGNALS):
            for w, hours in enumerate(HOURS):
                for k, stat in enumerate(names):
                    prefix = f"{signal}__{stat}__w="
                    column = _column(
                        result,
                        (prefix, prefix.replace("amin", "min").replace("amax", "max")),
                        hours,
                    )
                    n = hours * 3600
                    fix = math.sqrt(n / (n - 1)) if stat == "std" else 1.0  # numpy divides by n
                    out[row[inside], s, w, k] = column.to_numpy()[inside] * fix
        return out

    return run, read


def _column(frame: Any, prefixes: tuple[str, ...], hours: int) -> Any:
    names = [
        f"{prefix}{shown}" for prefix in prefixes for shown in (f"{hours}h", f"{hours // 24}D")
    ]
    return frame[next(name for name in names if name in frame.columns)]


def case_tsflex(ts: np.ndarray, values: np.ndarray) -> tuple[Run, Read]:
    return _tsflex(ts, values, vectorised=False)


def case_tsflex_vectorised(ts: np.ndarray, values: np.ndarray) -> tuple[Run, Read]:
    return _tsflex(ts, values, vectorised=True)


def naive_answers(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the answers of some rows by `math.fsum` over the raw readings."""
    out = np.full((len(rows), len(SIGNALS), len(HOURS), len(STATS)), np.nan)
    for r, row in enumerate(rows):
        stop = (row + 1) * 600
        for w, hours in enumerate(HOURS):
            for s in range(len(SIGNALS)):
                x = values[max(0, stop - hours * 3600) : stop, s].tolist()
                mean = math.fsum(x) / len(x)
                std = math.sqrt(math.fsum((v - mean) ** 2 for v in x) / (len(x) - 1))
                out[r, s, w] = mean, std, min(x), max(x)
    return out


def _one(case: str, days: float, seed: int, runs: int) -> None:
    """Run one case in this process, bound to one core."""
    warnings.simplefilter("ignore")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    ts, values = readings(days, seed)
    if case == "numpy_sum":
        times = []
        for _ in range(runs):
            began = time.perf_counter()
            values.sum()
            times.append(time.perf_counter() - began)
        figures: dict[str, Any] = {"equal": True}
        first = times[0]
    else:
        run, read = globals()[f"case_{case}"](ts, values)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        times = []
        for _ in range(runs + (case == "vigie")):
            result = None
            began = time.perf_counter()
            result = run()
            times.append(time.perf_counter() - began)
        first = times[0]
        if case == "vigie":
            times = times[1:]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        got = read(result)
        rows = np.random.default_rng(seed).choice(
            np.arange(144, len(ts) // 600 - 1), size=12, replace=False
        )
        wanted = naive_answers(values, rows)
        error = float(np.nanmax(np.abs(got[rows] - wanted) / np.abs(wanted)))
        figures = {
            "equal": bool(error <= 1e-9) and not bool(np.isnan(got[rows]).any()),
            "worst_relative_error": error,
            "peak_mib": round(peak / 1024, 1),
            "data_mib": round(before / 1024, 1),
        }
    seconds = statistics.median(times)
    figures |= {
        "seconds": round(seconds, 5),
        "runs": runs,
        "values_per_s": round(values.size / seconds),
        "gb_per_s": round(values.nbytes / seconds / 1e9, 3),
    }
    if case == "vigie":
        figures["first_call_s"] = round(first, 2)  # compiles everything
    print(json.dumps(figures))


def _runs(case: str, quick: bool) -> str:
    """Return how often a case is run: the fast ones often, the very slow one once."""
    if quick or case == "tsflex_vectorised":
        return "1"
    return "9" if case in {"vigie", "numpy_sum"} else "3"


def against_peers(days: float, seed: int, quick: bool) -> None:
    """Run each case in a process of its own and print its line."""
    seconds: dict[str, float] = {}
    for case in PEERS:
        say(f"features: {case}")
        command = [
            sys.executable, "-m", "benchmarks.bench_features", "--one", case,
            "--days", str(days), "--seed", str(seed), "--runs", _runs(case, quick),
        ]  # fmt: skip
        environment = os.environ | {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
        with tempfile.TemporaryDirectory() as cache:  # the first call shall compile
            done = subprocess.run(
                command, capture_output=True, text=True, check=False,
                env=environment | {"NUMBA_CACHE_DIR": cache},
            )  # fmt: skip
        if done.returncode:
            raise SystemExit(done.stderr)
        figures = json.loads(done.stdout.splitlines()[-1])
        seconds[case] = figures["seconds"]
        if case not in {"vigie", "numpy_sum"}:
            figures["vigie_is_faster"] = round(figures["seconds"] / seconds["vigie"], 1)
        emit("features", case, days=days, signals=8, hz=1, seed=seed, cores=1, **figures)


def main() -> None:
    """Run all cases, or those asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="Two days, fewer assets.")
    parser.add_argument("--days", type=float)
    parser.add_argument("--only", choices=("peers", "tick", "year", "store"))
    parser.add_argument("--one", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=int, default=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    days = args.days or (2.0 if args.quick else 14.0)
    if args.one:
        _one(args.one, days, args.seed, args.runs)
        return
    from benchmarks import features_cases

    if args.only in {None, "peers"}:
        against_peers(days, args.seed, args.quick)
    if args.only in {None, "tick"}:
        features_cases.tick(args.seed, 100 if args.quick else 1_000)
    if args.only in {None, "year"}:
        features_cases.year(args.seed, 4 if args.quick else 100)
    if args.only in {None, "store"}:
        features_cases.from_stores(args.seed, 1 if args.quick else 4)


if __name__ == "__main__":
    main()

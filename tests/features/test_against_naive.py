"""Fast rows equal the slow, obvious ones to 1e-9 on every kind of data, property-based."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.assemble import build_table
from features.kernel_window import WINDOW_STATS
from features.settings import FeatureSettings
from features.sources import FrameSource
from plant.config import KindSpec, Plant, SignalSpec
from tests import naive

BUCKET = 600_000
START = 1_700_000_400_000
SETTINGS = FeatureSettings(
    windows=("20min", "1h", "3h"),
    window_stats=WINDOW_STATS,  # type: ignore[arg-type]
    extra=(),
    operating=(),
    ewm=("30min", "2h"),
    trends=tuple(
        f"{w}.{s}" for w in ("20min", "1h", "3h") for s in ("level", "scatter", "trend", "shift")
    ),
    baseline_h=2.0,
    deviation_span="1h",
    lateness_ms=0,
)
TOLERANCE = 1e-9


def series(kind: str, seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    ts = START + np.sort(rng.integers(0, 40 * BUCKET, n))
    noise = rng.normal(size=n)
    if kind == "random":
        x = noise.cumsum()
    elif kind == "constant":
        x = np.full(n, 0.1 + rng.random())
    elif kind == "offset":
        x = 1e9 + noise
    elif kind == "tiny":
        x = 1e-9 * noise
    elif kind == "spiky":
        x = noise.copy()
        x[rng.integers(0, n, max(1, n // 40))] += rng.choice([-1, 1]) * 10.0 ** rng.integers(1, 7)
    elif kind == "gappy":
        x = np.where(rng.random(n) < 0.3, np.nan, noise.cumsum())
        hole = START + int(rng.integers(5, 25)) * BUCKET
        x[(ts >= hole) & (ts < hole + 9 * BUCKET)] = np.nan
    else:
        x = np.where(rng.random(n) < 0.5, 40.0, 41.0)  # a coarse sensor
    return ts, x


def compare(ts: np.ndarray, x: np.ndarray) -> None:
    plant = Plant(kinds={"unknown": KindSpec(signals={"x": SignalSpec()})})
    frame = pd.DataFrame({"ts_ms": ts, "x": x})
    source = FrameSource.from_frames({"a/b/c": frame})
    table = build_table(source, source.extents(), plant, SETTINGS)
    points = [(int(t), float(v)) for t, v in zip(ts, x, strict=True)]
    first = int(ts[0]) // BUCKET
    good = [p for p in points if not math.isnan(p[1])]
    if not good:
        return
    windows = {w: SETTINGS.buckets(w) for w in SETTINGS.windows}
    spans = {w: SETTINGS.buckets(w) for w in SETTINGS.ewm}
    rows = np.random.default_rng(len(ts)).choice(len(table), size=min(6, len(table)), replace=False)
    for index in rows:
        t = int(table.ts_ms[index])
        if not any(p[0] < t for p in good):
            continue
        wanted = naive.row(
            good,
            t,
            bucket=BUCKET,
            windows=windows,
            spans=spans,
            deviation_span=SETTINGS.buckets(SETTINGS.deviation_span),
            room=12,
            sigmas=SETTINGS.quality.spike_sigmas,
            life_from=max(first, min(p[0] for p in good) // BUCKET),
        )
        for name, (value, scale) in wanted.items():
            got = float(table.column(f"x.{name}")[index])
            if math.isnan(value):
                assert math.isnan(got), (name, got)
                continue
            room = TOLERANCE * max(abs(value), scale)
            assert abs(got - value) <= room, (name, got, value, scale)


@pytest.mark.parametrize(
    "kind", ["random", "constant", "offset", "tiny", "spiky", "gappy", "coarse"]
)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 400))
def test_rows_equal_the_naive_ones(kind: str, seed: int, n: int) -> None:
    compare(*series(kind, seed, n))


def _not_minute(x: float) -> bool:
    """The fourth power of a spread must fit a double, as it does for anything physical."""
    return x == 0 or abs(x) > 1e-60


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    values=st.lists(
        st.one_of(
            st.floats(-1e12, 1e12).filter(_not_minute),
            st.floats(-1e-6, 1e-6).filter(_not_minute),
            st.sampled_from([0.0, -0.0, 1e9]),
        ),
        min_size=1,
        max_size=60,
    ),
    steps=st.lists(st.integers(1, 2 * BUCKET), min_size=60, max_size=60),
)
def test_any_numbers(values: list[float], steps: list[int]) -> None:
    ts = START + np.cumsum(steps[: len(values)])
    compare(ts, np.array(values))

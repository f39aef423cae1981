"""Waveform features on signals whose answer is known, and on run-to-failure bearings."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.assemble import build_table
from features.settings import FeatureSettings
from features.sources import FrameSource
from features.waveform import (
    WaveformFeatures,
    band_levels,
    defect_frequencies,
    defect_lines,
    level_and_shape,
)
from plant.asset import AssetPath
from plant.config import BearingSpec, KindSpec, Plant, SignalSpec, parse_plant

FS = 25_600.0
T = np.arange(25_600) / FS
#: SKF 6205, whose defect frequencies are in every textbook: 3.585, 5.415, 2.357, 0.398 times the shaft.
BEARING = BearingSpec(balls=9, ball_mm=7.94, pitch_mm=39.04)
DATA = Path(os.environ.get("VIGIE_DATA", Path(__file__).parents[3] / "shared" / "data"))


def test_a_sine_has_textbook_level_and_shape() -> None:
    found = level_and_shape(3.0 + 2.0 * np.sin(2 * np.pi * 100 * T))
    assert found["rms"] == pytest.approx(math.sqrt(2), rel=1e-9)
    assert found["peak"] == pytest.approx(2.0, rel=1e-3)
    assert found["crest"] == pytest.approx(math.sqrt(2), rel=1e-3)
    assert found["kurtosis"] == pytest.approx(1.5, rel=1e-9)


def test_noise_and_silence() -> None:
    noise = np.random.default_rng(0).normal(0, 2, 200_000)
    found = level_and_shape(noise)
    assert found["rms"] == pytest.approx(2, rel=0.01)
    assert found["kurtosis"] == pytest.approx(3, abs=0.05)
    assert level_and_shape(np.full(100, 7.0)) == {"rms": 0.0, "peak": 0.0}


def test_each_tone_is_in_its_band_and_the_bands_add_up() -> None:
    x = (
        1.0 * np.sin(2 * np.pi * 300 * T)
        + 2.0 * np.sin(2 * np.pi * 3_000 * T)
        + 0.5 * np.sin(2 * np.pi * 9_000 * T)
    )
    found = band_levels(x, FS)
    assert found["band1"] == pytest.approx(1.0 / math.sqrt(2), rel=0.02)
    assert found["band2"] == pytest.approx(2.0 / math.sqrt(2), rel=0.02)
    assert found["band3"] == pytest.approx(0.5 / math.sqrt(2), rel=0.02)
    total = math.sqrt(sum(level**2 for level in found.values()))
    assert total == pytest.approx(level_and_shape(x)["rms"], rel=0.01)
    assert set(band_levels(x[::8], FS / 8)) == {"band1", "band2"}


def test_defect_frequencies_of_a_known_bearing() -> None:
    found = defect_frequencies(BEARING, 60.0)
    assert found["bpfo"] == pytest.approx(3.585, abs=0.002)
    assert found["bpfi"] == pytest.approx(5.415, abs=0.002)
    assert found["bsf"] == pytest.approx(2.357, abs=0.002)
    assert found["ftf"] == pytest.approx(0.398, abs=0.001)


@pytest.mark.parametrize("fault", ["bpfo", "bpfi", "bsf"])
def test_impacts_of_a_defect_stand_out_at_its_line(fault: str) -> None:
    """Impacts at the defect frequency ring a 4 kHz resonance, in noise as strong as they are."""
    speed = 1_797.0
    rate = defect_frequencies(BEARING, speed)[fault]
    rng = np.random.default_rng(1)
    x = rng.normal(0, 0.5, len(T))
    moment = 0.0
    while moment < T[-1]:
        after = T - moment
        ring = np.where(after >= 0, np.exp(-800 * np.clip(after, 0, None)), 0.0)
        x += 2.0 * ring * np.sin(2 * np.pi * 4_000 * after)
        moment += (1 + rng.normal(0, 0.005)) / rate
    lines = defect_lines(x, FS, BEARING, speed)
    healthy = defect_lines(rng.normal(0, 0.5, len(T)), FS, BEARING, speed)
    others = {"bpfo", "bpfi", "bsf"} - {fault}
    # Harmonics of this bearing nearly meet (3 x BPFO and 2 x BPFI), so the others are not at zero.
    assert lines[fault] > 1.7 * max(lines[name] for name in others)
    assert lines[fault] > 5 * healthy[fault]


def test_a_short_burst_says_nothing_about_slow_lines() -> None:
    assert set(defect_lines(np.ones(64), FS, BEARING, 600.0)) == set()
    assert defect_lines(np.ones(10), FS, BEARING, 600.0) == {}
    assert "ftf" not in defect_lines(np.random.default_rng(0).normal(size=4096), FS, BEARING, 1_800)


@dataclass(frozen=True)
class Burst:
    asset: AssetPath
    signal: str
    fs_hz: float
    samples: np.ndarray


def test_a_burst_becomes_values_of_the_plants_machine() -> None:
    plant = parse_plant(
        """
[sites.lyon.lines.l1]
[kinds.pump.bearings.drive-end]
balls = 9
ball_mm = 7.94
pitch_mm = 39.04
[[assets]]
path = "lyon/l1/p1"
kind = "pump"
"""
    )
    x = np.random.default_rng(0).normal(size=8192)
    burst = Burst(AssetPath("lyon", "l1", "p1"), "acc", FS, x)
    without = WaveformFeatures(plant)(burst)
    assert set(without) == {"acc_rms", "acc_peak", "acc_crest", "acc_kurtosis"} | {
        f"acc_band{n}" for n in (1, 2, 3)
    }
    lines = WaveformFeatures(plant, lambda *_: 3_000.0)(burst)
    assert {"acc_drive_end_bpfo", "acc_drive_end_bpfi"} <= set(lines)
    assert all(math.isfinite(value) for value in lines.values())


@pytest.mark.data
def test_bearings_run_to_failure_leave_their_own_baseline() -> None:
    file = DATA / "femto" / "learning_set.csv.gz"
    if not file.exists():
        pytest.skip(f"the shared data are absent: {file}")
    data = pd.read_csv(file)
    assert np.allclose(data.h_crest, data.h_peak / data.h_rms, rtol=1e-4)
    assert np.allclose(data.h_rms**2, data.h_mean**2 + data.h_std**2, rtol=1e-3)
    frames = {}
    for name, bearing in data.groupby("bearing"):
        frame = bearing[["h_rms", "v_rms", "h_kurt", "v_kurt"]].reset_index(drop=True)
        frame["ts_ms"] = 1_700_000_000_000 // 60_000 * 60_000 + np.arange(len(frame)) * 10_000
        frames[f"femto/rig/{name}"] = frame
    kind = KindSpec(signals={s: SignalSpec() for s in ("h_rms", "v_rms", "h_kurt", "v_kurt")})
    settings = FeatureSettings(
        bucket_ms=60_000,
        windows=("10min",),
        window_stats=("mean", "max"),
        extra=(),
        trends=(),
        ewm=(),
        deviation_span="5min",
        baseline_h=0.5,
        lateness_ms=0,
    )
    source = FrameSource.from_frames(frames)
    table = build_table(source, source.extents(), Plant(kinds={"unknown": kind}), settings)
    left = 0
    for name in frames:
        rows = table.take(table.assets == name)
        deviation = np.maximum(
            rows.column("h_rms.own.deviation"), rows.column("v_rms.own.deviation")
        )
        early = np.nanstd(deviation[5:30])
        left += bool(np.nanmax(deviation[-10:]) > 10 * early)
    assert left == len(frames) == 6

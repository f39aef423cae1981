"""Raw vibration of a bearing housing: shaft harmonics, the ringing of a spall, noise.

A spall strikes at BPFO; each strike rings a resonance of the housing that dies away (P. D. McFadden,
J. D. Smith, "Model for the vibration produced by a single point defect in a rolling element bearing",
J. Sound Vib. 96 (1984) 69-82, doi:10.1016/0022-460X(84)90595-9). Strikes slip by 1 % (Randall & Antoni).
"""

from __future__ import annotations

import numpy as np

from plant.config import BearingSpec
from simulator.laws.bearing import defect_frequencies
from simulator.unit import Unit
from simulator.wear import Array

FS_HZ = 12_800.0
SAMPLES = 4_096
_RESONANCE_HZ, _DECAY_S = 3_200.0, 0.0012


def synthesize(
    bearing: BearingSpec, rpm: float, damage: float, rng: np.random.Generator, n: int = SAMPLES
) -> Array:
    """Return n samples of acceleration in g at FS_HZ."""
    t = np.arange(n) / FS_HZ
    x = 0.03 * rng.standard_normal(n)
    if not rpm > 30.0:  # standing still, or no speed measured
        return np.round(0.1 * x, 5)
    shaft = rpm / 60.0
    phase = rng.uniform(0, 2 * np.pi, 3)
    for k, size in enumerate((0.08, 0.03, 0.015)):
        x += size * np.sin(2 * np.pi * (k + 1) * shaft * t + phase[k])
    gaps = 1.0 / defect_frequencies(bearing, shaft).bpfo
    count = int(t[-1] / gaps) + 2
    strikes = np.cumsum(gaps * (1.0 + 0.01 * rng.standard_normal(count))) - rng.uniform(0, gaps)
    ring = np.maximum(t[:, None] - strikes[None, :], 0.0)
    ringing = np.exp(-ring / _DECAY_S) * np.sin(2 * np.pi * _RESONANCE_HZ * ring)
    return np.asarray(np.round(x + 2.5 * damage * ringing.sum(axis=1), 5))


def waveform(unit: Unit, ts_ms: int, rpm: float, rng: np.random.Generator) -> Array | None:
    """Return a machine's waveform at a moment; None for a kind without a bearing."""
    if not unit.machine.bearings or "BRD" not in unit.lives:
        return None
    bearing = next(iter(unit.machine.bearings.values()))
    return synthesize(bearing, rpm, unit.damage("BRD", ts_ms), rng)

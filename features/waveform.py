"""From a burst of vibration samples to a few numbers: level, shape, bands, bearing defect lines.

Sources: Randall & Antoni, "Rolling element bearing diagnostics - a tutorial", MSSP 25 (2011),
doi:10.1016/j.ymssp.2010.07.017: the defect frequencies (eq. 1-4) and the envelope method (sec. 3.2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import signal as dsp

from plant.asset import AssetPath
from plant.config import BearingSpec, Plant

Samples = NDArray[np.float64]
#: Hz; None is half the sampling rate. The first is the range in which ISO 20816 judges machines.
BANDS: tuple[tuple[float, float | None], ...] = (
    (10.0, 1_000.0),
    (1_000.0, 5_000.0),
    (5_000.0, None),
)
#: Resonances that defect impacts excite, as shares of the sampling rate.
ENVELOPE = (0.08, 0.4)
HARMONICS = 3
#: A defect line may lie this share beside its place: rollers slip (Randall & Antoni: 1-2 %).
SLIP = 0.02


class Burst(Protocol):
    """A waveform as ingest hands it over."""

    @property
    def asset(self) -> AssetPath:
        """The machine."""
        ...

    @property
    def signal(self) -> str:
        """What was measured."""
        ...

    @property
    def fs_hz(self) -> float:
        """Samples per second."""
        ...

    @property
    def samples(self) -> Samples:
        """float64[n]."""
        ...


class WaveformFeatures:
    """Reads waveforms of a plant: `reader(burst)` gives values named `<signal>_rms` and so on.

    speed_rpm: tells the newest value of a machine's speed signal, None when it is not known; without
    it there are no bearing lines.
    """

    def __init__(
        self, plant: Plant, speed_rpm: Callable[[AssetPath, str], float | None] = lambda *_: None
    ) -> None:
        self._plant = plant
        self._speed_rpm = speed_rpm

    def __call__(self, burst: Burst) -> dict[str, float]:
        """Return what is worth storing of one waveform; finite numbers only."""
        found = {**level_and_shape(burst.samples), **band_levels(burst.samples, burst.fs_hz)}
        bearings = self._plant.kind_spec(burst.asset).bearings
        for name, bearing in bearings.items():
            speed = self._speed_rpm(burst.asset, bearing.speed_signal)
            if speed is not None and speed > 0:
                lines = defect_lines(burst.samples, burst.fs_hz, bearing, speed)
                safe = "".join(c if c.isalnum() else "_" for c in name)
                found |= {f"{safe}_{line}": value for line, value in lines.items()}
        named = {f"{burst.signal}_{name}"[:64]: value for name, value in found.items()}
        return {name: value for name, value in named.items() if math.isfinite(value)}


def level_and_shape(x: Samples) -> dict[str, float]:
    """Return rms, peak, crest (peak over rms) and kurtosis (3 for noise, more for impacts).

    Of the samples without their mean: an accelerometer's offset is not vibration.
    """
    y = x - x.mean()
    square = float(np.mean(y * y))
    peak = float(np.abs(y).max())
    if square == 0:
        return {"rms": 0.0, "peak": 0.0}
    return {
        "rms": math.sqrt(square),
        "peak": peak,
        "crest": peak / math.sqrt(square),
        "kurtosis": float(np.mean(y**4)) / square**2,
    }


def band_levels(
    x: Samples, fs_hz: float, bands: Sequence[tuple[float, float | None]] = BANDS
) -> dict[str, float]:
    """Return the rms inside each band, `band1` first, by Welch's method; bands beyond fs / 2 are left out."""
    length = min(len(x), 4096)
    freq, density = dsp.welch(x, fs_hz, nperseg=length, detrend="constant")
    step = float(freq[1] - freq[0])
    found = {}
    for number, (low, high) in enumerate(bands, start=1):
        top = fs_hz / 2 if high is None else high
        if low >= fs_hz / 2:
            continue
        inside = (freq >= low) & ((freq < top) | (top >= fs_hz / 2))
        found[f"band{number}"] = math.sqrt(float(density[inside].sum()) * step)
    return found


def defect_frequencies(bearing: BearingSpec, speed_rpm: float) -> dict[str, float]:
    """Return BPFO, BPFI, BSF and FTF in Hz for a shaft speed in rpm (outer race at rest)."""
    shaft = speed_rpm / 60.0
    ratio = bearing.ball_mm / bearing.pitch_mm * math.cos(math.radians(bearing.contact_deg))
    return {
        "bpfo": bearing.balls * shaft / 2 * (1 - ratio),
        "bpfi": bearing.balls * shaft / 2 * (1 + ratio),
        "bsf": bearing.pitch_mm / (2 * bearing.ball_mm) * shaft * (1 - ratio**2),
        "ftf": shaft / 2 * (1 - ratio),
    }


def envelope_spectrum(x: Samples, fs_hz: float) -> tuple[Samples, Samples]:
    """Return (Hz, amplitude) of the envelope: band-pass, magnitude of the analytic signal, spectrum."""
    low, high = ENVELOPE[0] * fs_hz, ENVELOPE[1] * fs_hz
    sections = dsp.butter(4, [low, high], btype="bandpass", fs=fs_hz, output="sos")
    envelope = np.abs(dsp.hilbert(dsp.sosfiltfilt(sections, x - x.mean())))
    envelope = envelope - envelope.mean()
    window = dsp.windows.hann(len(x), sym=False)
    amplitude = np.abs(np.fft.rfft(envelope * window)) * 2.0 / window.sum()
    freq = np.fft.rfftfreq(len(x), 1.0 / fs_hz)
    return np.asarray(freq, dtype=np.float64), np.asarray(amplitude, dtype=np.float64)


def defect_lines(
    x: Samples, fs_hz: float, bearing: BearingSpec, speed_rpm: float
) -> dict[str, float]:
    """Return the envelope's amplitude at each defect frequency and its harmonics together.

    A line whose frequency is not at least four times the spectrum's resolution is left out: the burst
    is too short to tell it.
    """
    if len(x) < 64:
        return {}
    freq, amplitude = envelope_spectrum(x, fs_hz)
    step = float(freq[1])
    found = {}
    for name, place in defect_frequencies(bearing, speed_rpm).items():
        if place < 4 * step:
            continue
        power = 0.0
        for harmonic in range(1, HARMONICS + 1):
            reach = max(SLIP * place * harmonic, 1.5 * step)
            near = np.abs(freq - place * harmonic) <= reach
            if near.any():
                power += float(amplitude[near].max()) ** 2
        found[name] = math.sqrt(power)
    return found

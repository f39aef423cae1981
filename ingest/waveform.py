"""A burst of samples at a high rate: it becomes a few numbers before it is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.payload import check_signal, read_flag, read_text
from plant.asset import AssetPath
from plant.config import Plant
from plant.errors import PayloadError

MIN_SAMPLES = 16


@dataclass(frozen=True, slots=True, eq=False)
class Waveform:
    """`samples`: float64[n] of `signal` from `ts_ms` on, `fs_hz` per second."""

    asset: AssetPath
    signal: str
    ts_ms: int
    fs_hz: float
    samples: NDArray[np.float64]
    received_ms: int
    simulated: bool = False
    run_id: str = ""


#: What makes numbers of a waveform, signal name to value; the wiring supplies it.
WaveformReader = Callable[[Waveform], Mapping[str, float]]
#: Tells the newest value of an asset's signal (a shaft's speed), None when it is not known.
NewestValue = Callable[[AssetPath, str], float | None]
#: Makes the reader inside the process that uses it; a module-level function, so that workers can have it.
WaveformFactory = Callable[[Plant, NewestValue], WaveformReader]


def speed_signals(plant: Plant) -> frozenset[str]:
    """Return the signals whose newest value a waveform is read with."""
    return frozenset(
        bearing.speed_signal for kind in plant.kinds.values() for bearing in kind.bearings.values()
    )


def read_waveform(
    asset: AssetPath, signal: Any, ts_ms: int, received_ms: int, message: Mapping[str, Any]
) -> Waveform:
    """Check a waveform message. Raises PayloadError: waveform, signal_name."""
    if type(signal) is not str:
        raise PayloadError(
            "waveform",
            "the waveform does not say which signal it is.",
            field="signal",
            fix='Publish to telemetry/<signal>, or add "signal".',
        )
    fs_hz = message.get("fs_hz")
    if type(fs_hz) not in {int, float} or not 0 < float(fs_hz or 0) <= 1e7:
        raise PayloadError(
            "waveform", "fs_hz is not a sampling rate from 0 to 10 MHz.", field="fs_hz"
        )
    numbers = message["waveform"]
    kinds = set(map(type, numbers)) if type(numbers) is list else {str}
    if not kinds <= {int, float} or len(numbers) < MIN_SAMPLES:
        raise PayloadError(
            "waveform",
            f"waveform is not a list of {MIN_SAMPLES} or more numbers.",
            field="waveform",
        )
    return Waveform(
        asset=asset,
        signal=check_signal(signal),
        ts_ms=ts_ms,
        fs_hz=float(fs_hz or 0),
        samples=np.array(numbers, dtype=np.float64),
        received_ms=received_ms,
        simulated=read_flag(message.get("simulated"), "simulated"),
        run_id=read_text(message.get("run_id"), "run_id"),
    )

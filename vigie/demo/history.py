"""The demo's past: months of simulated operation, written straight into the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from plant.reading import Reading
from simulator.plant import Simulation
from store.port import Store

_CHUNK = 20_000


def write_history(store: Store, past: Simulation, progress: Callable[[float], None]) -> int:
    """Write a simulation's readings and events; return how many readings. `progress` gets 0 to 1."""
    total = sum(len(frame.ts_ms) for frame in past.frames.values())
    written = 0
    for chunk in _chunks(past):
        store.write_readings(chunk)
        written += len(chunk)
        progress(written / total)
    store.write_events(past.events)
    return written


def _chunks(past: Simulation) -> Iterator[list[Reading]]:
    for asset, frame in past.frames.items():
        times, rows = frame.ts_ms.tolist(), frame.values.tolist()
        for start in range(0, len(times), _CHUNK):
            stop = start + _CHUNK
            yield [
                Reading(
                    asset,
                    ts_ms,
                    dict(zip(frame.signals, values, strict=True)),
                    received_ms=ts_ms,  # it arrived when it was measured
                    simulated=True,
                    run_id=past.run_id,
                )
                for ts_ms, values in zip(times[start:stop], rows[start:stop], strict=True)
            ]

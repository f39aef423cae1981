"""Ground truth: wear, true time to failure, cause. Goes to a side file or `vigie/truth/#`, nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pandas as pd

from plant.asset import AssetPath
from plant.times import HOUR_MS
from plant.topics import TRUTH_PREFIX
from simulator.records import TrueEvent

if TYPE_CHECKING:
    from simulator.plant import PlantSimulation


def truth_table(
    plant: PlantSimulation, start_ms: int, stop_ms: int, every_ms: int = HOUR_MS
) -> pd.DataFrame:
    """Return the truth of every machine and hour: damage per mode, and the failure that came next.

    Columns: asset, ts (UTC), ttf_h (hours to the next failure; NaN if none came before the plant's
    present), next_mode, next_cause, and wear_<mode>.
    """
    times = np.arange(start_ms, stop_ms, every_ms, dtype=np.int64)
    tables = []
    for asset in plant.shown:
        failures = [e for e in plant.book.truth if e.asset == asset and e.kind == "failure"]
        at = np.array([e.ts_ms for e in failures], dtype=np.int64)
        following = np.searchsorted(at, times, "right")
        known = following < len(at)
        pick = [failures[k] if k < len(failures) else None for k in following]
        ttf = np.full(len(times), np.nan)
        ttf[known] = (at[following[known]] - times[known]) / HOUR_MS
        table: dict[str, Any] = {
            "asset": str(asset),
            "ts": pd.to_datetime(times, unit="ms", utc=True),
            "ttf_h": ttf,
            "next_mode": [e.mode if e else "" for e in pick],
            "next_cause": [e.cause if e else "" for e in pick],
        }
        for code, trace in plant.stations[asset].unit.wear.items():
            wear = trace.sample(times.astype(float)) if len(times) else np.empty(0)
            table[f"wear_{code}"] = np.broadcast_to(np.asarray(wear), times.shape)
        tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)


def state_message(plant: PlantSimulation, asset: AssetPath, ts_ms: int) -> tuple[str, bytes]:
    """Return what `vigie/truth/<asset>` says at the plant's present."""
    unit = plant.stations[asset].unit
    body = {
        "ts": ts_ms,
        "wear": {code: round(unit.damage(code, ts_ms), 6) for code in unit.lives},
        "left_h": {code: round(unit.left_h(code, ts_ms), 3) for code in unit.lives},
        "up": plant.stations[asset].up,
        "run_id": plant.run_id,
    }
    return f"{TRUTH_PREFIX}/{asset}", orjson.dumps(body)


def event_message(event: TrueEvent, run_id: str) -> tuple[str, bytes]:
    """Return what `vigie/truth/<asset>/event` says of a failure or repair."""
    body = {
        "ts": event.ts_ms,
        "kind": event.kind,
        "mode": event.mode,
        "cause": event.cause,
        "wear": event.wear,
        "run_id": run_id,
    }
    return f"{TRUTH_PREFIX}/{event.asset}/event", orjson.dumps(body)

"""A history as files: Parquet per machine, the log, the line's output, and the truth in a folder apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import orjson
import pandas as pd

from plant.asset import AssetPath
from simulator.payload import event_json
from simulator.plant import PlantSimulation
from simulator.truth import truth_table


def production_table(plant: PlantSimulation) -> pd.DataFrame:
    """Return, from the beginning to the plant's present, what every line made and its machines did.

    Columns: line, asset, made (units of the line), and the machine's hours in each state.
    """
    rows: list[dict[str, object]] = []
    for path, line in plant.lines.items():
        for unit in line.places:
            hours = {f"{state}_h": round(h, 3) for state, h in sorted(line.hours(unit).items())}
            rows.append(
                {"line": path, "asset": str(unit.asset), "made": round(line.made, 1), **hours}
            )
    return pd.DataFrame(rows).fillna(0.0)


def write_files(
    plant: PlantSimulation,
    folder: Path,
    start_ms: int,
    stop_ms: int,
    *,
    truth: bool = True,
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, int]:
    """Write what happened in [start, stop) below `folder`; return counts of readings and events.

    readings/<site>.<line>.<asset>.parquet, events.jsonl, production.csv; and truth/wear.parquet and
    truth/events.jsonl, which no part of Vigie reads.
    """
    readings = folder / "readings"
    readings.mkdir(parents=True, exist_ok=True)
    count = values = 0
    assets = plant.shown
    for number, asset in enumerate(assets):
        frame = plant.sampler.frame(asset, start_ms, stop_ms)
        table = frame.to_frame()
        table["seq"] = frame.seq
        table.to_parquet(readings / f"{file_name(asset)}.parquet")
        count += len(table)
        values += frame.values.size
        progress((number + 1) / len(assets))
    events = [e for e in plant.events() if start_ms <= e.ts_ms < stop_ms]
    with (folder / "events.jsonl").open("wb") as log:
        for event in events:
            body = orjson.loads(event_json(event)) | {"asset": str(event.asset)}
            log.write(orjson.dumps(body) + b"\n")
    production_table(plant).to_csv(folder / "production.csv", index=False)
    if truth:
        secret = folder / "truth"
        secret.mkdir(exist_ok=True)
        truth_table(plant, start_ms, stop_ms).to_parquet(secret / "wear.parquet")
        with (secret / "events.jsonl").open("wb") as log:
            for fact in plant.truths():
                log.write(orjson.dumps(asdict(fact) | {"asset": str(fact.asset)}) + b"\n")
    return {"readings": count, "values": values, "events": len(events)}


def file_name(asset: AssetPath) -> str:
    """Return an asset's file name."""
    return str(asset).replace("/", ".")

"""NASA C-MAPSS as a plant: the only place that knows the data set.

One engine is one asset, one cycle one hour. Saxena & Goebel 2008; the target follows the data's
README: min(RUL, 125) at each test engine's last cycle, capped and uncapped reported.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from plant.config import Plant, parse_plant
from plant.times import HOUR_MS, from_iso

SETTINGS = tuple(f"setting{i}" for i in range(1, 4))
SENSORS = tuple(f"s{i}" for i in range(1, 22))
START_MS = from_iso("2020-01-01T00:00:00Z")
CAP_H = 125.0


def load(folder: Path, subset: str, part: str) -> pd.DataFrame:
    """Return columns unit, cycle, settings, sensors of `part` (train or test)."""
    columns = ["unit", "cycle", *SETTINGS, *SENSORS]
    frame = pd.read_csv(_file(folder, f"{part}_{subset}"), sep=r"\s+", header=None, names=columns)
    return frame.astype({"unit": int, "cycle": int})


def true_rul(folder: Path, subset: str) -> NDArray[np.float64]:
    """Return the remaining cycles of each test engine after its last row."""
    return np.loadtxt(_file(folder, f"RUL_{subset}"))


def _file(folder: Path, name: str) -> Path:
    """Return NASA's file of that name, as it was published or compressed."""
    files = [folder / "cmapss" / f"{name}{ending}" for ending in (".txt.gz", ".txt")]
    for file in files:
        if file.exists():
            return file
    raise SystemExit(f"There is neither {files[0]} nor {files[1].name}: put NASA's file there.")


def to_table(frame: pd.DataFrame, part: str) -> pd.DataFrame:
    """Return the frame with the asset's name and its time, as `vigie replay` reads it."""
    table = frame.drop(columns=["unit", "cycle"]).astype(float)
    table.insert(0, "asset", part + "-" + frame["unit"].astype(str))
    table.insert(1, "ts", START_MS + frame["cycle"].to_numpy() * HOUR_MS)
    return table


def plant(subset: str, engines: list[str]) -> Plant:
    """Return a plant of these engines: sensors are condition signals, settings operating ones."""
    lines = [
        'name = "C-MAPSS"',
        f"[sites.nasa.lines.{subset.lower()}]",
        "[kinds.turbofan]",
        *(f'[kinds.turbofan.signals.{name}]\nrole = "operating"' for name in SETTINGS),
        *(f"[kinds.turbofan.signals.{name}]" for name in SENSORS),
        '[kinds.turbofan.modes.ENG]\nlabel = "engine degradation"',
        *(
            f'[[assets]]\npath = "nasa/{subset.lower()}/{name}"\nkind = "turbofan"\n'
            "commissioned = 2020-01-01T00:00:00Z"
            for name in engines
        ),
    ]
    return parse_plant("\n".join(lines))


def nasa_score(predicted: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    """Asymmetric score of the PHM 2008 challenge: late predictions cost more."""
    d = predicted - true
    return float(np.sum(np.where(d < 0, np.exp(-d / 13) - 1, np.exp(d / 10) - 1)))

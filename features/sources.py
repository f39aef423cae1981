"""Where readings come from when there is no store: frames in memory or Parquet files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from plant.asset import AssetPath
from plant.errors import DataError
from store.port import ReadingBlock


class Source(Protocol):
    """What feature making needs of a store: readings of one asset by time."""

    def read_readings(self, asset: AssetPath, start_ms: int, stop_ms: int) -> ReadingBlock:
        """Return the readings of one asset in `[start_ms, stop_ms)`, ascending in time."""
        ...


@dataclass(frozen=True, slots=True)
class Extent:
    """What a source holds of one asset: `[first_ms, last_ms]` and the signals."""

    asset: AssetPath
    first_ms: int
    last_ms: int
    signals: tuple[str, ...]


class FrameSource:
    """Readings in memory, one block per asset."""

    def __init__(self, blocks: Iterable[ReadingBlock]) -> None:
        self._blocks = {block.asset: _ascending(block) for block in blocks}

    @classmethod
    def from_frames(cls, frames: Mapping[str, pd.DataFrame]) -> FrameSource:
        """Take frames with a column `ts_ms` (and `received_ms`, optional) and one per signal.

        Raises DataError for a frame without `ts_ms`.
        """
        return cls(block_of_frame(AssetPath.parse(name), frame) for name, frame in frames.items())

    def extents(self) -> list[Extent]:
        """Return what there is, in path order."""
        return [
            Extent(asset, int(block.ts_ms[0]), int(block.ts_ms[-1]), block.signals)
            for asset, block in sorted(self._blocks.items())
            if len(block.ts_ms)
        ]

    def read_readings(self, asset: AssetPath, start_ms: int, stop_ms: int) -> ReadingBlock:
        """Return the readings of one asset in `[start_ms, stop_ms)`."""
        block = self._blocks[asset]
        low, high = np.searchsorted(block.ts_ms, [start_ms, stop_ms])
        return ReadingBlock(
            asset,
            block.ts_ms[low:high],
            block.received_ms[low:high],
            block.signals,
            block.values[low:high],
        )


class ParquetSource:
    """A folder of `<site>/<line>/<asset>.parquet` files with `ts_ms` and one column per signal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def extents(self) -> list[Extent]:
        """Return what there is, in path order. Raises DataError for a folder without such files."""
        found = []
        for file in sorted(self.folder.glob("*/*/*.parquet")):
            site, line = file.parts[-3:-1]
            times = pq.read_table(file, columns=["ts_ms"]).column("ts_ms").to_numpy()
            names = pq.read_schema(file).names
            signals = _signals(names)
            if len(times):
                asset = AssetPath(site, line, file.stem)
                found.append(Extent(asset, int(times.min()), int(times.max()), signals))
        if not found:
            raise DataError(
                f"{self.folder} holds no readings.",
                fix="Put <site>/<line>/<asset>.parquet files with a column ts_ms there.",
            )
        return found

    def read_readings(self, asset: AssetPath, start_ms: int, stop_ms: int) -> ReadingBlock:
        """Return the readings of one asset in `[start_ms, stop_ms)`."""
        file = self.folder / asset.site / asset.line / f"{asset.asset}.parquet"
        table = pq.read_table(file, filters=[("ts_ms", ">=", start_ms), ("ts_ms", "<", stop_ms)])
        return _ascending(block_of_frame(asset, table.to_pandas()))


def block_of_frame(asset: AssetPath, frame: pd.DataFrame) -> ReadingBlock:
    """Return a frame as a block. Raises DataError when it has no column `ts_ms`."""
    if "ts_ms" not in frame:
        raise DataError(f"the readings of {asset} have no column ts_ms.", fix="Add it (epoch ms).")
    signals = _signals(frame.columns)
    received = frame["received_ms"] if "received_ms" in frame else np.zeros(len(frame))
    values = np.empty((len(frame), len(signals)), order="F")
    for column, name in enumerate(signals):
        values[:, column] = frame[name].to_numpy(dtype=float)
    return ReadingBlock(
        asset,
        frame["ts_ms"].to_numpy(dtype=np.int64),
        np.asarray(received, dtype=np.int64),
        signals,
        values,
    )


def _signals(columns: Iterable[object]) -> tuple[str, ...]:
    """Return the columns that are signals: neither times nor an index that pandas wrote down."""
    names = (str(column) for column in columns)
    return tuple(sorted(n for n in names if n not in {"ts_ms", "received_ms"} and n[0] != "_"))


def _ascending(block: ReadingBlock) -> ReadingBlock:
    """Return the block in time order; readings of one time keep their order."""
    if not len(block.ts_ms) or bool(np.all(block.ts_ms[1:] >= block.ts_ms[:-1])):
        return block
    order = np.argsort(block.ts_ms, kind="stable")
    return ReadingBlock(
        block.asset,
        block.ts_ms[order],
        block.received_ms[order],
        block.signals,
        np.asfortranarray(block.values[order]),
    )

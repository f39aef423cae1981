"""Frames and Parquet files give the rows that a store gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.assemble import build_table
from features.sources import FrameSource, ParquetSource
from features.warm import warm_up
from plant.errors import DataError
from tests.features.test_parity import HOUR, history, same_bits
from tests.features.worlds import PLANT, SETTINGS, START, readings, repairs


def frame() -> pd.DataFrame:
    """The readings of `worlds` as a frame, each message once, in no order."""
    once = {r.ts_ms: r for r in reversed(readings(3, 6))}
    rows = [{"ts_ms": r.ts_ms, "received_ms": r.received_ms, **r.values} for r in once.values()]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def test_frames_files_and_a_store_agree(tmp_path: Path) -> None:
    frames = FrameSource.from_frames({"lyon/l1/pump-1": frame()})
    (tmp_path / "lyon" / "l1").mkdir(parents=True)
    frame().to_parquet(tmp_path / "lyon" / "l1" / "pump-1.parquet")
    files = ParquetSource(tmp_path)
    assert files.extents() == frames.extents()
    stop = START + 6 * HOUR + 1
    wanted = history(readings(3, 6), 6, {})
    for source in (frames, files):
        table = build_table(
            source, source.extents(), PLANT, SETTINGS, events=repairs(), stop_ms=stop
        )
        same_bits(table.take(np.isin(table.ts_ms, wanted.ts_ms)), wanted)


def test_what_is_not_readings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column ts_ms"):
        FrameSource.from_frames({"a/b/c": pd.DataFrame({"x": [1.0]})})
    with pytest.raises(DataError, match="holds no readings"):
        ParquetSource(tmp_path).extents()


def test_warming_up_needs_nothing() -> None:
    warm_up()

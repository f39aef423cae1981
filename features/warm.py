"""Compile everything once, before anybody waits for it.

numba compiles at the first call (about 15 s on one core) and keeps the result on disk beside the
source. A demo or a service calls `warm_up` in a thread at its start; later starts load the cache.
"""

from __future__ import annotations

import numpy as np

from features.assemble import build_table
from features.fit import fit_regimes_of
from features.settings import FeatureSettings
from features.sources import FrameSource
from plant.asset import AssetPath
from plant.config import KindSpec, Plant, SignalSpec
from store.port import ReadingBlock


def warm_up() -> None:
    """Run every kernel on a few made-up readings, in both memory layouts."""
    settings = FeatureSettings(windows=("1h",), baseline_h=1.0)
    kind = KindSpec(
        signals={"x": SignalSpec(), "load": SignalSpec(role="operating")}, running_signal="load"
    )
    plant = Plant(kinds={"unknown": kind})
    n = 200
    rng = np.random.default_rng(0)
    values = rng.normal(size=(n, 2))
    ts = np.arange(n, dtype=np.int64) * 60_000
    received = np.zeros(n, dtype=np.int64)
    for layout in (np.ascontiguousarray(values), np.asfortranarray(values)):
        asset = AssetPath("warm", "up", "machine")
        source = FrameSource([ReadingBlock(asset, ts, received, ("load", "x"), layout)])
        regimes = fit_regimes_of(source, source.extents(), plant, settings)
        build_table(source, source.extents(), plant, settings, regimes=regimes)

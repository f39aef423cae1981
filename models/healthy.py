"""Which rows count as healthy: what the deviation score learns from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.table import FeatureTable
from models.columns import mode_ages
from models.labels import Labels, Life
from models.settings import ModelSettings
from plant.times import DAY_MS, HOUR_MS

IntArray = NDArray[np.int64]

_STRETCH_MS = 7 * DAY_MS


def healthy_rows(table: FeatureTable, labels: Labels, settings: ModelSettings) -> NDArray[np.bool_]:
    """Tell which rows count as healthy, bool[n]: the first share of each life, of machine and part.

    A life cut by its end of observation may have been long already: its share is of what was seen. A
    repair of one mode leaves the others as worn as they were: rows past the share of the life of a
    mode that then failed, or was found degraded, are not healthy although the machine was just repaired.
    """
    share = settings.healthy_share
    start = np.array([life.start_ms for life in labels.lives], dtype=np.int64)
    length = np.array([life.stop_ms - life.start_ms for life in labels.lives], dtype=np.int64)
    age = table.ts_ms - start[labels.life]
    healthy: NDArray[np.bool_] = (labels.life >= 0) & (age <= share * length[labels.life])
    columns = mode_ages(table.catalogue)
    failed: dict[str, list[Life]] = {}
    for life in labels.lives:
        if life.observed and life.mode in columns:
            failed.setdefault(life.asset, []).append(life)
    for asset, lives in failed.items():
        rows = np.flatnonzero(table.assets == asset)
        rows = rows[np.argsort(table.ts_ms[rows], kind="stable")]
        ts = table.ts_ms[rows]
        for life in lives:
            last = int(np.searchsorted(ts, life.stop_ms)) - 1
            if last < 0:
                continue
            age_h = table.X[rows[last], columns[life.mode]]
            since = ts[last] - age_h * HOUR_MS if np.isfinite(age_h) else ts[0]
            worn = (ts > since + share * (life.stop_ms - since)) & (ts < life.stop_ms)
            healthy[rows[worn]] = False
    return healthy


def whole_weeks(ts_ms: IntArray, groups: IntArray, most: int) -> NDArray[np.bool_]:
    """Choose about `most` rows, bool[n], of machines `groups` int64[n] at ts_ms int64[n], by whole weeks.

    How often a machine passes a limit shows only in all rows of a stretch of time: every k-th row passes
    it less often. So every k-th week is taken, another one for each machine. A single week of a machine
    is taken whole, whatever its rows.
    """
    k = max(1, -(-len(ts_ms) // most))
    turn = (ts_ms // _STRETCH_MS + groups) % k
    return np.asarray(turn == np.argmax(np.bincount(turn, minlength=1)))

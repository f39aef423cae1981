"""The numbers a rollup holds, by name and by position, and what a node of the window tree holds.

Units: values in the signal's unit, times in hours from the bucket's start, `settled_ms` in epoch ms.
"""

from __future__ import annotations

#: The first NODE of these are what merges; the rest is known per bucket only.
STATS: tuple[str, ...] = (
    "count",  # good readings
    "mean",
    "mean_lo",  # what the mean loses by rounding: mean + mean_lo is the mean in twice the precision
    "m2",  # sum of squared deviations from the mean
    "m3",
    "m4",
    "min",
    "max",
    "t_mean",
    "t_m2",
    "tx",  # co-moment of time and value
    "covered",  # hours for which a reading speaks
    "t_first",
    "t_last",
    "gap",  # longest time between two good readings
    "first",
    "last",
    "out_of_range",  # readings left out
    "spikes",  # readings left out
    "settled_ms",  # when the newest arrival of this bucket came in; 0 where arrivals are not known
    "rises",  # 0 -> 1 changes, of the column RUNNING only
)
K = len(STATS)
NODE = 15

COUNT, MEAN, MEAN_LO, M2, M3, M4, MIN, MAX = range(8)
T_MEAN, T_M2, TX, COVERED, T_FIRST, T_LAST, GAP = range(8, 15)
FIRST, LAST, OUT_OF_RANGE, SPIKES, SETTLED, RISES = range(15, 21)

#: The made-up column that is 1 while the machine runs; a plant may have a signal called `running`.
RUNNING = "vigie_running"

"""Intervals for counts, shares and means."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from serve.kpi.settings import KpiSettings

Interval = tuple[float, float]


def wilson(right: int, n: int, confidence: float = 0.95) -> Interval:
    """Return the score interval of a share (Wilson 1927, JASA 22:209); (0, 1) without trials."""
    if n == 0:
        return 0.0, 1.0
    z = float(special.ndtri(0.5 + confidence / 2))
    p = right / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # Rounding must not leave a trace of a bound that is none.
    low = 0.0 if right == 0 else max(centre - half, 0.0)
    return low, 1.0 if right == n else min(centre + half, 1.0)


def poisson(count: int, exposure: float, confidence: float = 0.95) -> Interval:
    """Return the exact interval of a rate, events per unit of exposure (Garwood 1936, Biometrika 28:437)."""
    if exposure <= 0:
        return 0.0, math.inf
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(special.gammaincinv(count, tail))
    high = float(special.gammaincinv(count + 1, 1 - tail))
    return low / exposure, high / exposure


def bootstrap(
    samples: Sequence[float],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    confidence: float = 0.95,
    resamples: int = 2_000,
    seed: int = 0,
) -> Interval:
    """Return the percentile interval of a statistic of rows (Efron 1979, Ann. Statist. 7:1).

    `statistic` maps float64[resamples, n] to float64[resamples]. Fewer than two samples tell
    nothing: (-inf, inf).
    """
    values = np.asarray(samples, dtype=np.float64)
    if len(values) < 2:
        return -math.inf, math.inf
    rng = np.random.default_rng(seed)
    drawn = statistic(values[rng.integers(0, len(values), (resamples, len(values)))])
    tail = (1 - confidence) / 2
    return float(np.quantile(drawn, tail)), float(np.quantile(drawn, 1 - tail))


def interval(
    values: Sequence[float],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    settings: KpiSettings,
) -> tuple[float | None, float | None]:
    """Return the bootstrap's interval as the settings want it; (None, None) below two values."""
    if len(values) < 2:
        return None, None
    return bootstrap(
        values,
        statistic,
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=settings.seed,
    )


def mean_rows(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each row."""
    means: NDArray[np.float64] = drawn.mean(axis=1)
    return means


def median_rows(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of each row."""
    medians: NDArray[np.float64] = np.median(drawn, axis=1)
    return medians

"""The slow, obvious definition of every feature, straight from raw readings; fast paths must agree.

Sums are exact (`fractions.Fraction`), so what differs is the fast path's rounding. Each function
returns (value, scale): the answer, and the size against which a relative error is fair (a slope of
almost zero is judged by the spread over the duration, not by itself).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

HOUR = 3_600_000
NAN = (math.nan, 0.0)
Point = tuple[int, float]  # (ts_ms, value)
Answer = tuple[float, float]


def _exact(points: Sequence[Point]) -> list[Fraction]:
    return [Fraction(value) for _, value in points]


def _root(value: Fraction) -> float:
    """Square root of an exact number, without under- or overflow on the way."""
    if value == 0:
        return 0.0
    shift = (value.numerator.bit_length() - value.denominator.bit_length()) // 2
    return math.sqrt(value / Fraction(4) ** shift) * 2.0**shift


def mean(points: Sequence[Point]) -> Answer:
    if not points:
        return NAN
    value = sum(_exact(points)) / len(points)
    return float(value), max(abs(x) for _, x in points)


def _central(points: Sequence[Point], power: int) -> Fraction:
    values = _exact(points)
    middle = sum(values) / len(values)
    return sum(((x - middle) ** power for x in values), Fraction(0))


def std(points: Sequence[Point]) -> Answer:
    if len(points) < 2:
        return NAN
    value = _root(_central(points, 2) / (len(points) - 1))
    return value, value


def lowest(points: Sequence[Point]) -> Answer:
    return (min(x for _, x in points), 0.0) if points else NAN


def highest(points: Sequence[Point]) -> Answer:
    return (max(x for _, x in points), 0.0) if points else NAN


def spread(points: Sequence[Point]) -> Answer:
    if not points:
        return NAN
    value = highest(points)[0] - lowest(points)[0]
    return value, value


def rms(points: Sequence[Point]) -> Answer:
    if not points:
        return NAN
    value = _root(sum((x * x for x in _exact(points)), Fraction(0)) / len(points))
    return value, value


def skewness(points: Sequence[Point]) -> Answer:
    if not points or _central(points, 2) == 0:
        return NAN
    n, m2, m3 = len(points), _central(points, 2), _central(points, 3)
    size = m3 * m3 * n / (m2**3)
    return math.copysign(_root(size), m3), 1.0


def kurtosis(points: Sequence[Point]) -> Answer:
    if not points or _central(points, 2) == 0:
        return NAN
    value = float(len(points) * _central(points, 4) / _central(points, 2) ** 2)
    return value, value


def crest(points: Sequence[Point]) -> Answer:
    size = rms(points)[0]
    if not points or size == 0:
        return NAN
    value = max(abs(x) for _, x in points) / size
    return value, value


def slope(points: Sequence[Point]) -> Answer:
    """Least squares, per hour."""
    if len(points) < 2:
        return NAN
    times = [Fraction(ts, HOUR) for ts, _ in points]
    values = _exact(points)
    middle_t, middle = sum(times) / len(times), sum(values) / len(values)
    below = sum(((t - middle_t) ** 2 for t in times), Fraction(0))
    if below == 0:
        return NAN
    above = sum(
        ((t - middle_t) * (x - middle) for t, x in zip(times, values, strict=True)), Fraction(0)
    )
    fair = _root(sum(((x - middle) ** 2 for x in values), Fraction(0)) / below)
    return float(above / below), fair


def change(now: Sequence[Point], before: Sequence[Point]) -> Answer:
    if not now or not before:
        return NAN
    value = sum(_exact(now)) / len(now) - sum(_exact(before)) / len(before)
    both = [*now, *before]
    return float(value), max(spread(both)[0], abs(float(value)))


def missing(points: Sequence[Point], start: int, stop: int, bucket: int, hold: int) -> Answer:
    """Share of [start, stop) for which no reading speaks; one speaks until the next of its bucket."""
    covered = 0
    for index, (ts, _) in enumerate(points):
        end = (ts // bucket + 1) * bucket
        if index + 1 < len(points):
            end = min(end, points[index + 1][0])
        covered += min(end - ts, hold)
    return 1.0 - covered / (stop - start), 1.0


def gap(points: Sequence[Point], start: int, stop: int) -> Answer:
    times = [start, *(ts for ts, _ in points), stop]
    value = max(b - a for a, b in pairwise(times)) / HOUR
    return value, (stop - start) / HOUR


def without_spikes(points: Sequence[Point], sigmas: float) -> list[Point]:
    """Drop lone readings more than `sigmas` robust sigmas off the median of their bucket.

    Looked for only where the farthest reading is far in plain standard deviations.
    """
    values = [x for _, x in points]
    n = len(values)
    if n < 5 or _central(points, 2) == 0:
        return list(points)
    middle = float(sum(_exact(points)) / n)
    reach = max(abs(x - middle) for x in values)
    few = 1 if n < 8 else 2 + n // 40
    if reach <= min(6.0, 0.95 * math.sqrt((n - few) / few)) * _root(_central(points, 2) / n):
        return list(points)
    median = sorted(values)[n // 2]
    off = [abs(x - median) for x in values]
    ranked = sorted(off)
    scale = 1.4826 * ranked[n // 2]
    if scale == 0:
        keep = n - max(1, n // 10)
        scale = 1.2533 * sum(ranked[:keep]) / keep
    if scale == 0:
        return list(points)
    far = [x > sigmas * scale for x in off]
    kept = []
    for i, point in enumerate(points):
        alone = (i == 0 or not far[i - 1]) and (i == n - 1 or not far[i + 1])
        if not (far[i] and alone):
            kept.append(point)
    return kept


def bucket_means(points: Sequence[Point], bucket: int) -> dict[int, Fraction]:
    """Mean of each bucket that holds a reading, by bucket number."""
    found: dict[int, list[Fraction]] = {}
    for ts, value in points:
        found.setdefault(ts // bucket, []).append(Fraction(value))
    return {number: sum(values) / len(values) for number, values in found.items()}


def as_points(means: dict[int, Fraction], bucket: int, low: int, high: int) -> list[Point]:
    """Bucket means in [low, high) as points in the middle of their bucket."""
    return [
        (number * bucket + bucket // 2, float(means[number]))
        for number in sorted(means)
        if low <= number < high
    ]


def ewm(means: dict[int, Fraction], low: int, high: int, span: float) -> Answer:
    """Mean of bucket means weighted (1 - 2 / (span + 1)) ** age, age in buckets."""
    keep = 1 - Fraction(2) / (Fraction(span) + 1)
    chosen = {number: x for number, x in means.items() if low <= number < high}
    if not chosen:
        return NAN
    weights = {number: keep ** (high - 1 - number) for number in chosen}
    value = sum(weights[number] * x for number, x in chosen.items()) / sum(weights.values())
    return float(value), max(abs(float(x)) for x in chosen.values())


def baseline(means: dict[int, Fraction], low: int, high: int, room: int) -> tuple[float, float]:
    """Trimmed mean (a tenth off each end) and half the 16-84 % range of a life's first buckets."""
    first: list[float] = []
    for number in sorted(means):
        early = number - low < room or len(first) < max(5, room // 4)
        if low <= number < high and len(first) < room and early:
            first.append(float(means[number]))
    if not first:
        return math.nan, math.nan
    ordered = sorted(first)
    n = len(ordered)
    inner = ordered[n // 10 : n - n // 10]
    middle = float(sum(Fraction(x) for x in inner) / len(inner))
    if n < 5:
        return middle, math.nan
    return middle, 0.5 * (ordered[n - 1 - int(0.16 * n)] - ordered[int(0.16 * n)])


def cusum(means: dict[int, Fraction], low: int, high: int, room: int) -> Answer:
    """Upward minus downward cumulative sum of sigmas off the baseline known so far, slack 0.5."""
    up = down = 0.0
    size = 1.0
    for number in sorted(means):
        if not low <= number < high:
            continue
        middle, sigma = baseline(means, low, number + 1, room)
        if not sigma > 0:
            continue
        z = (float(means[number]) - middle) / sigma
        size += abs(z)
        up = max(0.0, up + z - 0.5)
        down = max(0.0, down - z - 0.5)
    return up - down, size


def row(
    points: Sequence[Point],
    t: int,
    *,
    bucket: int,
    windows: dict[str, int],
    spans: dict[str, int],
    deviation_span: int,
    room: int,
    sigmas: float,
    life_from: int = 0,
) -> dict[str, Answer]:
    """Every feature of one signal at time t, from its readings before t.

    windows: length in buckets by name; life_from: first bucket of the present life.
    """
    clean: list[Point] = []
    for number in sorted({ts // bucket for ts, _ in points if ts < t}):
        inside = [p for p in points if p[0] // bucket == number]
        clean += without_spikes(inside, sigmas)
    here = t // bucket
    first = max(life_from, min(ts // bucket for ts, _ in points))
    means = bucket_means(clean, bucket)
    found: dict[str, Answer] = {}
    for name, length in windows.items():
        low = max(here - length, first)
        before = max(low - length, first)
        inside = [p for p in clean if low * bucket <= p[0] < t]
        earlier = [p for p in clean if before * bucket <= p[0] < low * bucket]
        found[f"{name}.mean"] = mean(inside)
        found[f"{name}.std"] = std(inside)
        found[f"{name}.min"] = lowest(inside)
        found[f"{name}.max"] = highest(inside)
        found[f"{name}.range"] = spread(inside)
        found[f"{name}.rms"] = rms(inside)
        found[f"{name}.skewness"] = skewness(inside)
        found[f"{name}.kurtosis"] = kurtosis(inside)
        found[f"{name}.crest"] = crest(inside)
        found[f"{name}.slope"] = slope(inside)
        found[f"{name}.change"] = change(inside, earlier)
        found[f"{name}.missing"] = missing(inside, low * bucket, t, bucket, bucket)
        found[f"{name}.gap"] = gap(inside, low * bucket, t)
        coarse = as_points(means, bucket, low, here)
        found[f"{name}.level"] = mean(coarse)
        found[f"{name}.scatter"] = std(coarse)
        found[f"{name}.trend"] = slope(coarse) if len(coarse) >= 4 else NAN
        found[f"{name}.shift"] = change(coarse, as_points(means, bucket, before, low))
    for name, span in spans.items():
        found[f"ewm{name}.level"] = ewm(means, first, here, span)
    life = as_points(means, bucket, first, here)
    found["life.trend"] = slope(life) if len(life) >= 9 else NAN
    middle, _ = baseline(means, first, here, room)
    level, fair = ewm(means, first, here, deviation_span)
    age = (here - first) * bucket / HOUR
    offset = room * bucket / HOUR / 3
    found["own.deviation"] = (level - middle, fair)
    found["own.rate"] = ((level - middle) / (age + offset), fair / (age + offset))
    found["own.cusum"] = cusum(means, first, here, room) if life else NAN
    return found

"""Horizon bins: where the curve has its edges, and what each landmark tells about each bin.

A *landmark* is a feature row at which the remaining life is asked. Person-period expansion
(Singer & Willett 1993, DOI 10.3102/10769986018002155): the landmark gives one example per bin it
was seen to survive, one for the bin in which the failure fell, and nothing after that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def make_edges(horizon_h: float, bins: int) -> FloatArray:
    """Return float64[bins + 1] edges in hours from 0 to `horizon_h`, finer near the present.

    A mix of linear and quadratic spacing: the first bin is about a third of an even one, so short
    horizons are resolved without leaving a single far bin for most of the failures.
    """
    share = np.arange(bins + 1) / bins
    return horizon_h * (0.35 * share + 0.65 * share**2)


@dataclass(frozen=True, slots=True, eq=False)
class PersonPeriods:
    """Examples of the hazard: row int64[m], bin int64[m], y and weight float64[m]."""

    row: IntArray
    bin: IntArray
    y: FloatArray
    weight: FloatArray


def expand(ttf_h: FloatArray, p_event: FloatArray, edges_h: FloatArray) -> PersonPeriods:
    """Expand landmarks over the bins.

    ttf_h: float64[n] hours to the end of the life or of the observation (> 0). p_event: float64[n]
    probability that this end was the failure: 1 observed, 0 right-censored, between when unsure.
    A censored end gives its bin with the share of it that was survived, so no time is wasted; an
    unsure one gives both outcomes, weighted.
    """
    bins = len(edges_h) - 1
    ends_at = np.searchsorted(edges_h[1:], ttf_h, side="left")  # bin with lower < ttf <= upper
    survived = np.minimum(ends_at, bins)
    row = np.repeat(np.arange(len(ttf_h)), survived)
    first = np.repeat(np.cumsum(survived) - survived, survived)
    periods = [(row, np.arange(len(row)) - first, np.zeros(len(row)), np.ones(len(row)))]

    inside = np.flatnonzero(ends_at < bins)
    last = ends_at[inside]
    share = (ttf_h[inside] - edges_h[last]) / (edges_h[last + 1] - edges_h[last])
    p = p_event[inside]
    failed, cut = p > 0, (1 - p) * share > 0
    periods.append((inside[failed], last[failed], np.ones(int(failed.sum())), p[failed]))
    periods.append((inside[cut], last[cut], np.zeros(int(cut.sum())), ((1 - p) * share)[cut]))
    row, bin_, y, weight = (np.concatenate(column) for column in zip(*periods, strict=True))
    order = np.lexsort((y, bin_, row))
    return PersonPeriods(row[order], bin_[order], y[order], weight[order])


def bin_offsets(periods: PersonPeriods, bins: int) -> FloatArray:
    """Return the Kaplan–Meier hazard of each bin as a logit, float64[bins].

    The trees then only learn how a machine differs from the crowd; half an event is added so that
    an empty bin stays finite.
    """
    at_risk = np.bincount(periods.bin, weights=periods.weight, minlength=bins)
    events = np.bincount(periods.bin, weights=periods.weight * periods.y, minlength=bins)
    hazard = (events + 0.5) / (at_risk + 1.0)
    return np.log(hazard / (1 - hazard))

"""Horizon bins: where the curve has its edges, and what each landmark tells about each bin.

A *landmark* is a feature row at which the remaining life is asked. Person-period expansion
(Singer & Willett 1993, DOI 10.3102/10769986018002155): the landmark gives one example per bin it
was seen to survive, one for the bin in which the failure fell, and nothing after that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def make_edges(horizon_h: float, bins: int, at_h: Sequence[float] = ()) -> FloatArray:
    """Return edges in hours from 0 to `horizon_h`, finer near the present, with one at each of `at_h`.

    A mix of linear and quadratic spacing: the first bin is about a third of an even one, so short
    horizons are resolved without leaving a single far bin for most of the failures. An hour asked for takes
    the place of the edge next to it, or has one of its own where that is an end or was asked for: there are
    `bins` bins, and one more for each of these. Hours past the horizon are left out.
    """
    share = np.arange(bins + 1) / bins
    edges = horizon_h * (0.35 * share + 0.65 * share**2)
    taken = [0.0, horizon_h]
    for h in at_h:
        if not 0 < h < horizon_h:
            continue
        nearest = int(np.argmin(np.abs(edges - h)))
        if float(edges[nearest]) in taken:
            edges = np.insert(edges, np.searchsorted(edges, h), h)
        else:
            edges[nearest] = h
        taken.append(float(h))
    return edges


@dataclass(frozen=True, slots=True, eq=False)
class PersonPeriods:
    """Examples of the hazard: row int64[m], bin int64[m], y and weight float64[m]."""

    row: IntArray
    bin: IntArray
    y: FloatArray
    weight: FloatArray


def expand(
    ttf_h: FloatArray,
    event: NDArray[np.bool_],
    edges_h: FloatArray,
    weight: FloatArray | None = None,
) -> PersonPeriods:
    """Expand landmarks over the bins.

    ttf_h: float64[n] hours to the end of the life or of the observation (> 0); event: bool[n] this
    end was the failure; weight: float64[n] of each landmark (1 without). A censored end gives its bin
    with the share of it that was survived, so no observed time is wasted.
    """
    bins = len(edges_h) - 1
    weight = np.ones(len(ttf_h)) if weight is None else weight
    ends_at = np.searchsorted(edges_h[1:], ttf_h, side="left")  # bin with lower < ttf <= upper
    survived = np.minimum(ends_at, bins)
    row = np.repeat(np.arange(len(ttf_h)), survived)
    first = np.repeat(np.cumsum(survived) - survived, survived)

    inside = np.flatnonzero(ends_at < bins)
    last = ends_at[inside]
    share = (ttf_h[inside] - edges_h[last]) / (edges_h[last + 1] - edges_h[last])
    share = np.where(event[inside], 1.0, share)
    inside, last, share = inside[share > 0], last[share > 0], share[share > 0]
    all_rows = np.concatenate([row, inside])
    bin_ = np.concatenate([np.arange(len(row)) - first, last])
    y = np.concatenate([np.zeros(len(row)), event[inside].astype(np.float64)])
    w = np.concatenate([np.ones(len(row)), share]) * weight[all_rows]
    order = np.lexsort((bin_, all_rows))
    return PersonPeriods(all_rows[order], bin_[order], y[order], w[order])


def bin_offsets(periods: PersonPeriods, bins: int) -> FloatArray:
    """Return the Kaplan–Meier hazard of each bin as a logit, float64[bins].

    The trees then only learn how a machine differs from the crowd; half an event is added so that
    an empty bin stays finite.
    """
    at_risk = np.bincount(periods.bin, weights=periods.weight, minlength=bins)
    events = np.bincount(periods.bin, weights=periods.weight * periods.y, minlength=bins)
    hazard = (events + 0.5) / (at_risk + 1.0)
    return np.asarray(np.log(hazard / (1 - hazard)), dtype=np.float64)

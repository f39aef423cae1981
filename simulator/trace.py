"""Piecewise-linear functions of time: how the hidden state of a machine is written down.

A trace is planned ahead ("at this rate the spall will be so big then") and planned anew when
something changes. Knots come from events only, never from who looks when, so the value at a moment
is the same to the last bit however the simulation is chopped up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class Trace:
    """A piecewise-linear function of time (epoch ms), constant before its first and after its last knot."""

    __slots__ = ("_n", "_slope", "_t", "_v")

    def __init__(self, t_ms: float, value: float) -> None:
        self._t = np.zeros(32)
        self._v = np.zeros(32)
        self._slope = np.zeros(32)
        self._t[0], self._v[0], self._n = t_ms, value, 1

    def value(self, t_ms: float) -> float:
        """Return the value planned for `t_ms`."""
        k = max(int(self._t[: self._n].searchsorted(t_ms, "right")) - 1, 0)
        return float(self._v[k] + self._slope[k] * max(t_ms - self._t[k], 0.0))

    def plan(self, t_ms: ArrayLike, values: ArrayLike) -> None:
        """Keep what was before `t_ms[0]` and follow these knots from there (ascending times)."""
        t, v = np.asarray(t_ms, dtype=float), np.asarray(values, dtype=float)
        keep = int(self._t[: self._n].searchsorted(t[0], "left"))
        n = keep + len(t)
        while n > len(self._t):
            self._t, self._v, self._slope = (
                np.concatenate([a, np.zeros(len(a))]) for a in (self._t, self._v, self._slope)
            )
        self._t[keep:n], self._v[keep:n] = t, v
        slope = self._slope[keep:n]
        slope[:] = 0.0  # stays so where two knots fall on one moment (a jump), and after the last
        gap = t[1:] - t[:-1]
        np.divide(v[1:] - v[:-1], gap, out=slope[:-1], where=gap > 0.0)
        self._n = n

    def sample(self, t_ms: Array) -> Array | float:
        """Return the values at ascending times; a plain number where they are all the same."""
        t = self._t[: self._n]
        first = max(int(t.searchsorted(t_ms[0], "right")) - 1, 0)
        last = int(t.searchsorted(t_ms[-1], "right"))
        if last - first <= 1:
            if self._slope[first] == 0.0:
                return float(self._v[first])
            return np.asarray(
                self._v[first] + self._slope[first] * np.maximum(t_ms - t[first], 0.0)
            )
        window = slice(first, last)
        counts = np.empty(last - first + 1, dtype=np.intp)
        counts[:-1] = t_ms.searchsorted(t[window], "left")
        counts[0], counts[-1] = 0, len(t_ms)
        counts = counts[1:] - counts[:-1]
        out = t_ms - t[window].repeat(counts)
        np.maximum(out, 0.0, out=out)
        out *= self._slope[window].repeat(counts)
        out += self._v[window].repeat(counts)
        return out

    def knots(self) -> tuple[Array, Array]:
        """Return the times and values of all knots, the planned ones too."""
        return self._t[: self._n].copy(), self._v[: self._n].copy()

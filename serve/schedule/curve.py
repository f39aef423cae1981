"""What the survival curve says about waiting: probability of failing before t, life left after t."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Survival:
    """A survival curve from now on, linear between its points, with a constant hazard past the end.

    hours: float64[K] ascending from 0; survival: float64[K] from 1, falling. A curve that was made
    `age_h` hours ago is conditioned on the machine still running: S(age + t) / S(age). Past the end
    of the curve nobody is expected to live longer than `longest_h` more.
    """

    def __init__(
        self, curve: Sequence[tuple[float, float]], age_h: float = 0.0, longest_h: float = 8_760.0
    ) -> None:
        points = sorted((float(h), float(s)) for h, s in curve if h > 0)
        hours = np.array([0.0, *[h for h, _ in points]])
        survival = np.minimum.accumulate(np.clip([1.0, *[s for _, s in points]], 1e-9, 1.0))
        self._tail = _tail_rate(hours, survival, 1.0 / longest_h)
        if age_h > 0:
            alive = float(self._extended(np.array([age_h]), hours, survival)[0])
            later = hours[hours > age_h]
            survival = np.array([1.0, *(survival[hours > age_h] / alive)])
            hours = np.array([0.0, *(later - age_h)])
        self.hours: NDArray[np.float64] = hours
        self.survival: NDArray[np.float64] = survival
        steps = np.diff(hours) * (survival[1:] + survival[:-1]) / 2
        self._area = np.concatenate([[0.0], np.cumsum(steps)])

    def alive(self, t_h: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return P(still running at t), t in hours from now; same shape as `t_h`."""
        t = np.maximum(np.asarray(t_h, dtype=np.float64), 0.0)
        return self._extended(t, self.hours, self.survival)

    def p_fail(self, t_h: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return P(fails before t), t in hours from now."""
        return 1.0 - self.alive(t_h)

    def life_left(self, t_h: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return E[(T − t)+], the hours of life that a repair at t throws away."""
        t = np.maximum(np.asarray(t_h, dtype=np.float64), 0.0)
        end, alive = self.hours[-1], self.survival[-1]
        inside = np.minimum(t, end)
        index = np.clip(np.searchsorted(self.hours, inside, side="right") - 1, 0, None)
        used = self._area[index] + (inside - self.hours[index]) * (
            (self.survival[index] + self.alive(inside)) / 2
        )
        past_end = alive / self._tail * np.exp(-self._tail * np.maximum(t - end, 0.0))
        result: NDArray[np.float64] = self._area[-1] - used + past_end
        return result

    def _extended(
        self, t: NDArray[np.float64], hours: NDArray[np.float64], survival: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        inside = np.interp(t, hours, survival)
        tail = np.exp(-self._tail * np.maximum(t - hours[-1], 0.0))
        result: NDArray[np.float64] = inside * tail
        return result


def _tail_rate(hours: NDArray[np.float64], survival: NDArray[np.float64], slowest: float) -> float:
    """Return the hazard per hour over the last third of the curve, at least `slowest`."""
    if hours[-1] <= 0:
        return slowest
    from_h = hours[-1] * 2 / 3
    at_third = float(np.interp(from_h, hours, survival))
    rate = np.log(at_third / survival[-1]) / (hours[-1] - from_h)
    return max(float(rate), slowest)

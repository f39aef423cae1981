"""Device clocks that are off: found by comparing time stamps with the moments of arrival.

A message that travels fast arrives just after its time stamp. Over a window of a minute the smallest
delay of an asset is therefore its clock's error plus the fastest journey. It is called skew when it is
large, and when the delays hardly differ: a backlog that is being sent after an outage has delays that shrink.
"""

from __future__ import annotations

from plant.asset import AssetPath

WINDOW_MS = 60_000
MIN_SAMPLES = 3


class ClockSkew:
    """Watches time stamps; `found` is the error of each asset's clock in ms (positive: fast)."""

    def __init__(self, threshold_ms: float) -> None:
        self._threshold_ms = threshold_ms
        # asset -> [window's start, samples, smallest delay, largest delay]
        self._windows: dict[AssetPath, list[int]] = {}
        self.found: dict[AssetPath, int] = {}

    def saw(self, asset: AssetPath, ts_ms: int, received_ms: int) -> bool:
        """Take one message into account; return True when an asset's verdict has changed."""
        delay = received_ms - ts_ms
        window = self._windows.get(asset)
        if window is None:
            self._windows[asset] = [received_ms, 1, delay, delay]
            return False
        window[1] += 1
        window[2] = min(window[2], delay)
        window[3] = max(window[3], delay)
        if received_ms - window[0] < WINDOW_MS or window[1] < MIN_SAMPLES:
            return False
        _, _, smallest, largest = window
        self._windows[asset] = [received_ms, 0, delay, delay]
        steady = largest - smallest <= max(self._threshold_ms, abs(smallest) // 10)
        was_off = asset in self.found
        if abs(smallest) > self._threshold_ms and steady:
            self.found[asset] = -smallest
        else:
            self.found.pop(asset, None)
        return was_off != (asset in self.found)

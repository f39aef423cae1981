"""Time as an argument: logic asks a Clock, never the machine.

A demo or a replay follows the plant's time, so that "too far in the future", "stale" and "late"
mean the same there as on a real plant.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time in UTC epoch milliseconds."""

    def now_ms(self) -> int:
        """Return the present moment, UTC epoch milliseconds."""
        ...


class SystemClock:
    """The machine's own clock: for a real plant."""

    def now_ms(self) -> int:
        """Return the wall clock, UTC epoch milliseconds."""
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that moves only when told to, and never backwards: for tests, demos and replays."""

    def __init__(self, start_ms: int) -> None:
        self._now_ms = start_ms
        self._lock = threading.Lock()

    def now_ms(self) -> int:
        """Return the moment it was last advanced to, UTC epoch milliseconds."""
        return self._now_ms

    def advance_to(self, ts_ms: int) -> None:
        """Move forward to `ts_ms`; an earlier moment is ignored."""
        with self._lock:
            self._now_ms = max(self._now_ms, ts_ms)

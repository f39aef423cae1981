"""What was just committed, kept for a moment: the forwarder sends it without reading it back.

Only a copy: what is not here (too much at once, a correction, a restart) is read from the journal.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from store.columns import Columns

_MOST_BYTES = 64 << 20
#: What waits longer is not fresh any more: while InfluxDB is away, memory must not fill with it.
_MOST_S = 5.0
_ROW_BYTES = 700  # of a row of a dozen values as Python objects


@dataclass(frozen=True, slots=True)
class Segment:
    """What one commit stored, in its order: ids from `first` up to, not including, `stop`, none left out.

    readings: columns, or rows of the table `reading`; events: rows of the table `event`.
    """

    first: int
    stop: int
    readings: Sequence[Columns | list[Any]]
    events: list[Any]

    @property
    def count(self) -> int:
        """Readings and events."""
        return self.stop - self.first

    @property
    def size(self) -> int:
        """About how many bytes it keeps in memory."""
        parts = self.readings
        rows = sum(len(part) for part in parts if not isinstance(part, Columns)) + len(self.events)
        return _ROW_BYTES * rows + sum(part.size for part in parts if isinstance(part, Columns))


class HotTail:
    """Segments of one journal on their way from its writer to the forwarder in the same process."""

    def __init__(
        self,
        most_bytes: int = _MOST_BYTES,
        most_s: float = _MOST_S,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most_bytes = most_bytes
        self._most_s = most_s
        self._now_s = now_s
        self._segments: deque[tuple[float, Segment]] = deque()
        self._bytes = 0
        self._count = 0
        self._lock = threading.Condition()

    def put(self, segment: Segment) -> None:
        """Keep a segment where there is room for it."""
        now_s = self._now_s()
        with self._lock:
            while self._segments and now_s - self._segments[0][0] > self._most_s:
                self._pop()
            if self._bytes + segment.size <= self._most_bytes:
                self._segments.append((now_s, segment))
                self._bytes += segment.size
                self._count += segment.count
                self._lock.notify_all()

    def take(self, cursor: int, limit: int) -> list[Segment]:
        """Return segments that follow one another behind `cursor`, of `limit` messages or a few more."""
        taken: list[Segment] = []
        count = 0
        with self._lock:
            while self._segments and count < limit:
                head = self._segments[0][1]
                if head.first > cursor + 1:
                    break
                self._pop()
                if head.first == cursor + 1:
                    taken.append(head)
                    count += head.count
                    cursor = head.stop - 1
            self._lock.notify_all()
        return taken

    def begins(self) -> int | None:
        """Return the first id that is kept."""
        with self._lock:
            return self._segments[0][1].first if self._segments else None

    def wait_for_room(self, most_s: float) -> None:
        """Wait while it is nearly full, not long: to send what is here costs a fifth of reading it back."""
        with self._lock:
            self._lock.wait_for(lambda: not self._nearly_full(), most_s)

    def gather(self, count: int, most_s: float) -> None:
        """Wait, not long, until so many messages are here or it is nearly full."""
        with self._lock:
            self._lock.wait_for(lambda: self._count >= count or self._nearly_full(), most_s)

    def _nearly_full(self) -> bool:
        return self._bytes >= self._most_bytes * 3 // 4

    def _pop(self) -> None:
        segment = self._segments.popleft()[1]
        self._bytes -= segment.size
        self._count -= segment.count

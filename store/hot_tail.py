"""What was just committed, kept for a moment: the forwarder sends it without reading it back.

Only a copy: what is not here (too much at once, a correction, a restart) is read from the journal.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from store.columns import Columns

#: Of the pieces of the stream that waiting columns point into.
_MOST_BYTES = 32 << 20


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


class HotTail:
    """Segments of one journal on their way from its writer to the forwarder in the same process."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._segments: deque[Segment] = deque()
        self._bytes = 0
        self._lock = threading.Lock()

    def put(self, segment: Segment) -> None:
        """Keep a segment; when there are too many, forget them all: the forwarder is far behind."""
        with self._lock:
            if self._bytes > self._most_bytes:
                self._segments.clear()
                self._bytes = 0
            self._segments.append(segment)
            self._bytes += _size(segment)

    def take(self, cursor: int, limit: int) -> list[Segment]:
        """Return segments that follow one another behind `cursor`, of `limit` messages or a few more."""
        taken: list[Segment] = []
        count = 0
        with self._lock:
            while self._segments and count < limit:
                head = self._segments[0]
                if head.first > cursor + 1:
                    break
                self._segments.popleft()
                self._bytes -= _size(head)
                if head.first == cursor + 1:
                    taken.append(head)
                    count += head.count
                    cursor = head.stop - 1
        return taken


def _size(segment: Segment) -> int:
    columns = [part for part in segment.readings if isinstance(part, Columns)]
    return 200 * segment.count + sum(len(part.text) for part in columns)

"""What ingest has done since it started: the figures of `vigie/bridge/health` and the metrics."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from store.journal import CommitCount

_RATE_WINDOW_S = 10.0


@dataclass(frozen=True, slots=True)
class IngestStats:
    """A snapshot. Counts are since the start; `blocked` says why nothing is acknowledged, if so.

    received: messages; stored, repeated, conflicting, stale: readings (stale: retained and older than
    what is stored); rejected: messages by reason; lag_ms: arrival minus time stamp of the newest
    reading; clock_skew_ms: error of device clocks by asset (positive: fast); epoch: connections made;
    messages_per_s: over the last ten seconds.
    """

    received: int = 0
    received_bytes: int = 0
    stored: int = 0
    repeated: int = 0
    conflicting: int = 0
    stale: int = 0
    events: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    ignored: int = 0
    acknowledged: int = 0
    commits: int = 0
    commit_ms: float = 0.0
    messages_per_s: float = 0.0
    lag_ms: int | None = None
    last_received_ms: int | None = None
    pending: int = 0
    connected: bool = False
    epoch: int = 0
    blocked: str = ""
    error: str = ""
    clock_skew_ms: dict[str, int] = field(default_factory=dict)
    sparkplug: dict[str, int] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Tell whether messages are taken and stored."""
        return self.connected and not self.blocked


class Tally:
    """The counters behind the snapshot; written by the ingest thread only."""

    def __init__(self) -> None:
        self.received = 0
        self.received_bytes = 0
        self.stored = 0
        self.repeated = 0
        self.conflicting = 0
        self.stale = 0
        self.events = 0
        self.rejected: Counter[str] = Counter()
        self.ignored = 0
        self.acknowledged = 0
        self.commits = 0
        self.commit_ms = 0.0
        self.lag_ms: int | None = None
        self.last_received_ms: int | None = None
        self.blocked = ""

    def snapshot(self) -> dict[str, Any]:
        """Return the counters by name, as `IngestStats` takes them."""
        copies = {"rejected": dict(self.rejected), "commit_ms": round(self.commit_ms, 3)}
        return {**vars(self), **copies}

    def committed(self, count: CommitCount, took_ms: float) -> None:
        """Add what a commit did; `commit_ms` is a moving average."""
        self.commits += 1
        self.commit_ms += (took_ms - self.commit_ms) / min(self.commits, 50)
        self.stored += count.new + count.conflicting
        self.repeated += count.repeated
        self.conflicting += count.conflicting
        self.stale += count.stale
        self.events += count.events_new + count.events_conflicting


class Rate:
    """What a rising count does per second, over the last ten seconds in which it was asked for."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=64)

    def per_s(self, count: int) -> float:
        """Take the count as of now and return the rate."""
        seen, now = self._seen, time.monotonic()
        seen.append((now, count))
        while len(seen) > 1 and now - seen[0][0] > _RATE_WINDOW_S:
            seen.popleft()
        (then, before) = seen[0]
        return round((count - before) / (now - then), 1) if now > then else 0.0

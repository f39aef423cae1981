"""What a network does to messages on their way: late, twice, out of order, or all at once afterwards.

A gap is not here: what is lost never gets as far (Injector.arrives).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from plant.times import parse_duration_ms
from simulator.faults.active import Active
from simulator.rng import keyed

if TYPE_CHECKING:
    from simulator.traffic import Message


class Network:
    """Holds back, doubles and reorders messages; what is released comes in the order of arrival."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._held: list[tuple[int, int, Message]] = []
        self._number = 0

    def send(self, message: Message, faults: Sequence[Active]) -> None:
        """Put a message on the network."""
        arrives, copies = message.ts_ms, 1
        for fault in faults:
            if not fault.from_ms <= message.ts_ms < fault.until_ms:
                continue
            if fault.what == "network.late":
                arrives += parse_duration_ms(fault.text)
            elif fault.what == "network.burst":
                arrives = max(arrives, fault.until_ms)
            elif fault.what == "network.duplicate":
                rng = keyed(self._seed, "net", fault.number, message.topic, message.ts_ms)
                copies += int(rng.random() < fault.amount)
            elif fault.what == "network.reorder":
                rng = keyed(self._seed, "net", fault.number, message.topic, message.ts_ms)
                arrives += int(rng.random() * fault.amount * 1000.0)
        for _ in range(copies):
            heapq.heappush(self._held, (arrives, self._number, message))
            self._number += 1

    def release(self, until_ms: int | None) -> Iterator[Message]:
        """Yield what has arrived by `until_ms` (None: everything there is)."""
        while self._held and (until_ms is None or self._held[0][0] < until_ms):
            yield heapq.heappop(self._held)[2]

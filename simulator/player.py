"""Plays a simulated plant over MQTT on a virtual clock: at its own pace, faster, or as fast as it goes.

The plant moves in small steps; after each step its readings and events go out in the order of time.
What is obeyed between two steps (a schedule, a scenario) changes what is played next.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from plant.asset import AssetPath
from plant.clock import ManualClock
from plant.event import Event
from plant.times import HOUR_MS
from plant.topics import Topics
from simulator.faults.network import Network
from simulator.frames import AssetFrame
from simulator.mqtt import Broker, Publisher
from simulator.payload import event_json, telemetry_json
from simulator.plant import PlantSimulation

log = structlog.get_logger(__name__)


class Message(NamedTuple):
    """One message of the plant: when it was sent, topic, payload, by whom, values in it (0: an event)."""

    ts_ms: int
    topic: str
    payload: bytes
    asset: AssetPath
    values: int


@dataclass(slots=True)
class PlayStats:
    """What went out so far."""

    readings: int = 0
    values: int = 0
    events: int = 0


class Player:
    """Publishes what the plant does from now on.

    speed: virtual seconds per second (1 real time; 0 as fast as possible). clients: connections the
    machines are shared among. clock: advanced to each reading's time before it is published.
    behind: optional count of messages the receiver still has to take (say, published minus stored);
    the player waits while it is above `max_behind`, so that a slow receiver's queue cannot overflow
    in the broker. on_step: called after every step with the plant's time.
    """

    def __init__(
        self,
        plant: PlantSimulation,
        broker: Broker | None = None,
        *,
        speed: float = 0.0,
        qos: int = 1,
        clients: int = 1,
        window: int = 400,
        clock: ManualClock | None = None,
        step_ms: int | None = None,
        behind: Callable[[], int] | None = None,
        max_behind: int = 5_000,
        on_step: Callable[[int], None] | None = None,
        client_prefix: str = "vigie-sim",
    ) -> None:
        self.plant, self.stats = plant, PlayStats()
        self._topics = Topics(plant.plant.root)
        self._speed, self._clock = speed, clock
        self._step_ms = step_ms or self._default_step()
        self._behind, self._max_behind, self._on_step = behind, max_behind, on_step
        self._stop = threading.Event()
        names = [f"{client_prefix}-{plant.run_id}-{n}" for n in range(max(clients, 1))]
        self.publishers = [
            Publisher(broker or Broker(), name, qos=qos, window=window) for name in names
        ]
        assets = list(plant.stations)
        self._client = {
            asset: self.publishers[n % len(self.publishers)] for n, asset in enumerate(assets)
        }
        self._network = Network(plant.seed)
        self._next_event = len(plant.book.events)

    def _default_step(self) -> int:
        """Half a second of wall time, between one interval and an hour of plant time."""
        interval = self.plant.sampler.interval_ms
        wanted = HOUR_MS if self._speed <= 0 else int(500 * self._speed)
        return max(min(wanted, HOUR_MS), interval, 1)

    def stop(self) -> None:
        """Ask `run` to end after the message in hand; may be called from any thread."""
        self._stop.set()

    def run(self, until_ms: int) -> PlayStats:
        """Play until the plant's time is `until_ms`; everything published is then acknowledged.

        Raises BrokerError when the broker is missing, refuses, or goes away for a minute.
        """
        for publisher in self.publishers:
            publisher.connect()
        try:
            started, begin_ms = time.monotonic(), self.plant.now_ms
            for message in self.messages(until_ms):
                if self._clock is not None and message.ts_ms > self._clock.now_ms():
                    self._clock.advance_to(message.ts_ms)
                if self._speed > 0:
                    due = started + (message.ts_ms - begin_ms) / (1000.0 * self._speed)
                    ahead = due - time.monotonic()
                    if ahead > 0.002:
                        self._stop.wait(ahead)
                if self._stop.is_set():
                    break
                self._client[message.asset].publish(message.topic, message.payload)
            for publisher in self.publishers:
                publisher.drain()
        finally:
            for publisher in self.publishers:
                publisher.close()
        log.info("played", readings=self.stats.readings, events=self.stats.events)
        return self.stats

    def messages(self, until_ms: int) -> Iterator[Message]:
        """Move the plant to `until_ms` step by step and yield its messages as they arrive."""
        for message in self._flow(until_ms):
            if message.values:
                self.stats.readings += 1
                self.stats.values += message.values
            else:
                self.stats.events += 1
            yield message

    def _flow(self, until_ms: int) -> Iterator[Message]:
        plant = self.plant
        networked = any(fault.what.startswith("network.") for fault in plant.faults.active)
        while plant.now_ms < until_ms and not self._stop.is_set():
            start = plant.now_ms
            stop = min((start // self._step_ms + 1) * self._step_ms, until_ms)
            plant.advance(stop)
            if networked:
                for message in self._step(start, stop):
                    self._network.send(message, plant.faults.of(message.asset, "network"))
                yield from self._network.release(None if stop == until_ms else stop)
            else:
                yield from self._step(start, stop)
            if self._on_step is not None:
                self._on_step(stop)
            while self._behind is not None and self._behind() > self._max_behind:
                if self._stop.wait(0.01):
                    return

    def _step(self, start: int, stop: int) -> Iterator[Message]:
        """Yield what the machines send in [start, stop), in the order of (true) time."""
        sampler = self.plant.sampler
        events = self.plant.book.events[self._next_event :]
        self._next_event += len(events)
        waiting = iter(sorted(events, key=lambda event: event.ts_ms))
        event = next(waiting, None)
        first, last = sampler.index(start), sampler.index(stop)
        slots: list[list[Message]] = [[] for _ in range(last - first)]
        for asset in self.plant.stations:
            self._fill(slots, first, sampler.frame(asset, start, stop))
        for taken_ms, slot in zip(sampler.ts(first, last).tolist(), slots, strict=True):
            while event is not None and event.ts_ms <= taken_ms:
                yield self._event(event)
                event = next(waiting, None)
            yield from slot
        while event is not None:
            yield self._event(event)
            event = next(waiting, None)

    def _fill(self, slots: list[list[Message]], first: int, frame: AssetFrame) -> None:
        """Write one machine's readings into the slots of their sample numbers."""
        run_id, signals, asset = self.plant.run_id, frame.signals, frame.asset
        count = len(signals)
        rows = zip(
            frame.ts_ms.tolist(),
            frame.taken_ms.tolist(),
            frame.seq.tolist(),
            frame.values.tolist(),
            strict=True,
        )
        renamed = any(f.what == "asset.renamed" for f in self.plant.faults.of(asset, "asset"))
        topic = self._topics.telemetry(asset)
        for ts_ms, taken_ms, seq, row in rows:
            payload = telemetry_json(ts_ms, signals, row, seq, run_id)
            if renamed:
                topic = self._topics.telemetry(self.plant.faults.name(asset, taken_ms))
            if payload:
                slots[seq - first].append(Message(taken_ms, topic, payload, asset, count))

    def _event(self, event: Event) -> Message:
        asset = self.plant.faults.name(event.asset, event.ts_ms)
        return Message(event.ts_ms, self._topics.event(asset), event_json(event), event.asset, 0)

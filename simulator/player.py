"""Plays a simulated plant over MQTT on a virtual clock: at its own pace, faster, or as fast as it goes.

The plant moves in small steps; after each step its readings and events go out in the order of time.
What is obeyed between two steps (a schedule, a scenario) changes what is played next.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import structlog

from plant.clock import ManualClock
from plant.times import HOUR_MS
from simulator.forms import SparkplugForm
from simulator.mqtt import Broker, Publisher
from simulator.plant import PlantSimulation
from simulator.traffic import Message, Traffic

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class PlayStats:
    """What went out so far: readings and events of the plant, and other messages (births, truth)."""

    readings: int = 0
    events: int = 0
    other: int = 0


class Player:
    """Publishes what the plant does from now on.

    speed: virtual seconds per second (1 real time; 0 as fast as possible). form: json or sparkplug.
    clients: connections the machines are shared among (Sparkplug: one per line, as it asks for).
    clock: advanced to each reading's time before it is published. behind: optional count of messages
    the receiver still has to take (say, published minus stored); the player waits while it is above
    `max_behind`, so that a slow receiver's queue cannot overflow in the broker. on_step: called after
    every step with the plant's time. truth: also publish on vigie/truth/#. waveform_every_s: raw
    vibration of machines with bearings, that often (0 never; JSON only).
    """

    def __init__(
        self,
        plant: PlantSimulation,
        broker: Broker | None = None,
        *,
        speed: float = 0.0,
        form: Literal["json", "sparkplug"] = "json",
        qos: int = 1,
        clients: int = 1,
        window: int = 200,
        clock: ManualClock | None = None,
        step_ms: int | None = None,
        behind: Callable[[], int] | None = None,
        max_behind: int = 5_000,
        on_step: Callable[[int], None] | None = None,
        truth: bool = False,
        waveform_every_s: float = 0.0,
        client_prefix: str = "vigie-sim",
    ) -> None:
        self.plant, self.stats = plant, PlayStats()
        self._speed, self._clock = speed, clock
        self._behind, self._max_behind, self._on_step = behind, max_behind, on_step
        self._stop = threading.Event()
        self._nodes = SparkplugForm(plant.run_id) if form == "sparkplug" else None
        self._traffic = Traffic(
            plant,
            sparkplug=self._nodes,
            step_ms=step_ms or self._default_step(hourly=truth),
            truth=truth,
            waveform_every_s=0.0 if self._nodes else waveform_every_s,
        )
        broker = broker or Broker()
        name = f"{client_prefix}-{plant.run_id}-{os.getpid()}"
        if self._nodes is not None:
            nodes = {asset.line_path: self._nodes.node(asset.line_path) for asset in plant.shown}
            by_line = {
                path: Publisher(
                    broker, f"{name}-{number}", qos=qos, window=window,
                    will=node.death(plant.now_ms), command=(node.topic("NCMD"), node.rebirth),
                )
                for number, (path, node) in enumerate(nodes.items())
            }  # fmt: skip
            self.publishers = list(by_line.values())
            self._client = {asset: by_line[asset.line_path] for asset in plant.shown}
        else:
            count = max(clients, 1)
            self.publishers = [
                Publisher(broker, f"{name}-{n}", qos=qos, window=window) for n in range(count)
            ]
            self._client = {a: self.publishers[n % count] for n, a in enumerate(plant.shown)}

    def _default_step(self, *, hourly: bool) -> int:
        """Half a second of wall time, between one interval and an hour of plant time.

        As fast as possible with nobody to react in between: six hours, for long steps cost less.
        """
        if self._speed <= 0:
            watched = hourly or self._on_step is not None or self._behind is not None
            return HOUR_MS if watched else 6 * HOUR_MS
        return max(min(int(500 * self._speed), HOUR_MS), self.plant.sampler.interval_ms, 1)

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
            self._take_leave()
            for publisher in self.publishers:
                publisher.drain()
        finally:
            for publisher in self.publishers:
                publisher.close()
        log.info("played", readings=self.stats.readings, events=self.stats.events)
        return self.stats

    def messages(self, until_ms: int) -> Iterator[Message]:
        """Move the plant to `until_ms` step by step and yield its messages as they arrive."""
        stats = self.stats
        for message in self._traffic.until(until_ms, self._after_step):
            if message.kind == "reading":
                stats.readings += 1
            elif message.kind == "event":
                stats.events += 1
            else:
                stats.other += 1
            yield message

    def _after_step(self, now_ms: int) -> bool:
        """Tell the caller, then wait for a receiver that is too far behind; False means stop."""
        if self._on_step is not None:
            self._on_step(now_ms)
        while self._behind is not None and self._behind() > self._max_behind:
            if self._stop.wait(0.01):
                break
        return not self._stop.is_set()

    def _take_leave(self) -> None:
        """Publish death certificates: after a clean disconnection the broker publishes no will."""
        if self._nodes is not None:
            for asset, publisher in {a.line_path: (a, p) for a, p in self._client.items()}.values():
                node = self._nodes.node(asset.line_path)
                publisher.publish(*node.death(self.plant.now_ms))

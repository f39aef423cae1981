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
from typing import Literal, NamedTuple

import orjson
import structlog

from plant.asset import AssetPath
from plant.clock import ManualClock
from plant.event import Event
from plant.times import HOUR_MS
from plant.topics import Topics
from simulator.faults.network import Network
from simulator.forms import Form, JsonForm, SparkplugForm
from simulator.frames import AssetFrame
from simulator.mqtt import Broker, Publisher
from simulator.payload import event_json
from simulator.plant import PlantSimulation
from simulator.rng import keyed
from simulator.truth import event_message, state_message
from simulator.waveform import FS_HZ, waveform

log = structlog.get_logger(__name__)

#: A reading on its way: asset, name it goes by, stamp, true time, signals, values, sample number.
_Entry = tuple[AssetPath, AssetPath, int, int, tuple[str, ...], list[float], int]


class Message(NamedTuple):
    """One message of the plant: when it was sent, topic, payload, by whom, and what it is."""

    ts_ms: int
    topic: str
    payload: bytes
    asset: AssetPath
    kind: Literal["reading", "event", "other"] = "reading"


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
        window: int = 400,
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
        self._topics = Topics(plant.plant.root)
        self._speed, self._clock = speed, clock
        self._step_ms = step_ms or self._default_step()
        self._behind, self._max_behind, self._on_step = behind, max_behind, on_step
        self._truth, self._wave_ms = truth, round(waveform_every_s * 1000)
        self._stop = threading.Event()
        self._network = Network(plant.seed)
        self._next_event, self._next_truth = len(plant.book.events), len(plant.book.truth)
        self._sparkplug = SparkplugForm(plant.run_id) if form == "sparkplug" else None
        self._form: Form = self._sparkplug or JsonForm(self._topics, plant.run_id)
        lines = list(dict.fromkeys(asset.line_path for asset in plant.shown))
        count = len(lines) if self._sparkplug else max(clients, 1)
        self.publishers = [
            Publisher(
                broker or Broker(),
                f"{client_prefix}-{plant.run_id}-{os.getpid()}-{n}",
                qos=qos,
                window=window,
                will=self._sparkplug.node(lines[n]).death(plant.now_ms)
                if self._sparkplug
                else None,
            )
            for n in range(count)
        ]
        self._client = {
            asset: self.publishers[lines.index(asset.line_path) if self._sparkplug else n % count]
            for n, asset in enumerate(plant.shown)
        }
        self._lines = lines

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
            self._deaths()
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
        for message in self._flow(until_ms):
            if message.kind == "reading":
                stats.readings += 1
            elif message.kind == "event":
                stats.events += 1
            else:
                stats.other += 1
            yield message

    def _flow(self, until_ms: int) -> Iterator[Message]:
        plant = self.plant
        yield from self._births()
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
            if self._truth:
                yield from self._true(start, stop)
            if self._on_step is not None:
                self._on_step(stop)
            while self._behind is not None and self._behind() > self._max_behind:
                if self._stop.wait(0.01):
                    return

    def _births(self) -> Iterator[Message]:
        """Say which edge nodes there are (Sparkplug)."""
        if self._sparkplug is None:
            return
        for path in self._lines:
            first = next(asset for asset in self.plant.shown if asset.line_path == path)
            topic, payload = self._sparkplug.node(path).birth(self.plant.now_ms)
            yield Message(self.plant.now_ms, topic, payload, first, "other")

    def _deaths(self) -> None:
        """Take leave: after a clean disconnection the broker publishes no will (Sparkplug)."""
        if self._sparkplug is not None:
            for path, publisher in zip(self._lines, self.publishers, strict=True):
                publisher.publish(*self._sparkplug.node(path).death(self.plant.now_ms))

    def _step(self, start: int, stop: int) -> Iterator[Message]:
        """Yield what the machines send in [start, stop), in the order of (true) time."""
        sampler, form = self.plant.sampler, self._form
        written = self.plant.book.events[self._next_event :]
        self._next_event += len(written)
        events = (event for event in written if event.asset in self._client)
        waiting = iter(sorted(events, key=lambda event: event.ts_ms))
        event = next(waiting, None)
        first, last = sampler.index(start), sampler.index(stop)
        slots: list[list[_Entry]] = [[] for _ in range(last - first)]
        for asset in self.plant.shown:
            self._fill(slots, first, sampler.frame(asset, start, stop))
        for taken, slot in zip(sampler.ts(first, last).tolist(), slots, strict=True):
            while event is not None and event.ts_ms <= taken:
                yield self._event(event)
                event = next(waiting, None)
            for asset, name, ts_ms, taken_ms, signals, row, seq in slot:
                sent = form.reading(name, ts_ms, signals, row, seq)
                for topic, payload in sent[:-1]:
                    yield Message(taken_ms, topic, payload, asset, "other")
                for topic, payload in sent[-1:]:
                    yield Message(taken_ms, topic, payload, asset)
                if self._wave_ms and taken_ms % self._wave_ms < sampler.interval_ms:
                    yield from self._waveform(name, asset, ts_ms, taken_ms, row)
        while event is not None:
            yield self._event(event)
            event = next(waiting, None)

    def _fill(self, slots: list[list[_Entry]], first: int, frame: AssetFrame) -> None:
        """Put one machine's readings into the slots of their sample numbers."""
        faults, signals, asset = self.plant.faults, frame.signals, frame.asset
        rows = zip(
            frame.ts_ms.tolist(),
            frame.taken_ms.tolist(),
            frame.seq.tolist(),
            frame.values.tolist(),
            strict=True,
        )
        renamed = any(f.what == "asset.renamed" for f in faults.of(asset, "asset"))
        for ts_ms, taken_ms, seq, row in rows:
            name = faults.name(asset, taken_ms) if renamed else asset
            slots[seq - first].append((asset, name, ts_ms, taken_ms, signals, row, seq))

    def _event(self, event: Event) -> Message:
        asset = self.plant.faults.name(event.asset, event.ts_ms)
        topic = self._topics.event(asset)
        return Message(event.ts_ms, topic, event_json(event), event.asset, "event")

    def _waveform(
        self, name: AssetPath, asset: AssetPath, ts_ms: int, taken_ms: int, row: list[float]
    ) -> Iterator[Message]:
        unit = self.plant.stations[asset].unit
        rpm = row[list(unit.machine.signals).index(unit.machine.running_signal)]
        samples = waveform(
            unit, taken_ms, rpm, keyed(self.plant.seed, str(asset), "wave", taken_ms)
        )
        if samples is not None:
            body = {
                "ts": ts_ms, "fs_hz": FS_HZ, "waveform": samples.tolist(), "simulated": True,
                "run_id": self.plant.run_id,
            }  # fmt: skip
            topic = f"{self._topics.telemetry(name)}/acceleration_g"
            yield Message(taken_ms, topic, orjson.dumps(body), asset, "other")

    def _true(self, start: int, stop: int) -> Iterator[Message]:
        """Publish the truth of this step: what happened, and every full hour how things stand."""
        plant = self.plant
        happened = plant.book.truth[self._next_truth :]
        self._next_truth += len(happened)
        for event in (event for event in happened if event.asset in self._client):
            yield Message(stop, *event_message(event, plant.run_id), event.asset, "other")
        if start // HOUR_MS != stop // HOUR_MS:
            for asset in plant.shown:
                yield Message(stop, *state_message(plant, asset, stop), asset, "other")

"""What a simulated plant says, message by message, in the order of arrival. No broker is needed for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import orjson

from plant.asset import AssetPath
from plant.event import Event
from plant.times import HOUR_MS
from plant.topics import Topics
from simulator.faults.network import Network
from simulator.forms import Form, JsonForm, SparkplugForm
from simulator.frames import AssetFrame
from simulator.payload import event_json
from simulator.plant import PlantSimulation
from simulator.rng import keyed
from simulator.truth import event_message, state_message
from simulator.waveform import FS_HZ, waveform

#: A reading on its way: asset, name it goes by, stamp, true time, signals, values, sample number.
_Entry = tuple[AssetPath, AssetPath, int, int, tuple[str, ...], list[float], int]


class Message(NamedTuple):
    """One message of the plant: when it was sent, topic, payload, by whom, and what it is."""

    ts_ms: int
    topic: str
    payload: bytes
    asset: AssetPath
    kind: Literal["reading", "event", "other"] = "reading"


class Traffic:
    """Moves a plant step by step and yields its messages; see Player for the arguments."""

    def __init__(
        self,
        plant: PlantSimulation,
        *,
        sparkplug: SparkplugForm | None = None,
        step_ms: int = HOUR_MS,
        truth: bool = False,
        waveform_every_s: float = 0.0,
    ) -> None:
        self._plant, self._step_ms = plant, step_ms
        self._topics = Topics(plant.plant.root)
        self._truth, self._wave_ms = truth, round(waveform_every_s * 1000)
        self._sparkplug = sparkplug
        self._form: Form = sparkplug or JsonForm(self._topics, plant.run_id)
        self._network = Network(plant.seed)
        self._shown = frozenset(plant.shown)
        self._next_event, self._next_truth = len(plant.book.events), len(plant.book.truth)

    def until(self, until_ms: int, after_step: Callable[[int], bool]) -> Iterator[Message]:
        """Yield messages until the plant's time is `until_ms`, or `after_step` returns False."""
        plant = self._plant
        yield from self._births()
        networked = any(fault.what.startswith("network.") for fault in plant.faults.active)
        while plant.now_ms < until_ms:
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
            if not after_step(stop):
                return

    def _births(self) -> Iterator[Message]:
        """Say which edge nodes there are (Sparkplug)."""
        if self._sparkplug is None:
            return
        firsts = {asset.line_path: asset for asset in reversed(self._plant.shown)}
        for path, asset in firsts.items():
            topic, payload = self._sparkplug.node(path).birth(self._plant.now_ms)
            yield Message(self._plant.now_ms, topic, payload, asset, "other")

    def _step(self, start: int, stop: int) -> Iterator[Message]:
        """Yield what the machines send in [start, stop), in the order of (true) time."""
        sampler, form = self._plant.sampler, self._form
        written = self._plant.book.events[self._next_event :]
        self._next_event += len(written)
        events = (event for event in written if event.asset in self._shown)
        waiting = iter(sorted(events, key=lambda event: event.ts_ms))
        event = next(waiting, None)
        first, last = sampler.index(start), sampler.index(stop)
        slots: list[list[_Entry]] = [[] for _ in range(last - first)]
        for asset in self._plant.shown:
            self._fill(slots, first, sampler.frame(asset, start, stop))
        for taken, slot in zip(sampler.ts(first, last).tolist(), slots, strict=True):
            while event is not None and event.ts_ms <= taken:
                yield self._event(event)
                event = next(waiting, None)
            for asset, name, ts_ms, taken_ms, signals, row, seq in slot:
                sent = form.reading(name, ts_ms, signals, row, seq)
                if len(sent) > 1:
                    for topic, payload in sent[:-1]:
                        yield Message(taken_ms, topic, payload, asset, "other")
                for topic, payload in sent if len(sent) == 1 else sent[-1:]:
                    yield Message(taken_ms, topic, payload, asset)
                if self._wave_ms and taken_ms % self._wave_ms < sampler.interval_ms:
                    yield from self._waveform(name, asset, ts_ms, taken_ms, row)
        while event is not None:
            yield self._event(event)
            event = next(waiting, None)

    def _fill(self, slots: list[list[_Entry]], first: int, frame: AssetFrame) -> None:
        """Put one machine's readings into the slots of their sample numbers."""
        faults, signals, asset = self._plant.faults, frame.signals, frame.asset
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
        asset = self._plant.faults.name(event.asset, event.ts_ms)
        topic = self._topics.event(asset)
        return Message(event.ts_ms, topic, event_json(event), event.asset, "event")

    def _waveform(
        self, name: AssetPath, asset: AssetPath, ts_ms: int, taken_ms: int, row: list[float]
    ) -> Iterator[Message]:
        unit = self._plant.stations[asset].unit
        rpm = row[list(unit.machine.signals).index(unit.machine.running_signal)]
        rng = keyed(self._plant.seed, str(asset), "wave", taken_ms)
        samples = waveform(unit, taken_ms, rpm, rng)
        if samples is not None:
            body = {
                "ts": ts_ms, "fs_hz": FS_HZ, "waveform": samples.tolist(), "simulated": True,
                "run_id": self._plant.run_id,
            }  # fmt: skip
            topic = f"{self._topics.telemetry(name)}/acceleration_g"
            yield Message(taken_ms, topic, orjson.dumps(body), asset, "other")

    def _true(self, start: int, stop: int) -> Iterator[Message]:
        """Yield the truth of this step: what happened, and every full hour how things stand."""
        plant = self._plant
        happened = plant.book.truth[self._next_truth :]
        self._next_truth += len(happened)
        for event in happened:
            if event.asset in self._shown:
                yield Message(stop, *event_message(event, plant.run_id), event.asset, "other")
        if start // HOUR_MS != stop // HOUR_MS:
            for asset in plant.shown:
                yield Message(stop, *state_message(plant, asset, stop), asset, "other")

"""How fast the simulator makes readings, as frames and over MQTT.

frames: pump readings computed on one core, against numpy.random's standard_normal of the same size
(case numpy). player: readings over MQTT (QoS 1, Mosquitto on loopback), against a bare paho publisher
that sends equally many payloads of the same size under the same in-flight limit (case paho).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable

import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from plant.config import parse_plant
from plant.times import DAY_MS
from simulator.frames import sample_frames
from simulator.mqtt import Broker
from simulator.plant import PlantSimulation
from simulator.player import Player
from simulator.presets import demo_plant_toml
from simulator.settings import SimulatorSettings
from vigie.logs import configure_logs
from vigie.servers import Mosquitto

WINDOW = 400


def say(case: str, **figures: float | str) -> None:
    """Print one JSON line on stdout."""
    shown = {k: round(v, 3) if isinstance(v, float) else v for k, v in figures.items()}
    print(json.dumps({"bench": "simulator", "case": case, **shown}), flush=True)


def median_of(runs: int, once: Callable[[], float]) -> float:
    """Return the median of a figure over several runs."""
    return statistics.median(once() for _ in range(runs))


def frames(seed: int, days: float, runs: int) -> None:
    """Compute a history of 16 pumps on one core, and the same amount of bare normal numbers."""
    plant = PlantSimulation(parse_plant(demo_plant_toml()), seed=seed)
    began = time.perf_counter()
    stop = plant.start_ms + round(days * DAY_MS)
    plant.advance(stop)
    events_s = time.perf_counter() - began
    size = 0

    def once() -> float:
        nonlocal size
        began = time.perf_counter()
        got = sample_frames(plant.sampler, plant.start_ms, stop)
        seconds = time.perf_counter() - began
        size = sum(frame.values.size for frame in got.values())
        return size / (seconds + events_s)

    speed = median_of(runs, once)

    def bare() -> float:
        rng = np.random.default_rng(seed)
        began = time.perf_counter()
        for _ in range(len(plant.stations)):
            rng.standard_normal(size // len(plant.stations))
        return size / (time.perf_counter() - began)

    normal = median_of(runs, bare)
    say(
        "frames", values=size, values_per_s=speed, events_s=events_s,
        of_numpy_standard_normal=speed / normal,
    )  # fmt: skip
    say("numpy", values=size, values_per_s=normal)


def player(
    port: int, seed: int, days: float, clients: int
) -> tuple[float, list[tuple[str, bytes]]]:
    """Play as fast as possible; return readings per second, plant and encoding included."""
    settings = SimulatorSettings(interval_s=60.0)
    plant = PlantSimulation(parse_plant(demo_plant_toml()), seed=seed, settings=settings)
    live = Player(plant, Broker(port=port), clients=clients, window=WINDOW)
    until = plant.start_ms + round(days * DAY_MS)
    began = time.perf_counter()
    stats = live.run(until)
    rate = (stats.readings + stats.events) / (time.perf_counter() - began)
    again = PlantSimulation(parse_plant(demo_plant_toml()), seed=seed, settings=settings)
    sample = [
        (m.topic, m.payload)
        for m in Player(again, Broker(port=port)).messages(plant.start_ms + DAY_MS // 8)
    ]
    return rate, sample


def paho(port: int, sample: list[tuple[str, bytes]], messages: int) -> float:
    """Publish the sample's payloads round and round with nothing but paho; return messages per second."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(WINDOW)
    room, left, done = threading.Semaphore(WINDOW), [messages], threading.Event()

    def on_publish(*_: object) -> None:
        room.release()
        left[0] -= 1
        if left[0] == 0:
            done.set()

    client.on_publish = on_publish
    client.connect("127.0.0.1", port)
    client.loop_start()
    began = time.perf_counter()
    for number in range(messages):
        room.acquire()
        topic, payload = sample[number % len(sample)]
        client.publish(topic, payload, 1)
    done.wait(60)
    seconds = time.perf_counter() - began
    client.disconnect()
    client.loop_stop()
    return messages / seconds


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    configure_logs("warning")
    runs = 1 if args.quick else 5
    frames(args.seed, 20 if args.quick else 120, runs)
    days = 0.25 if args.quick else 2.0
    messages = round(days * 1440 * 16)
    played, bare = [], []
    with Mosquitto() as broker:
        for run in range(runs):  # turn about, so that a slow minute of the machine hits both
            rate, sample = player(broker.port, args.seed, days, clients=1)
            played.append(rate)
            bare.append(paho(broker.port, sample, messages))
            print(f"run {run}: {played[-1]:.0f} {bare[-1]:.0f} msgs/s", file=sys.stderr)
    say(
        "player", messages=messages, msgs_per_s=statistics.median(played), qos=1,
        of_paho=statistics.median(p / b for p, b in zip(played, bare, strict=True)),
    )  # fmt: skip
    say("paho", messages=messages, msgs_per_s=statistics.median(bare), qos=1)


if __name__ == "__main__":
    main()

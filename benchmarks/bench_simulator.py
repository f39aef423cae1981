"""How fast the simulator makes readings, as frames and over MQTT.

frames: pump readings computed on one core, the plant's events included, against numpy.random's
standard_normal of the same size (case numpy). player: readings over MQTT (QoS 1, Mosquitto on
loopback), plant and JSON included, against a bare paho publisher (case paho) that does nothing but hand
the same payloads, made beforehand, to paho with its own defaults and waits for the last
acknowledgement. values_per_s and msgs_per_s are wall time, cpu_* processor time of this process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from itertools import islice

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
from vigie.logs import configure_logs
from vigie.servers import Mosquitto


def say(case: str, **figures: float | str) -> None:
    """Print one JSON line on stdout."""
    shown = {k: round(v, 3) if isinstance(v, float) else v for k, v in figures.items()}
    print(json.dumps({"bench": "simulator", "case": case, **shown}), flush=True)


def frames(seed: int, days: float, runs: int) -> None:
    """Compute a history of 16 pumps on one core, and the same amount of bare normal numbers."""
    size = 0

    def once() -> tuple[float, float]:
        nonlocal size
        began, cpu = time.perf_counter(), time.process_time()
        plant = PlantSimulation(parse_plant(demo_plant_toml()), seed=seed)
        stop = plant.start_ms + round(days * DAY_MS)
        plant.advance(stop)
        got = sample_frames(plant.sampler, plant.start_ms, stop)
        size = sum(frame.values.size for frame in got.values())
        return size / (time.perf_counter() - began), size / (time.process_time() - cpu)

    def bare() -> tuple[float, float]:
        rng = np.random.default_rng(seed)
        began, cpu = time.perf_counter(), time.process_time()
        for _ in range(16):
            rng.standard_normal(size // 16)
        return size / (time.perf_counter() - began), size / (time.process_time() - cpu)

    made, normal = [], []
    for _ in range(runs):  # turn about, so that a slow minute of the machine hits both
        made.append(once())
        normal.append(bare())
    say(
        "frames",
        values=size,
        values_per_s=statistics.median(wall for wall, _ in made),
        values_per_cpu_s=statistics.median(cpu for _, cpu in made),
        of_numpy_standard_normal=statistics.median(
            a / b for (_, a), (_, b) in zip(made, normal, strict=True)
        ),
    )
    say(
        "numpy",
        values=size,
        values_per_s=statistics.median(wall for wall, _ in normal),
        values_per_cpu_s=statistics.median(cpu for _, cpu in normal),
    )


def player(port: int, seed: int, messages: int) -> tuple[float, float]:
    """Play as fast as possible; return messages per second and CPU microseconds per message."""
    plant = PlantSimulation(parse_plant(demo_plant_toml()), seed=seed)
    live = Player(plant, Broker(port=port))
    began, cpu = time.perf_counter(), time.process_time()
    stats = live.run(plant.start_ms + messages // 16 * plant.sampler.interval_ms)
    sent = stats.readings + stats.events
    used = time.process_time() - cpu
    return sent / (time.perf_counter() - began), 1e6 * used / sent


def payloads(seed: int, count: int) -> list[tuple[str, bytes]]:
    """Return topics and payloads as the player sends them."""
    plant = PlantSimulation(parse_plant(demo_plant_toml()), seed=seed)
    live = Player(plant)
    return [(m.topic, m.payload) for m in islice(live.messages(plant.start_ms + DAY_MS), count)]


def paho(port: int, sample: list[tuple[str, bytes]], messages: int) -> tuple[float, float]:
    """Hand payloads to paho as fast as it takes them; return the same figures as `player`."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    left, done = [messages], threading.Event()

    def on_publish(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            done.set()

    client.on_publish = on_publish
    client.connect("127.0.0.1", port)
    client.loop_start()
    began, cpu = time.perf_counter(), time.process_time()
    for number in range(messages):
        topic, payload = sample[number % len(sample)]
        client.publish(topic, payload, 1)
    done.wait(300)
    wall, used = time.perf_counter() - began, time.process_time() - cpu
    client.disconnect()
    client.loop_stop()
    return messages / wall, 1e6 * used / messages


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    configure_logs("warning")
    runs = 1 if args.quick else 5
    frames(args.seed, 20 if args.quick else 120, runs)
    messages = 16 * (300 if args.quick else 1_440)
    sample = payloads(args.seed, 2_000)
    played, bare = [], []
    with Mosquitto() as broker:
        for run in range(runs):
            played.append(player(broker.port, args.seed, messages))
            bare.append(paho(broker.port, sample, messages))
            print(f"run {run}: {played[-1][0]:.0f} {bare[-1][0]:.0f} msgs/s", file=sys.stderr)
    say(
        "player",
        messages=messages,
        qos=1,
        msgs_per_s=statistics.median(wall for wall, _ in played),
        cpu_us_per_msg=statistics.median(cpu for _, cpu in played),
        of_paho=statistics.median(a / b for (a, _), (b, _) in zip(played, bare, strict=True)),
    )
    say(
        "paho",
        messages=messages,
        qos=1,
        msgs_per_s=statistics.median(wall for wall, _ in bare),
        cpu_us_per_msg=statistics.median(cpu for _, cpu in bare),
    )


if __name__ == "__main__":
    main()

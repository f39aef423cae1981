"""Same seed, same readings to the last bit: one process or four, at once or in pieces, frames or MQTT."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from plant.asset import AssetPath
from plant.clock import ManualClock
from plant.config import parse_plant
from plant.times import DAY_MS, HOUR_MS
from simulator.machines import KINDS
from simulator.mqtt import Broker
from simulator.plant import PlantSimulation, simulate
from simulator.player import Player
from simulator.presets import demo_plant_toml, machine_plant_toml
from simulator.settings import SimulatorSettings


def digest(frames: dict[AssetPath, Any]) -> str:
    """Hash times and values of all frames."""
    h = sha256()
    for asset in sorted(frames):
        frame = frames[asset]
        h.update(str(asset).encode())
        h.update(np.ascontiguousarray(frame.ts_ms).tobytes())
        h.update(np.ascontiguousarray(frame.values).tobytes())
    return h.hexdigest()


def play_some(assets: list[str]) -> str:
    """Play a share of the plant's machines, without a broker, and hash what was said."""
    settings = SimulatorSettings(interval_s=300)
    plant = PlantSimulation(
        parse_plant(demo_plant_toml()), seed=3, settings=settings, assets=assets
    )
    said: dict[str, list[tuple[int, list[float]]]] = {asset: [] for asset in assets}
    for message in Player(plant).messages(plant.start_ms + 6 * DAY_MS):
        if message.kind == "reading":
            body = json.loads(message.payload)
            said[str(message.asset)].append((body["ts"], list(body["values"].values())))
    h = sha256()
    for asset in sorted(said):
        h.update(asset.encode())
        h.update(np.array([ts for ts, _ in said[asset]], dtype=np.int64).tobytes())
        h.update(np.array([row for _, row in said[asset]]).tobytes())
    return h.hexdigest()


def digest_of(frames: dict[AssetPath, Any], assets: list[str]) -> str:
    return digest({asset: frame for asset, frame in frames.items() if str(asset) in assets})


def test_four_processes_play_what_one_process_computes_at_once() -> None:
    whole = simulate("demo", seed=3, days=6, interval_s=300)
    names = [str(asset) for asset in whole.frames]
    shares = [names[i::4] for i in range(4)]
    with ProcessPoolExecutor(4) as pool:
        assert list(pool.map(play_some, shares)) == [digest_of(whole.frames, s) for s in shares]
    assert play_some(names) == digest(whole.frames)


def test_tomorrow_in_another_zone() -> None:
    whole = simulate("demo", seed=3, days=6, interval_s=300)
    code = (
        "import time\nnow = time.time\ntime.time = lambda: now() + 86_400.0\n"
        "from simulator.plant import simulate\nfrom tests.simulator.test_determinism import digest\n"
        "print(digest(simulate('demo', seed=3, days=6, interval_s=300).frames))"
    )
    env = os.environ | {"TZ": "Pacific/Auckland", "PYTHONHASHSEED": "1", "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == digest(whole.frames)


def test_one_process_or_four() -> None:
    one = simulate("demo", seed=3, days=6, interval_s=300)
    four = simulate("demo", seed=3, days=6, interval_s=300, processes=4)
    other = simulate("demo", seed=4, days=6, interval_s=300)
    assert digest(one.frames) == digest(four.frames)
    assert one.events == four.events
    assert digest(one.frames) != digest(other.frames)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_in_pieces_or_at_once(kind: str) -> None:
    plant = parse_plant(machine_plant_toml(kind, 2))
    whole = simulate(plant, seed=5, days=25, interval_s=120)
    live = PlantSimulation(plant, seed=5, settings=whole.live.settings)
    for asset, frame in whole.frames.items():
        assert np.isfinite(frame.values).all()
        at = whole.start_ms
        pieces = []
        step = 7 * HOUR_MS + 1_234
        while at < whole.stop_ms:
            stop = min(at + step, whole.stop_ms)
            live.advance(stop)
            pieces.append(live.sampler.frame(asset, at, stop).values)
            at = stop
        assert np.array_equal(np.concatenate(pieces), frame.values)
    assert live.book.events == whole.events


def test_frames_or_mqtt(mosquitto: Any) -> None:
    plant = parse_plant(
        demo_plant_toml(2).replace('name = "demo"', 'name = "demo"\nroot = "simtest"')
    )
    whole = simulate(plant, seed=7, days=12, interval_s=600)
    got: dict[str, list[tuple[int, list[float]]]] = {}
    events: list[dict[str, Any]] = []
    subscribed, done = threading.Event(), threading.Event()
    expected = sum(len(f.ts_ms) for f in whole.frames.values())

    def on_message(client: Any, userdata: Any, message: mqtt.MQTTMessage) -> None:
        body = json.loads(message.payload)
        assert body["simulated"] is True
        assert body["run_id"] == whole.run_id
        if message.topic.endswith("/event"):
            events.append(body)
        else:
            row = [body["values"][name] for name in whole.live.sampler.units[first].machine.signals]
            got.setdefault(message.topic, []).append((body["ts"], row))
        if sum(map(len, got.values())) == expected and len(events) == len(whole.events):
            done.set()

    first = next(iter(whole.frames))
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_message = on_message
    client.on_connect = lambda c, *_: c.subscribe("simtest/#", qos=1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()
    assert subscribed.wait(10)
    clock = ManualClock(whole.start_ms)
    live = PlantSimulation(plant, seed=7, settings=whole.live.settings)
    player = Player(
        live, Broker(port=mosquitto.port), clients=2, clock=clock,
        behind=lambda: player.stats.readings - sum(map(len, got.values())), max_behind=300,
    )  # fmt: skip
    stats = player.run(whole.stop_ms)
    assert done.wait(20)
    client.disconnect()
    client.loop_stop()
    assert stats.readings == expected
    assert clock.now_ms() > whole.stop_ms - 2 * 600_000
    for asset, frame in whole.frames.items():
        rows = got[f"simtest/{asset}/telemetry"]
        assert [ts for ts, _ in rows] == frame.ts_ms.tolist()
        assert np.array_equal(np.array([row for _, row in rows]), frame.values)
    assert sorted(e["ts"] for e in events) == sorted(e.ts_ms for e in whole.events)
    assert whole.stop_ms - whole.start_ms == 12 * DAY_MS

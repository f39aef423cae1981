"""The player and its broker: a missing one, the embedded one, a scenario on the wire."""

from __future__ import annotations

import threading
import time
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from plant.asset import AssetPath
from plant.config import parse_plant
from plant.errors import BrokerError
from plant.times import DAY_MS, HOUR_MS
from simulator.mqtt import Broker
from simulator.plant import Job, PlantSimulation
from simulator.player import Player
from simulator.presets import demo_plant_toml
from simulator.settings import SimulatorSettings
from tests.servers import free_port

PLANT = parse_plant(demo_plant_toml(1))


def plant() -> PlantSimulation:
    return PlantSimulation(PLANT, seed=1, settings=SimulatorSettings(interval_s=300))


def test_a_missing_broker_is_one_sentence() -> None:
    live = plant()
    with pytest.raises(BrokerError, match="no MQTT broker answers"):
        Player(live, Broker(port=free_port())).run(live.start_ms + HOUR_MS)


def test_a_player_can_be_stopped_and_another_goes_on(mosquitto: Any) -> None:
    live = plant()
    broker = Broker(port=mosquitto.port)
    first = Player(
        live, broker, on_step=lambda now: now >= live.start_ms + 6 * HOUR_MS and first.stop()
    )
    first.run(live.start_ms + DAY_MS)
    assert first.stats.readings == 2 * 72
    second = Player(live, broker)
    second.run(live.start_ms + DAY_MS)
    assert first.stats.readings + second.stats.readings == 2 * 288


def test_a_job_handed_over_while_playing_is_done(mosquitto: Any) -> None:
    live = plant()
    asset = AssetPath.parse("lyon/l1/pump-1")

    def hand_over(now_ms: int) -> None:
        if now_ms == live.start_ms + 10 * HOUR_MS:
            live.obey([Job(asset, now_ms + HOUR_MS, ("ELP",), duration_h=2.0, note="as planned")])

    Player(live, Broker(port=mosquitto.port), on_step=hand_over).run(live.start_ms + 2 * DAY_MS)
    done = [e for e in live.book.events if e.note == "as planned"]
    assert [(e.scope, e.planned, e.duration_h) for e in done] == [(("ELP",), True, 2.0)]


def test_a_slow_receiver_holds_the_player_back(mosquitto: Any) -> None:
    live = plant()
    taken = [0]
    most = [0]

    def behind() -> int:
        lag = player.stats.readings - taken[0]
        most[0] = max(most[0], lag)
        taken[0] += 5  # the receiver takes a few whenever it is looked at
        return lag

    player = Player(live, Broker(port=mosquitto.port), behind=behind, max_behind=50)
    thread = threading.Thread(target=player.run, args=(live.start_ms + DAY_MS,))
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert player.stats.readings == 2 * 288
    assert most[0] <= 50 + 2 * 12 + 1


def test_the_embedded_broker_takes_it_all() -> None:
    from vigie.servers import EmbeddedBroker

    with EmbeddedBroker() as broker:
        live = plant()
        seen = []
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        ready = threading.Event()
        client.on_message = lambda _c, _d, message: seen.append(message.topic)
        client.on_connect = lambda c, *_: c.subscribe("plant/#", qos=1)
        client.on_subscribe = lambda *_: ready.set()
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        assert ready.wait(10)
        player = Player(
            live, Broker(port=broker.port), clients=2, max_behind=200,
            behind=lambda: player.stats.readings + player.stats.events - len(seen),
        )  # fmt: skip
        stats = player.run(live.start_ms + 2 * DAY_MS)
        for _ in range(500):
            if len(seen) == stats.readings + stats.events:
                break
            time.sleep(0.02)
        client.disconnect()
        client.loop_stop()
    assert len(seen) == stats.readings + stats.events == 2 * 576 + stats.events


def test_a_lost_broker_is_waited_for(own_mosquitto: Any) -> None:
    live = plant()

    def restart(now_ms: int) -> None:
        if now_ms == live.start_ms + 6 * HOUR_MS:
            own_mosquitto.restart()

    player = Player(live, Broker(port=own_mosquitto.port), on_step=restart)
    stats = player.run(live.start_ms + DAY_MS)
    assert stats.readings == 2 * 288
    assert sum(p.acknowledged for p in player.publishers) == stats.readings + stats.events


def test_a_sparkplug_host_may_ask_for_births_again(mosquitto: Any) -> None:
    live = plant()
    births: list[str] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    ready = threading.Event()
    client.on_message = lambda _c, _d, message: births.append(message.topic)
    client.on_connect = lambda c, *_: c.subscribe(
        [(f"spBv1.0/lyon/{kind}/#", 1) for kind in ("NBIRTH", "DBIRTH", "NDEATH")]
    )
    client.on_subscribe = lambda *_: ready.set()
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()
    assert ready.wait(10)

    def ask(now_ms: int) -> None:
        if now_ms == live.start_ms + 3 * HOUR_MS:
            client.publish("spBv1.0/lyon/NCMD/l1", b"Node Control/Rebirth", qos=1)
            for _ in range(500):
                if player._nodes.node("lyon/l1")._reborn.is_set():
                    return
                time.sleep(0.01)

    player = Player(live, Broker(port=mosquitto.port), form="sparkplug", on_step=ask)
    player.run(live.start_ms + 6 * HOUR_MS)
    for _ in range(200):
        if births.count("spBv1.0/lyon/NDEATH/l1") == 1 and births.count("spBv1.0/lyon/NDEATH/l2"):
            break
        time.sleep(0.02)
    client.disconnect()
    client.loop_stop()
    assert births.count("spBv1.0/lyon/NBIRTH/l1") == 2
    assert births.count("spBv1.0/lyon/DBIRTH/l1/pump-1") == 2
    assert births.count("spBv1.0/lyon/NBIRTH/l2") == 1

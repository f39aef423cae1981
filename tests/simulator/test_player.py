"""The player and its broker: a missing one, the embedded one, a scenario on the wire."""

from __future__ import annotations

import threading
from typing import Any

import pytest

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

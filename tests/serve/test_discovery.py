"""Home Assistant's discovery: valid ids, one device per machine, topics that exist."""

from __future__ import annotations

import re

import orjson
from hypothesis import given
from hypothesis import strategies as st

from plant.asset import AssetPath
from plant.topics import BRIDGE_STATE, Topics
from serve.discovery import discovery_items, node_id
from serve.messages import alarm_item, risk_items
from tests.serve.examples import PLANT, PUMP, T0, paths, risk_at


def test_one_machine_is_one_device_with_four_entities() -> None:
    items = discovery_items(PUMP, PLANT, Topics(), "homeassistant")
    assert [topic for topic, _ in items] == [
        "homeassistant/sensor/vigie_lyon--l1--pump-2d3/p_fail_24h/config",
        "homeassistant/sensor/vigie_lyon--l1--pump-2d3/state/config",
        "homeassistant/sensor/vigie_lyon--l1--pump-2d3/expected/config",
        "homeassistant/binary_sensor/vigie_lyon--l1--pump-2d3/alarm/config",
    ]
    configs = [orjson.loads(payload) for _, payload in items]
    assert len({config["unique_id"] for config in configs}) == 4
    assert {config["device"]["identifiers"][0] for config in configs} == {node_id(PUMP)}
    assert {config["availability_topic"] for config in configs} == {BRIDGE_STATE}
    published = {topic for topic, _ in risk_items(risk_at(T0, 0.5), Topics())}
    published.add(alarm_item(PUMP, (), Topics())[0])
    assert {config["state_topic"] for config in configs} <= published


@given(paths)
def test_every_machine_gets_a_valid_id(asset: AssetPath) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", node_id(asset))


@given(st.lists(paths, min_size=2, max_size=2, unique=True))
def test_different_machines_get_different_ids(pair: list[AssetPath]) -> None:
    assert node_id(pair[0]) != node_id(pair[1])


def test_look_alikes_differ() -> None:
    names = ["a.b", "a-2eb", "a-b", "a--b", "a_b", "a-2d2eb"]
    assert len({node_id(AssetPath("s", "l", name)) for name in names}) == len(names)
    assert node_id(AssetPath("a", "b--c", "d")) != node_id(AssetPath("a--b", "c", "d"))

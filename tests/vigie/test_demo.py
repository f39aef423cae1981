"""The main job end to end: readings in over MQTT, failure windows out over MQTT, on real servers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Literal

import orjson
import pytest
from jsonschema import Draft202012Validator

from ingest.settings import BrokerSettings
from plant.risk import risk_from_dict
from vigie.demo.run import Demo, DemoOptions
from vigie.demo.story import Story
from vigie.mqtt import connected
from vigie.servers import ServerMissingError

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "risk.schema.json").read_text())


@pytest.mark.mosquitto
@pytest.mark.influxd
@pytest.mark.timeout(600)
@pytest.mark.parametrize("store", ["sqlite", "influx"])
def test_a_client_that_comes_late_reads_valid_risks_and_no_reading_is_lost(
    store: Literal["sqlite", "influx"], tmp_path: Path
) -> None:
    retained: dict[str, bytes] = {}
    options = DemoOptions(store=store, past_days=45, live_days=0.5, data_dir=tmp_path)

    def come_late(story: Story) -> None:
        if len(story.machines) == 16 and not retained:
            broker = BrokerSettings(port=demo.servers.port, client_id="late")
            filters = ("plant/+/+/+/risk",)
            with connected(broker, "listener", filters=filters, see=retained.__setitem__):
                deadline = time.monotonic() + 10
                while len(retained) < 16 and time.monotonic() < deadline:
                    time.sleep(0.01)
            demo.stop()

    try:
        with Demo.start(options) as demo:
            result = demo.play(lambda _what, _share: None, come_late)
    except ServerMissingError as error:
        pytest.skip(f"SKIPPED FOR WANT OF A SERVER: {error}")
    assert result.readings_stored == result.readings_published > 0
    assert len(retained) == 16
    for topic, payload in retained.items():
        message = orjson.loads(payload)
        Draft202012Validator(SCHEMA).validate(message)
        assert topic == f"plant/{message['asset']}/risk"
        assert message["simulated"] is True
        assert message["run_id"]
        assert risk_from_dict(message).p_fail is not None or message["status"] != "ok"
    assert any(orjson.loads(payload)["status"] == "ok" for payload in retained.values())

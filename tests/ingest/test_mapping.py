"""Foreign messages: the shipped mappings read what such devices really send."""

from __future__ import annotations

import tomllib
from pathlib import Path

import orjson
import pytest
from pydantic import ValidationError

from ingest.decode import Decoded
from ingest.jsonpath import get, parse_path
from ingest.line_protocol import parse_lines
from ingest.mapping import TopicPattern, signal_name_of
from ingest.router import Router
from ingest.settings import IngestSettings, Mapping
from plant.errors import PayloadError
from plant.topics import Topics

NOW = 1_763_800_000_000
LATER = NOW + 40_000_000_000
SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "mappings"


def shipped(name: str) -> Router:
    table = tomllib.loads((SHIPPED / f"{name}.toml").read_text(encoding="utf-8"))
    return Router(Topics(), IngestSettings.model_validate(table["ingest"]))


def router(**mapping: object) -> Router:
    defaults = {"name": "m", "topic": "t/{device}", "site": "s", "line": "l", "asset": "{device}"}
    return Router(Topics(), IngestSettings(mappings=(Mapping.model_validate(defaults | mapping),)))


def read(router: Router, topic: str, message: object, now: int = NOW) -> Decoded:
    payload = message if isinstance(message, bytes) else orjson.dumps(message)
    return router.decoder(topic.encode())(payload, now)


def values(decoded: Decoded) -> dict[str, float]:
    (reading,) = decoded.readings
    return dict(reading.values)


def refused_for(router: Router, topic: str, message: object, now: int = NOW) -> str:
    try:
        read(router, topic, message, now)
    except PayloadError as error:
        return error.reason
    return ""


def reason(router: Router, topic: str, message: object) -> str:
    with pytest.raises(PayloadError) as caught:
        read(router, topic, message)
    return caught.value.reason


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.toml")), ids=lambda file: file.stem)
def test_every_shipped_mapping_is_valid(file: Path) -> None:
    assert all(topic for topic in shipped(file.stem).subscriptions())


@pytest.mark.data
def test_documented_tasmota_telemetry_is_read(data_dir: Path) -> None:
    tasmota = shipped("tasmota")
    read_count = without_numbers = 0
    for line in (data_dir / "payloads/tasmota/telemetry_examples.jsonl").read_bytes().splitlines():
        example = orjson.loads(line)
        topic, payload = example["topic"], example["payload"]
        if topic is None and isinstance(payload, dict) and "Time" in payload:
            topic = "tele/tasmota/SENSOR"
        if (
            topic is None
            or not topic.startswith("tele/")
            or topic.count("/") != 2  # Zigbee bridges have a level more
            or topic.split("/")[-1] not in {"SENSOR", "STATE"}
        ):
            continue
        refusal = refused_for(tasmota, topic, payload, LATER)
        if refusal:
            assert refusal in {"no_values", "ts_missing"}, (topic, payload)
            without_numbers += 1
            continue
        (reading,) = read(tasmota, topic, payload, LATER).readings
        assert reading.ts_ms < LATER
        assert reading.asset.asset == topic.split("/")[1].replace("%", "_")
        read_count += 1
    assert read_count >= 55
    assert without_numbers <= 30  # words only, or no time


@pytest.mark.data
@pytest.mark.parametrize(
    ("case", "mapping", "expected"),
    [
        ("timestamp_rfc3339", {"flatten": ""}, "no_values"),  # its numbers are texts
        ("large_numbers", {"flatten": ""}, ""),
        ("null", {"flatten": ""}, ""),
        ("types", {"flatten": ""}, ""),
        ("benchmark", {"flatten": ""}, ""),
    ],
)
def test_real_nested_json_can_be_flattened(
    data_dir: Path, case: str, mapping: dict, expected
) -> None:
    folder = data_dir / "payloads/telegraf/parsers/json_v2/testdata" / case
    payload = (folder / "input.json").read_bytes()
    refusal = refused_for(router(**mapping), "t/d", payload)
    assert refusal == expected
    if not refusal:
        assert values(read(router(**mapping), "t/d", payload))


def test_tasmota_local_time_and_words() -> None:
    tasmota = shipped("tasmota")
    state = {"Time": "2025-07-01T12:00:00", "POWER": "ON", "Vcc": 3.4, "Wifi": {"RSSI": 80}}
    decoded = read(tasmota, "tele/plug-7/STATE", state)
    assert values(decoded) == {"relay": 1.0, "supply_v": 3.4, "wifi_rssi": 80.0}
    assert decoded.readings[0].ts_ms == 1_751_364_000_000  # 10:00 UTC: summer time in Paris
    energy = {"Time": "2025-01-01T12:00:00", "ENERGY": {"Power": 182, "Total": 9.5, "Factor": 0.9}}
    assert values(read(tasmota, "tele/p/SENSOR", energy)) == {
        "energy_power_w": 182.0,
        "energy_total_kwh": 9.5,
        "ENERGY_Factor": 0.9,
    }


def test_zigbee2mqtt() -> None:
    zigbee = shipped("zigbee2mqtt")
    message = {"temperature": 27.34, "linkquality": 120, "state": "OFF", "contact": True,
               "last_seen": "2025-11-20T10:00:00.000Z", "update": {"installed_version": 5}}  # fmt: skip
    decoded = read(zigbee, "zigbee2mqtt/Living Room", message)
    assert str(decoded.readings[0].asset) == "lyon/l1/Living_Room"
    assert values(decoded) == {
        "temperature": 27.34,
        "linkquality": 120.0,
        "state": 0.0,
        "contact": 1.0,
    }
    assert read(zigbee, "zigbee2mqtt/bridge/devices", b"[]").readings == ()


def test_shelly_of_both_generations() -> None:
    shelly = shipped("shelly")
    notify = {"src": "x", "method": "NotifyStatus", "params": {"ts": 1631186545.04, "switch:0": {"id": 0,
        "apower": 8.9, "output": True, "aenergy": {"total": 6.5}, "temperature": {"tC": 23.5}}}}  # fmt: skip
    decoded = read(shelly, "shellypro4pm-f008/events/rpc", notify)
    assert decoded.readings[0].ts_ms == 1_631_186_545_040
    assert values(decoded)["power_w"] == 8.9
    assert values(decoded)["output"] == 1.0
    status = {
        "id": 0,
        "output": False,
        "apower": 0.0,
        "voltage": 237.5,
        "temperature": {"tC": 21.0},
    }
    decoded = read(shelly, "shelly1/status/switch:0", status)
    assert decoded.untimed
    assert values(decoded)["voltage_v"] == 237.5
    assert values(read(shelly, "shellies/em3/emeter/1/power", b"12.25")) == {"power_1": 12.25}


def test_azure_iot_hub() -> None:
    message = {"messageId": 7, "deviceId": "d", "temperature": 27.5, "humidity": 70.1, "pressure": 100.0,
               "timestamp": "2025-11-20T10:00:00Z"}  # fmt: skip
    decoded = read(shipped("azure-iot-hub"), "devices/pump-3/messages/events/%24.ct=json", message)
    assert decoded.readings[0].seq == 7
    assert values(decoded) == pytest.approx(
        {"temperature_c": 27.5, "humidity": 70.1, "pressure_bar": 6.89476}
    )


def test_io_link_masters() -> None:
    io_link = shipped("io-link")
    message = {
        "getData": {"iolink": {"valid": True, "value": {"pressure": {"value": 4.2, "unit": "bar"}}}}
    }
    found = values(read(io_link, "m1/iolink/v1/devices/port1/processdata/value", message))
    assert found["pressure_bar"] == 4.2
    assert found["valid"] == 1.0
    event = {"code": "event", "data": {"eventno": "6317", "payload": {
        "/iolinkmaster/port[2]/iolinkdevice/pdin": {"code": 200, "data": "00E9FF"}}}}  # fmt: skip
    assert reason(io_link, "ifm/m1/port2", event) == "seq"
    event["data"]["eventno"] = 6317
    assert values(read(io_link, "ifm/m1/port2", event)) == pytest.approx({"temperature_c": 23.3})
    event["data"]["payload"]["/iolinkmaster/port[2]/iolinkdevice/pdin"]["data"] = "0"
    assert reason(io_link, "ifm/m1/port2", event) == "not_a_number"


def test_devices_may_be_listed_and_units_converted() -> None:
    mapped = router(
        assets={"d1": "lyon/l9/press"},
        signals={"t_c": {"path": "tF", "scale": 0.5556, "offset": -17.778}},
    )
    decoded = read(mapped, "t/d1", {"tF": "100"})
    assert str(decoded.readings[0].asset) == "lyon/l9/press"
    assert values(decoded)["t_c"] == pytest.approx(37.782)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"a": "hot"}, "not_a_number"),
        ({"a": "1e999"}, "not_finite"),
        ({"a": [1]}, "not_a_number"),
        ({"b": 1}, "no_values"),
        (b"{", "json"),
    ],
)
def test_refused(message: object, expected: str) -> None:
    assert reason(router(signals={"a": {"path": "a"}}), "t/d", message) == expected


def test_line_protocol_on_a_contract_topic_and_by_mapping() -> None:
    ts = NOW * 1_000_000
    line = f'm,host=a temp=1.5,n=3i,ok=true,s="x y, z=1" {ts}\nm temp=2 {NOW}'.encode()
    plain = read(Router(Topics(), IngestSettings()), "plant/s/l/p/telemetry", line)
    assert [dict(r.values) for r in plain.readings] == [
        {"temp": 1.5, "n": 3.0, "ok": 1.0},
        {"temp": 2.0},
    ]
    assert {r.ts_ms for r in plain.readings} == {NOW}
    by_tag = router(topic="influx/#", format="line", asset="{host}", flatten="")
    decoded = read(by_tag, "influx/any/thing", rb"cpu\ load,host=pump\,1 usage\ idle=5u")
    assert str(decoded.readings[0].asset) == "s/l/pump_1"
    assert values(decoded) == {"usage_idle": 5.0}
    assert decoded.untimed


@pytest.mark.parametrize(
    "line",
    ["m", "m a", "m a=", "m =1", "m a=1 x", 'm a="1', "m a=1 2 3", "m a=b", "m a=1_0", "# c"],
)
def test_broken_lines_are_refused(line: str) -> None:
    with pytest.raises(PayloadError) as caught:
        parse_lines(line.encode(), 1000)
    assert caught.value.reason in {"line_protocol", "not_finite"}


def test_paths() -> None:
    message = {"a.b": {"c": [{"d": 5}]}}
    assert get(message, parse_path(r"a\.b.c[0].d")) == 5
    assert get(message, parse_path(("a.b", "c", 0, "d"))) == 5
    assert get(message, parse_path("a.b")) is None
    assert get(message, parse_path(r"a\.b.c[7]")) is None
    assert signal_name_of(("1-2", "x y", 0)) == "s_1_2_x_y_0"


def test_topic_patterns() -> None:
    pattern = TopicPattern("a/{x}/b-{y}/#")
    assert pattern.filter == "a/+/+/#"
    assert pattern.match("a/1/b-2/c/d") == {"x": "1", "y": "2"}
    assert pattern.match("a/1/c-2/c") is None


@pytest.mark.parametrize(
    "mapping",
    [
        {"name": "m", "topic": "t"},
        {"name": "m", "topic": "t", "signal": "s"},
        {"name": "m", "topic": "t", "signal": "s", "asset": "a"},
        {"name": "m", "topic": "t", "ignore": True, "timezone": "Mars/Base"},
        {"name": "m", "topic": "t", "ignore": True, "other": 1},
    ],
)
def test_incomplete_mappings_are_refused(mapping: dict) -> None:
    with pytest.raises(ValidationError):
        Mapping.model_validate(mapping)

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
    """After the guide's page "MQTT Topics and Messages" and `advanced.last_seen` of "Configuration"."""
    zigbee = shipped("zigbee2mqtt")
    message = {"temperature": 19.85, "humidity": 51.3, "linkquality": 87, "state": "OFF", "contact": True,
               "last_seen": "2025-11-20T10:00:00.000Z", "update": {"installed_version": 5},
               "color": {"x": 0.31}, "action": "single"}  # fmt: skip
    decoded = read(zigbee, "zigbee2mqtt/Living Room", message)
    assert str(decoded.readings[0].asset) == "lyon/l1/Living_Room"
    assert values(decoded) == {
        "temperature": 19.85,
        "humidity": 51.3,
        "linkquality": 87.0,
        "state": 0.0,
        "contact": 1.0,
        "color_x": 0.31,
    }
    for seen, ts_ms in (  # ISO_8601, ISO_8601_local, epoch
        ("2025-11-20T10:00:00.250Z", 1_763_632_800_250),
        ("2025-11-20T11:00:00+01:00", 1_763_632_800_000),
        (1_763_632_800_123, 1_763_632_800_123),
    ):
        decoded = read(zigbee, "zigbee2mqtt/hall/press-2", {"occupancy": True, "last_seen": seen})
        assert str(decoded.readings[0].asset) == "lyon/hall/press-2"
        assert decoded.readings[0].ts_ms == ts_ms
    ignored = (
        "bridge/devices",
        "bridge/info",
        "p/set",
        "p/get",
        "p/availability",
        "h/p/availability",
    )
    for topic in ignored:
        assert read(zigbee, f"zigbee2mqtt/{topic}", {"state": "ON"}).readings == ()
    assert (
        reason(zigbee, "zigbee2mqtt/p", {"temperature": 20.0}) == "ts_missing"
    )  # last_seen is off


def test_shelly_second_generation() -> None:
    """After "Notifications" of the Gen2+ device API reference; the switch's fields from common use."""
    shelly = shipped("shelly")
    notify = {"src": "shellypro4pm-f0", "dst": "shellypro4pm-f0/events", "method": "NotifyStatus",
              "params": {"ts": 1700000002.62, "switch:0": {"id": 0, "apower": 41.7, "output": True,
              "voltage": 229.4, "current": 0.21, "freq": 50.0, "temperature": {"tC": 31.5, "tF": 88.7},
              "aenergy": {"total": 17.25, "by_minute": [11.5, 0.0], "minute_ts": 1699999980}}}}  # fmt: skip
    decoded = read(shelly, "shellypro4pm-f0/events/rpc", notify)
    assert decoded.readings[0].ts_ms == 1_700_000_002_620
    assert values(decoded) == {
        "power_w": 41.7, "voltage_v": 229.4, "current_a": 0.21, "energy_wh": 17.25, "output": 1.0,
        "temperature_c": 31.5, "switch_0_freq": 50.0,
    }  # fmt: skip
    full = {"src": "shellyplusht-b8", "dst": "shellyplusht-b8/events", "method": "NotifyFullStatus",
            "params": {"ts": 1700000002.5, "ble": {}, "devicepower:0": {"id": 0, "battery": {"V": 5.1,
            "percent": 80}, "external": {"present": False}}, "humidity:0": {"id": 0, "rh": 51.0},
            "temperature:0": {"id": 0, "tC": 22.5, "tF": 72.5}, "wifi": {"rssi": -61, "ssid": "x"},
            "sys": {"unixtime": None, "uptime": 3}}}  # fmt: skip
    assert values(read(shelly, "shellyplusht-b8/events/rpc", full)) == {
        "devicepower_0_battery_V": 5.1, "devicepower_0_battery_percent": 80.0,
        "devicepower_0_external_present": 0.0, "humidity_0_rh": 51.0, "temperature_0_tC": 22.5,
        "wifi_rssi": -61.0,
    }  # fmt: skip
    button = {"src": "x", "dst": "y", "method": "NotifyEvent", "params": {"ts": 1700000001.5, "events": [
        {"component": "input:0", "id": 0, "event": "single_push", "ts": 1700000001.5}]}}  # fmt: skip
    assert reason(shelly, "x/events/rpc", button) == "no_values"
    status = {
        "id": 0, "source": "init", "output": False, "apower": 0.0, "voltage": 237.5,
        "temperature": {"tC": 21.0, "tF": 69.8},
    }  # fmt: skip
    decoded = read(shelly, "shelly1/status/switch:0", status)
    assert decoded.untimed
    assert values(decoded)["voltage_v"] == 237.5


def test_shelly_first_generation() -> None:
    """Gen1 devices send a bare number per topic; from common use, their reference was not at hand."""
    shelly = shipped("shelly")
    assert values(read(shelly, "shellies/em3/emeter/1/power", b"12.25")) == {"power_1": 12.25}
    assert values(read(shelly, "shellies/em3/emeter/0/pf", b"-0.93")) == {"pf_0": -0.93}


def test_azure_iot_hub() -> None:
    """Topic and body as descriptions of the quickstart's simulated device give them, not its own page."""
    azure = shipped("azure-iot-hub")
    topic = "devices/pump-3/messages/events/temperatureAlert=false&%24.ct=application%2Fjson"
    decoded = read(azure, topic, {"temperature": 26.75, "humidity": 63.5})
    assert decoded.untimed
    assert values(decoded) == {"temperature_c": 26.75, "humidity": 63.5}
    message = {
        "messageId": 7,
        "deviceId": "d",
        "temperature": 27.5,
        "humidity": 70.1,
        "pressure": 100.0,
    }
    decoded = read(azure, "devices/pump-3/messages/events/", message)
    assert decoded.readings[0].seq == 7
    assert values(decoded) == pytest.approx(
        {"temperature_c": 27.5, "humidity": 70.1, "pressure_bar": 6.89476}
    )


def test_io_link_json_integration() -> None:
    """Process data as public clients of IO-Link masters read them; the specification was not at hand."""
    io_link, topic = shipped("io-link"), "m1/iolink/v1/devices/master1port1/processdata/value"
    message = {"getData": {"ioLink": {"valid": True, "value": {
        "pressure": {"value": 3.75, "unit": "bar"}, "SSC1": {"value": True}}}, "cqValue": True}}  # fmt: skip
    decoded = read(io_link, topic, message)
    assert str(decoded.readings[0].asset) == "lyon/l1/m1-master1port1"
    assert values(decoded) == {"pressure_bar": 3.75, "valid": 1.0, "SSC1_value": 1.0}
    raw = router(signals={"t": {"path": "getData.ioLink.value", "binary": "i16", "scale": 0.1}})
    message["getData"]["ioLink"]["value"] = [255, 221]  # format=byteArray
    assert values(read(raw, "t/d", message)) == {"t": pytest.approx(-3.5)}


def test_io_link_ifm_notifications() -> None:
    """After the device manuals of ifm's IO-Link masters, "Service: subscribe", notification format JSON."""
    io_link = shipped("io-link")
    point = "/iolinkmaster/port[2]/iolinkdevice/pdin"
    event = {"code": "event", "cid": 4711, "adr": "", "data": {
        "eventno": "6317", "srcurl": "/timer[1]/counter/datachanged",
        "payload": {"/timer[1]/counter": {"code": 200, "data": 1}, point: {"code": 200, "data": "00E9FF"}},
    }}  # fmt: skip
    decoded = read(io_link, "ifm/m1/port2", event)
    assert values(decoded) == pytest.approx({"temperature_c": 23.3})
    assert decoded.readings[0].seq == 6317
    event["data"]["eventno"] = "x"
    assert reason(io_link, "ifm/m1/port2", event) == "seq"
    event["data"]["eventno"] = 6317
    event["data"]["payload"][point]["data"] = "0"
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

"""Sparkplug B as the specification's conversations go: births, aliases, gaps, deaths, every type."""

from __future__ import annotations

import math

import pytest
from google.protobuf import descriptor_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decode import Decoded, Limits
from ingest.payload import StampError
from ingest.sparkplug import REBIRTH, Sparkplug
from ingest.sparkplug_message import Payload
from plant.asset import AssetPath
from plant.errors import PayloadError
from simulator.sparkplug import EdgeNode

NOW = 1_763_800_000_000
LIMITS = Limits()


def payload(seq: int | None = None, metrics: tuple[dict, ...] = (), ts: int = NOW) -> bytes:
    message = Payload(timestamp=ts)
    if seq is not None:
        message.seq = seq
    for metric in metrics:
        message.metrics.add(**metric)
    return message.SerializeToString()


class Edge:
    """An edge node `press` of group `lyon` that counts its messages."""

    def __init__(self) -> None:
        self.sparkplug = Sparkplug(("+",))
        self.seq = -1

    def send(
        self, kind: str, *metrics: dict, seq: int | None = None, now: int = NOW, **options
    ) -> Decoded:
        self.seq = (self.seq + 1) % 256 if seq is None else seq
        device = "/drive" if kind.startswith("D") else ""
        number = None if kind == "NDEATH" else self.seq
        return self.sparkplug.decode(
            f"spBv1.0/lyon/{kind}/press{device}", payload(number, metrics, **options), now, LIMITS
        )

    def born(self, *metrics: dict, bd_seq: int = 0) -> Edge:
        self.send("NBIRTH", {"name": "bdSeq", "datatype": 8, "long_value": bd_seq}, seq=0)
        self.send("DBIRTH", *metrics)
        return self


SPEED = {"name": "Motor/Speed", "alias": 1, "datatype": 10, "double_value": 1500.0}
TEMPERATURE = {"name": "Temp", "alias": 2, "datatype": 9, "float_value": 20.5}


def values(decoded: Decoded) -> dict[str, float]:
    (reading,) = decoded.readings
    return dict(reading.values)


def test_births_are_readings_and_give_names_to_aliases() -> None:
    edge = Edge()
    assert (
        edge.send("NBIRTH", {"name": "bdSeq", "datatype": 8, "long_value": 3}, seq=0).readings == ()
    )
    born = edge.send("DBIRTH", SPEED, TEMPERATURE)
    assert str(born.readings[0].asset) == "lyon/press/drive"
    assert values(born) == {"Motor_Speed": 1500.0, "Temp": 20.5}
    data = edge.send("DDATA", {"alias": 1, "double_value": 1501.0, "timestamp": NOW - 7})
    assert values(data) == {"Motor_Speed": 1501.0}
    assert data.readings[0].ts_ms == NOW - 7
    assert not data.publish


@pytest.mark.parametrize(
    ("datatype", "field", "raw", "value"),
    [
        (1, "int_value", 0xFF, -1),
        (1, "int_value", 2**32 - 128, -128),  # some clients send the sign in 32 bits
        (2, "int_value", 0x8000, -32768),
        (3, "int_value", 2**32 - 1, -1),
        (3, "int_value", 7, 7),
        (4, "long_value", 2**64 - 5, -5),
        (5, "int_value", 255, 255),
        (6, "int_value", 65535, 65535),
        (7, "int_value", 2**32 - 1, 2**32 - 1),
        (7, "long_value", 2**32 - 1, 2**32 - 1),
        (8, "long_value", 2**53, 2**53),
        (9, "float_value", 0.5, 0.5),
        (10, "double_value", 0.1, 0.1),
        (11, "boolean_value", True, 1.0),
    ],
)
def test_every_numeric_type(datatype: int, field: str, raw: object, value: float) -> None:
    decoded = Edge().born().send("DBIRTH", {"name": "m", "datatype": datatype, field: raw})
    assert values(decoded) == {"m": value}


@pytest.mark.parametrize(
    "metric",
    [
        {"name": "m", "datatype": 12, "string_value": "on"},
        {"name": "m", "datatype": 13, "long_value": NOW},
        {"name": "m", "datatype": 17, "bytes_value": b"x"},
        {"name": "m", "datatype": 10, "is_null": True},
        {"name": "m", "datatype": 10, "double_value": 1.0, "is_transient": True},
        {"name": "Node Control/Rebirth", "datatype": 11, "boolean_value": False},
    ],
)
def test_what_is_no_measurement_is_left_out(metric: dict) -> None:
    decoded = Edge().born().send("DBIRTH", metric)
    assert decoded.readings == ()
    assert decoded.problem is None


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ({"name": "m", "datatype": 16, "dataset_value": {}}, "sparkplug_type"),
        ({"name": "m", "datatype": 19, "template_value": {}}, "sparkplug_type"),
        ({"name": "m", "datatype": 10, "double_value": math.nan}, "not_finite"),
        ({"name": "m", "datatype": 9, "float_value": math.inf}, "not_finite"),
        ({"name": "m", "datatype": 10, "double_value": 1.0, "timestamp": NOW + 10**7}, "ts_future"),
    ],
)
def test_bad_metrics_are_refused_and_good_ones_beside_them_kept(metric: dict, reason: str) -> None:
    decoded = Edge().born().send("DBIRTH", metric, SPEED)
    assert values(decoded) == {"Motor_Speed": 1500.0}
    assert decoded.problem is not None
    assert decoded.problem.reason == reason
    with pytest.raises(PayloadError) as caught:
        Edge().born().send("DBIRTH", metric)
    assert caught.value.reason == reason
    assert isinstance(caught.value, StampError) == (reason == "ts_future")


def test_historical_values_land_at_their_own_time() -> None:
    edge = Edge().born(SPEED)
    decoded = edge.send(
        "DDATA",
        {"alias": 1, "double_value": 1.0, "timestamp": NOW - 9_000, "is_historical": True},
        {"alias": 1, "double_value": 2.0, "timestamp": NOW - 8_000, "is_historical": True},
    )
    assert [(r.ts_ms - NOW, dict(r.values)) for r in decoded.readings] == [
        (-9_000, {"Motor_Speed": 1.0}),
        (-8_000, {"Motor_Speed": 2.0}),
    ]


def test_a_gap_asks_for_a_rebirth_and_keeps_the_data() -> None:
    edge = Edge().born(SPEED)
    decoded = edge.send("DDATA", {"alias": 1, "double_value": 5.0}, seq=9)
    assert values(decoded) == {"Motor_Speed": 5.0}
    ((topic, command),) = decoded.publish
    assert topic == "spBv1.0/lyon/NCMD/press"
    (metric,) = Payload.FromString(command).metrics
    assert (metric.name, metric.boolean_value) == (REBIRTH, True)
    assert edge.sparkplug.counts["gaps"] == 1
    # Not again for every message: the node needs a moment.
    assert not edge.send("DDATA", {"alias": 1, "double_value": 6.0}, seq=20).publish
    assert edge.send("DDATA", {"alias": 1, "double_value": 6.0}, seq=30, now=NOW + 20_000).publish


def test_the_sequence_goes_round() -> None:
    edge = Edge().born(SPEED)
    for _ in range(600):
        assert not edge.send("DDATA", {"alias": 1, "double_value": 6.0}).publish


def test_data_of_an_unknown_node_asks_for_its_births() -> None:
    edge = Edge()
    with pytest.raises(PayloadError) as caught:
        edge.send("DDATA", {"alias": 1, "double_value": 5.0}, seq=4)
    assert caught.value.reason == "sparkplug_no_birth"
    assert caught.value.publish[0][0] == "spBv1.0/lyon/NCMD/press"
    edge.born(SPEED)
    assert values(edge.send("DDATA", {"alias": 1, "double_value": 5.0})) == {"Motor_Speed": 5.0}


def test_a_rebirth_may_give_aliases_a_new_meaning() -> None:
    edge = Edge().born(SPEED)
    edge.born({**TEMPERATURE, "alias": 1})
    assert values(edge.send("DDATA", {"alias": 1, "float_value": 5.0})) == {"Temp": 5.0}


def test_deaths_make_machines_stale() -> None:
    edge = Edge().born(SPEED, bd_seq=7)
    (event,) = edge.send("DDEATH").events
    assert (str(event.asset), event.kind, event.detail["state"]) == (
        "lyon/press/drive",
        "system",
        "stale",
    )
    edge.send("DBIRTH", SPEED)
    late = edge.send("NDEATH", {"name": "bdSeq", "datatype": 8, "long_value": 6})
    assert late.events == ()  # of an earlier session
    events = edge.send("NDEATH", {"name": "bdSeq", "datatype": 8, "long_value": 7}).events
    assert [str(event.asset) for event in events] == ["lyon/press/press", "lyon/press/drive"]


def test_births_and_deaths_are_told_apart_within_a_millisecond() -> None:
    """After an outage they all come at once: the last of them must be the newest."""
    edge = Edge()
    edge.send("NBIRTH", seq=0)
    said = [event for kind in ("DBIRTH", "DDEATH", "DBIRTH") for event in edge.send(kind).events]
    assert [event.detail["state"] for event in said] == ["alive", "stale", "alive"]
    assert [event.ts_ms for event in said] == [NOW, NOW + 1, NOW + 2]
    assert edge.send("DDATA", seq=3).events == ()


SIMULATED = {"name": "Properties/simulated", "datatype": 11, "boolean_value": True}
RUN = {"name": "Properties/run_id", "datatype": 12, "string_value": "run-7"}


def marks(decoded: Decoded) -> tuple[bool, str]:
    (reading,) = decoded.readings
    return reading.simulated, reading.run_id


def test_simulated_and_run_id_travel_with_the_readings() -> None:
    edge = Edge()
    edge.send("NBIRTH", SIMULATED, RUN, seq=0)
    assert marks(edge.send("DBIRTH", SPEED)) == (True, "run-7")  # as the node says
    assert marks(edge.send("DDATA", {"alias": 1, "double_value": 2.0})) == (True, "run-7")
    other = {**RUN, "string_value": "run-8"}
    assert marks(edge.send("DBIRTH", SPEED, SIMULATED, other)) == (True, "run-8")
    assert marks(edge.send("DDATA", {"alias": 1, "double_value": 3.0})) == (True, "run-8")
    assert marks(Edge().born(SPEED).send("DDATA", {"alias": 1, "double_value": 3.0})) == (False, "")


def test_simulated_and_run_id_may_be_properties_of_a_metric() -> None:
    edge = Edge()
    edge.send("NBIRTH", seq=0)
    properties = {
        "keys": ["engUnit", "simulated", "run_id"],
        "values": [
            {"type": 12, "string_value": "rpm"},
            {"type": 11, "boolean_value": True},
            {"type": 12, "string_value": "run-9"},
        ],
    }
    assert marks(edge.send("DBIRTH", {**SPEED, "properties": properties})) == (True, "run-9")
    assert marks(edge.send("DDATA", {"alias": 1, "double_value": 2.0})) == (True, "run-9")


def test_what_the_simulator_plays_is_marked() -> None:
    node, sparkplug = EdgeNode("lyon", "l1", "run-3"), Sparkplug(("+",))
    births = [node.birth(NOW), *node.reading(AssetPath("lyon", "l1", "p1"), NOW, ["a"], [1.5])]
    decoded = [sparkplug.decode(topic, body, NOW, LIMITS) for topic, body in births]
    (reading,) = [reading for part in decoded for reading in part.readings]
    assert (str(reading.asset), reading.simulated, reading.run_id) == ("lyon/l1/p1", True, "run-3")


@pytest.mark.parametrize(
    ("topic", "body", "reason"),
    [
        ("spBv1.0/lyon/NCMD/press", b"", "sparkplug_topic"),
        ("spBv1.0/STATE/host", b"", "sparkplug_topic"),
        ("spBv1.0/lyon/NDATA/press/drive", b"", "sparkplug_topic"),
        ("spBv1.0/lyon/NBIRTH/press", b"\xff\xff\xff", "sparkplug"),
        ("spBv1.0/lyon/NBIRTH/press", b"x" * 300_000, "too_large"),
        ("spBv1.0/lyon/NBIRTH/..", b"", "asset_name"),
    ],
)
def test_refused_messages(topic: str, body: bytes, reason: str) -> None:
    with pytest.raises(PayloadError) as caught:
        Sparkplug(("+",)).decode(topic, body, NOW, LIMITS)
    assert caught.value.reason == reason


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=200), kind=st.sampled_from(["NBIRTH", "NDEATH", "NDATA"]))
def test_any_bytes_are_read_or_refused(body: bytes, kind: str) -> None:
    try:
        decoded = Sparkplug(("+",)).decode(f"spBv1.0/g/{kind}/e", body, NOW, LIMITS)
    except PayloadError:
        return
    assert all(math.isfinite(v) for r in decoded.readings for v in r.values.values())


def test_the_wire_format_is_the_specifications() -> None:
    """Field numbers as in the specification's own protobuf definition (Metric and Payload)."""
    file = descriptor_pb2.FileDescriptorProto()
    Payload.DESCRIPTOR.file.CopyToProto(file)
    numbers = {m.name: {f.name: f.number for f in m.field} for m in file.message_type}
    assert numbers["Payload"] == {"timestamp": 1, "metrics": 2, "seq": 3, "uuid": 4, "body": 5}
    assert numbers["Metric"]["is_null"] == 7
    assert numbers["Metric"]["int_value"] == 10
    assert numbers["Metric"]["template_value"] == 18
    # A payload as another implementation wrote it: timestamp 1, metric {name "a", Float 1.5}, seq 0.
    raw = bytes.fromhex("0801120a0a01612009 6500 00c03f 1800".replace(" ", ""))
    message = Payload.FromString(raw)
    assert (message.metrics[0].name, message.metrics[0].float_value, message.seq) == ("a", 1.5, 0)

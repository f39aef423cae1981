"""What a player says: JSON, Sparkplug B (read back by Google's protobuf), waveforms, truth."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from plant.asset import AssetPath
from plant.config import BearingSpec, parse_plant
from plant.times import DAY_MS, HOUR_MS
from simulator.faults.spec import Fault
from simulator.laws.bearing import defect_frequencies
from simulator.payload import telemetry_json
from simulator.plant import PlantSimulation, simulate
from simulator.player import Player
from simulator.presets import demo_plant_toml
from simulator.rng import keyed
from simulator.settings import SimulatorSettings
from simulator.traffic import Message
from simulator.truth import truth_table
from simulator.waveform import FS_HZ, synthesize

PLANT = parse_plant(demo_plant_toml(2))


def sparkplug_payload() -> Any:
    """Build the Payload class from the specification's field numbers."""
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug_b.proto", package="spb")
    file.syntax = "proto2"
    metric = file.message_type.add(name="Metric")
    kinds = descriptor_pb2.FieldDescriptorProto
    fields = [
        ("name", 1, kinds.TYPE_STRING), ("alias", 2, kinds.TYPE_UINT64),
        ("timestamp", 3, kinds.TYPE_UINT64), ("datatype", 4, kinds.TYPE_UINT32),
        ("is_null", 7, kinds.TYPE_BOOL), ("long_value", 11, kinds.TYPE_UINT64),
        ("double_value", 13, kinds.TYPE_DOUBLE), ("boolean_value", 14, kinds.TYPE_BOOL),
        ("string_value", 15, kinds.TYPE_STRING),
    ]  # fmt: skip
    for name, number, kind in fields:
        metric.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    payload = file.message_type.add(name="Payload")
    payload.field.add(
        name="timestamp", number=1, type=kinds.TYPE_UINT64, label=kinds.LABEL_OPTIONAL
    )
    payload.field.add(
        name="metrics", number=2, type=kinds.TYPE_MESSAGE, label=kinds.LABEL_REPEATED,
        type_name=".spb.Metric",
    )  # fmt: skip
    payload.field.add(name="seq", number=3, type=kinds.TYPE_UINT64, label=kinds.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("spb.Payload"))


def messages(**options: Any) -> list[Message]:
    settings = SimulatorSettings(interval_s=600, faults=options.pop("faults", ()))
    plant = PlantSimulation(PLANT, seed=4, settings=settings)
    return list(Player(plant, **options).messages(plant.start_ms + 3 * DAY_MS))


def test_sparkplug_carries_the_same_readings_to_the_last_bit() -> None:
    payload_class = sparkplug_payload()
    aliases: dict[tuple[str, str], dict[int, str]] = {}
    got: dict[AssetPath, list[tuple[int, dict[str, float]]]] = {}
    expected: dict[str, int] = {}
    for m in messages(form="sparkplug"):
        if m.kind == "event":
            continue
        _, group, kind, edge, *device = m.topic.split("/")
        body = payload_class.FromString(m.payload)
        assert body.seq == expected.get(edge, 0), m.topic
        expected[edge] = (body.seq + 1) % 256
        if kind == "NBIRTH":
            assert {x.name for x in body.metrics} >= {"bdSeq", "Node Control/Rebirth"}
        elif kind == "DBIRTH":
            signals = {x.alias: x.name for x in body.metrics if x.HasField("alias")}
            aliases[edge, device[0]] = signals
            assert all(x.is_null for x in body.metrics if x.HasField("alias"))
        else:
            assert kind == "DDATA"
            names = aliases[edge, device[0]]
            values = {names[x.alias]: x.double_value for x in body.metrics}
            got.setdefault(AssetPath(group, edge, device[0]), []).append((body.timestamp, values))
    for asset, frame in simulate(PLANT, seed=4, days=3, interval_s=600).frames.items():
        assert [ts for ts, _ in got[asset]] == frame.ts_ms.tolist()
        rows = np.array([[values[s] for s in frame.signals] for _, values in got[asset]])
        assert np.array_equal(rows, frame.values)
    used = [alias for (edge, _), names in aliases.items() for alias in names if edge == "l1"]
    assert len(used) == len(set(used))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9))
def test_json_gives_the_bits_back(row: list[float]) -> None:
    names = [f"s{i}" for i in range(len(row))]
    body = json.loads(telemetry_json(1, names, row, 7, "run"))
    assert list(body["values"].values()) == row
    assert body | {"values": 0} == {
        "ts": 1, "values": 0, "seq": 7, "simulated": True, "run_id": "run",
    }  # fmt: skip


def test_telemetry_topics_carry_no_truth() -> None:
    told = messages(truth=True)
    truth = [m for m in told if m.topic.startswith("vigie/truth/")]
    assert len(truth) >= 4 * 71
    assert set(json.loads(truth[0].payload)) == {"ts", "wear", "left_h", "up", "run_id"}
    for m in told:
        if not m.topic.startswith("vigie/truth/"):
            text = m.payload.decode()
            assert "wear_" not in text
            assert "left_h" not in text
            assert "cause" not in text
    assert len([m for m in told if m.kind == "reading"]) == 4 * 3 * 144


def test_a_true_failure_is_told_with_its_cause() -> None:
    strike = Fault(at="1d", what="asset.fail", where="lyon/l1/pump-1", how_much="BRD")
    told = messages(truth=True, faults=(strike,))
    bodies = [json.loads(m.payload) for m in told if m.topic.endswith("pump-1/event")]
    assert any(b.get("cause") == "script" and b["mode"] == "BRD" for b in bodies)


def test_waveforms_ring_at_the_defect_frequency() -> None:
    bearing = BearingSpec(balls=8, ball_mm=15.0, pitch_mm=65.0)
    bpfo = defect_frequencies(bearing, 1480 / 60).bpfo
    sizes = []
    for damage in (0.0, 0.8):
        x = synthesize(bearing, 1480.0, damage, keyed("wave"), n=16_384)
        lines = np.fft.rfft(x)
        lines[: int(2000 * len(x) / FS_HZ)] = 0.0  # keep the resonance, leave the shaft out
        envelope = np.abs(np.fft.irfft(lines))
        spectrum = np.abs(np.fft.rfft(envelope - envelope.mean()))
        hz = np.fft.rfftfreq(len(x), 1 / FS_HZ)
        near = (hz > bpfo * 0.97) & (hz < bpfo * 1.03)
        sizes.append(float(spectrum[near].max() / np.median(spectrum)))
    assert sizes[1] > 4 * sizes[0]
    assert np.abs(synthesize(bearing, float("nan"), 1.0, keyed("still"))).max() < 0.1
    waves = [m for m in messages(waveform_every_s=6 * 3600) if m.topic.endswith("acceleration_g")]
    assert len(waves) == 4 * 12
    body = json.loads(waves[0].payload)
    assert body["simulated"] is True
    assert len(body["waveform"]) == 4096


def test_the_truth_table_knows_the_next_failure() -> None:
    run = simulate(PLANT, seed=4, days=60, interval_s=3600)
    table = truth_table(run.live, run.start_ms, run.stop_ms, every_ms=6 * HOUR_MS)
    failure = next(e for e in run.truth if e.kind == "failure")
    rows = table[table.asset == str(failure.asset)]
    before = rows[rows.ts < pd.Timestamp(failure.ts_ms, unit="ms", tz="UTC")].iloc[-1]
    assert 0 < before.ttf_h <= 6
    assert before.next_mode == failure.mode
    assert before.next_cause == failure.cause
    assert table.filter(like="wear_").to_numpy().max() <= 1.0


@pytest.mark.parametrize("speed", [0.0, 200_000.0])
def test_the_virtual_clock_keeps_its_pace(speed: float, mosquitto: Any) -> None:
    import time

    from simulator.mqtt import Broker

    settings = SimulatorSettings(interval_s=600)
    plant = PlantSimulation(PLANT, seed=4, settings=settings)
    began = time.monotonic()
    player = Player(
        plant, Broker(port=mosquitto.port, mqtt5=True), speed=speed, form="sparkplug",
        client_prefix=f"pace-{speed:.0f}",
    )  # fmt: skip
    stats = player.run(plant.start_ms + 3 * HOUR_MS)
    assert stats.readings == 4 * 18
    if speed:
        assert time.monotonic() - began >= (3 * 3600 - 600) / speed


def test_vigie_reads_what_the_edge_nodes_say() -> None:
    from ingest.decode import Limits
    from ingest.sparkplug import Sparkplug

    reader = Sparkplug(("lyon",))
    rows: dict[AssetPath, list[list[float]]] = {}
    frames = simulate(PLANT, seed=4, days=3, interval_s=600).frames
    for m in messages(form="sparkplug"):
        if m.kind != "event":
            decoded = reader.decode(m.topic, m.payload, m.ts_ms, Limits())
            assert decoded.problem is None
            assert not decoded.publish  # it never has to ask for a rebirth
            for reading in decoded.readings:
                names = frames[reading.asset].signals
                rows.setdefault(reading.asset, []).append([reading.values[s] for s in names])
    for asset, frame in frames.items():
        assert np.array_equal(np.array(rows[asset]), frame.values)

"""Readings become risks, alarms and messages: a trained model on a fleet whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import orjson
import pytest

from features.regime import RegimeModel
from features.table import FeatureTable
from ingest.settings import BrokerSettings
from models.registry import Registry
from models.settings import ModelSettings
from models.train import train
from plant.asset import AssetPath
from plant.clock import ManualClock
from plant.config import Plant
from plant.errors import BrokerError
from plant.event import Event
from plant.reading import Reading
from plant.times import HOUR_MS
from serve.publisher import Publisher
from serve.service import Service
from serve.settings import ServeSettings
from store.sqlite import SqliteStore
from tests.models.fleet import PLANT, fleet
from tests.serve.mqtt import Listener
from tests.serve.test_schema import VALIDATOR
from tests.servers import Mosquitto, free_port

MODEL = ModelSettings(
    max_rounds=60, members=1, folds=3, bins=10, horizon_h=200.0, min_mode_failures=10, threads=1
)
STRANGER = AssetPath("s", "l", "new-one")


class ReplayedRows:
    """Stands where the feature job stands: the fleet's rows, as they would have been at a moment."""

    def __init__(self, table: FeatureTable) -> None:
        self._table = table
        self.regimes: Mapping[str, RegimeModel] = {}

    def tick(self, now_ms: int) -> FeatureTable:
        recent = (self._table.ts_ms <= now_ms) & (self._table.ts_ms > now_ms - 8 * HOUR_MS)
        return self._table.take(recent)

    def use_regimes(self, regimes: Mapping[str, RegimeModel]) -> None:
        self.regimes = regimes


class World:
    """A store, a model and a service over the fleet; `walk` lets hours pass."""

    def __init__(
        self, folder: Path, registry: Path, port: int, table: FeatureTable, events: list[Event]
    ):
        self.folder = folder
        self.clock = ManualClock(0)
        self.store = SqliteStore(folder / "store", self.clock)
        self.table, self.events = table, events
        self.rows = ReplayedRows(table)
        self.registry = Registry(registry)
        self.port = port
        self.settings = ServeSettings.model_validate({"publish": {"valid_min": 360}})
        self.told = -1
        self.service = self.start()

    def start(self, plant: Plant = PLANT) -> Service:
        broker = BrokerSettings(port=self.port, client_id=f"t{self.port}")
        return Service(
            self.store,
            self.rows,
            self.registry,
            Publisher(broker, self.folder / "outbox.sqlite"),
            plant,
            self.settings,
            self.clock,
            alarms_path=self.folder / "alarms.sqlite",
            model_settings=MODEL,
        )

    def walk(self, start_h: float, stop_h: float, step_h: float = 4.0) -> list[Any]:
        results = []
        for hour in np.arange(start_h, stop_h, step_h):
            now = round(hour * HOUR_MS)
            self.clock.advance_to(now)
            self.store.write_events([e for e in self.events if self.told < e.ts_ms <= now])
            self.told = now
            recent = self.rows.tick(now)
            self.store.write_readings(
                [
                    Reading(
                        AssetPath.parse(str(asset)), int(ts), {"heat": 1.0}, received_ms=int(ts)
                    )
                    for asset, ts in zip(recent.assets, recent.ts_ms, strict=True)
                ]
            )
            results.append(self.service.step(now))
        return results


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    table, events = fleet(machines=12, seed=1)
    bundle = train(table, events, PLANT, MODEL, now_ms=1)
    registry = Registry(folder)
    registry.add(bundle)
    registry.promote("pump", bundle.model_id, 1)
    return folder


@pytest.fixture
def plant() -> Plant:
    assets = [{"path": f"s/l/pump-{n:02d}", "kind": "pump"} for n in range(4)]
    return Plant.model_validate(
        PLANT.model_dump(by_alias=True, exclude={"assets"}) | {"assets": assets}
    )


@pytest.fixture
def world(tmp_path: Path, registry: Path, plant: Plant) -> Iterator[World]:
    table, events = fleet(machines=4, lives=2, seed=2)
    world = World(tmp_path, registry, free_port(), table, events)
    world.service = world.start(plant)
    yield world
    world.service.close()
    world.store.close()


def test_failures_are_alarmed_beforehand_and_repairs_close_the_alarm(world: World) -> None:
    world.walk(8, 700)
    failures = [e for e in world.events if e.kind == "failure" and e.ts_ms < 650 * HOUR_MS]
    alarms = world.store.read_events(0, 1 << 60, kinds=["alarm"])
    raised = [e for e in alarms if e.detail["action"] == "raise"]
    assert len(failures) >= 4
    for failure in failures:
        before = [
            e
            for e in raised
            if e.asset == failure.asset and 0 < failure.ts_ms - e.ts_ms < 120 * HOUR_MS
        ]
        assert before, f"{failure.asset} failed at {failure.ts_ms / HOUR_MS:.0f} h without an alarm"
    assert len(raised) <= 2 * len([e for e in world.events if e.kind == "failure"])
    repaired = [e for e in alarms if e.note == "repaired"]
    assert len(repaired) >= len(failures)
    assert all(e.who == "vigie" and e.note for e in alarms)
    assert world.service.desk.book.undelivered() == 0


def test_risks_are_stored_published_and_valid(world: World, mosquitto: Mosquitto) -> None:
    world.service.close()
    world.port = mosquitto.port
    world.service = world.start()
    world.service.publisher.start(wait_s=10)
    world.walk(8, 60)
    assert world.service.publisher.wait_idle(20)
    with Listener(mosquitto.port, "plant/s/l/#") as late:
        late.wait(lambda latest: "plant/s/l/risk" in latest)
        late.wait(lambda latest: len([t for t in latest if t.endswith("/alarm")]) == 4)
        for n in range(4):
            topic = f"plant/s/l/pump-{n:02d}/risk"
            message = orjson.loads(late.latest[topic])
            VALIDATOR.validate(message)
            assert message["status"] == "ok" or "age" in message["sentence"] or message["sentence"]
            p24 = message["p_fail"]["24h"] if message["p_fail"] else None
            assert orjson.loads(late.latest[f"{topic}/p_fail_24h"]) == p24
            assert late.latest[f"{topic}/state"].decode() in {
                "normal",
                "advisory",
                "warning",
                "critical",
            } | {message["status"]}
    stored = world.store.latest_risks()
    assert len(stored) == 4
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate({"schema": "vigie.risk.v1"})


def test_silence_becomes_stale_by_itself_and_says_since_when(world: World) -> None:
    world.walk(8, 40)
    assert {risk.status for risk in world.service.latest.values()} == {"ok"}
    silent_since = max(risk.ts_ms for risk in world.service.latest.values())
    world.rows = world.service._job = ReplayedRows(world.table.take(world.table.ts_ms < 0))  # type: ignore[assignment]
    world.walk(40, 60)
    for risk in world.service.latest.values():
        assert (risk.status, risk.p_fail) == ("stale", None)
        assert "No reading for" in risk.sentence
        assert risk.ts_ms > silent_since


def test_machines_that_are_not_configured_register_themselves(world: World) -> None:
    world.walk(8, 16)
    world.store.write_readings(
        [Reading(STRANGER, 16 * HOUR_MS, {"x": 1.0}, received_ms=16 * HOUR_MS)]
    )
    world.service.step(16 * HOUR_MS + 1)
    risk = world.service.latest[STRANGER]
    assert risk.status == "insufficient_data"
    (event,) = world.store.read_events(0, 1 << 60, asset=STRANGER, kinds=["system"])
    assert event.key == "registered"


def test_a_machine_out_of_service_is_not_judged(world: World) -> None:
    world.walk(8, 40)
    asset = AssetPath("s", "l", "pump-01")
    world.store.write_events([Event(asset, 38 * HOUR_MS, "maintenance", duration_h=10.0)])
    world.walk(40, 44)
    assert world.service.latest[asset].status == "maintenance"
    assert world.service.latest[asset].p_fail is None
    world.walk(52, 56)
    assert world.service.latest[asset].status == "ok"


def test_a_restart_goes_on_where_it_was_and_repeats_nothing(world: World, plant: Plant) -> None:
    world.walk(8, 300)
    before = world.store.read_events(0, 1 << 60, kinds=["alarm"])
    latest = dict(world.service.latest)
    world.service.close()
    world.service = world.start(plant)
    result = world.service.step(world.clock.now_ms())
    assert (result.risks, result.transitions) == ((), ())
    assert world.store.read_events(0, 1 << 60, kinds=["alarm"]) == before
    assert {a: r.ts_ms for a, r in world.service.latest.items()} == {
        a: r.ts_ms for a, r in latest.items()
    }


def test_a_damaged_model_is_said_in_the_risk(world: World, plant: Plant, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    kind = folder / "pump"
    kind.mkdir(parents=True)
    source = world.registry.directory / "pump"
    for file in source.rglob("*"):
        target = kind / file.relative_to(source)
        if file.is_dir():
            target.mkdir(exist_ok=True)
        else:
            target.write_bytes(file.read_bytes())
    (manifest,) = kind.glob("*/manifest.json")
    manifest.write_text("{}")
    world.service.close()
    world.registry = Registry(folder)
    world.service = world.start(plant)
    (result,) = world.walk(8, 12)
    assert {risk.status for risk in result.risks} == {"insufficient_data"}
    assert all("model" in risk.sentence for risk in result.risks)


def test_a_service_without_a_broker_closes_as_if_nothing_were(world: World, plant: Plant) -> None:
    world.service.close()
    world.service = world.start(plant)
    with pytest.raises(BrokerError, match="cannot be used"):
        world.service.publisher.start(wait_s=0.2)
    world.service.close()
    world.service.close()


def test_a_machine_whose_connection_ended_is_stale_at_once(world: World) -> None:
    results = world.walk(40, 60)
    asset = next(risk.asset for risk in results[-1].risks if risk.status == "ok")
    now = world.told

    def say(state: str, after_ms: int) -> str:
        when = now + after_ms
        event = Event(asset, when, "system", key=f"k-{state}", detail={"state": state})
        world.store.write_events([event])
        world.clock.advance_to(when)
        world.service.step(when)
        return world.service.latest[asset].status

    assert say("stale", 1_000) == "stale"
    assert "connection has ended" in world.service.latest[asset].sentence
    others = [risk.status for other, risk in world.service.latest.items() if other != asset]
    assert "ok" in others
    say("alive", 2_000)
    world.walk(now / HOUR_MS + 4, now / HOUR_MS + 8)
    assert world.service.latest[asset].status == "ok"


def test_people_ask_over_mqtt_and_are_answered(
    world: World, plant: Plant, mosquitto: Mosquitto
) -> None:
    world.service.close()
    world.port = mosquitto.port
    world.settings = ServeSettings.model_validate(
        {"publish": {"valid_min": 360, "discovery": True}, "alarms": {"raise_from": "advisory"}}
    )
    world.service = world.start(plant)
    service = world.service
    service.publisher.start(wait_s=10)
    hour = 8
    while not service.desk.book.open_alarms():
        world.walk(hour, hour + 4)
        hour += 4
    alarm = service.desk.book.open_alarms()[0]

    def ask(name: str, **fields: Any) -> dict[str, Any]:
        listener.latest.pop(f"vigie/bridge/response/{name}", None)
        listener.publish(f"vigie/bridge/request/{name}", orjson.dumps(fields))
        listener.wait(lambda latest: service.poll() or f"vigie/bridge/response/{name}" in latest)
        return dict(orjson.loads(listener.wait_for(f"vigie/bridge/response/{name}")))

    with Listener(mosquitto.port) as listener:
        topic = f"plant/{alarm.asset}/alarm"
        # What the outbox still holds of the hours before may come first.
        listener.wait(
            lambda latest: orjson.loads(latest.get(topic, b"{}")).get("state") == "unacknowledged"
        )
        risk = orjson.loads(listener.wait_for(f"plant/{alarm.asset}/risk"))
        assert risk["alarm_id"] == alarm.id
        response = ask("ack", alarm=alarm.id, who="Ada", transaction="t1")
        assert (response["status"], response["transaction"]) == ("ok", "t1")
        listener.wait(lambda latest: orjson.loads(latest[topic])["state"] == "acknowledged")
        (event,) = [
            e
            for e in world.store.read_events(0, 1 << 60, kinds=["alarm"])
            if e.detail["action"] == "acknowledge"
        ]
        assert event.who == "Ada"
        assert {a["asset"] for a in ask("assets")["data"]["assets"]} == {
            spec.path for spec in plant.assets
        }
        assert ask("rescore")["data"]["published"] == 4
        said = ask("feedback", alarm=alarm.id, verdict="wrong", who="Ada", note="loose sensor")
        assert said["data"] == {"alarm": alarm.id, "verdict": "wrong"}
        (event,) = world.store.read_events(0, 1 << 60, kinds=["feedback"])
        assert (event.found, event.who, event.note) == ("sound", "Ada", "loose sensor")
        assert "verdict" in ask("feedback", alarm=alarm.id, verdict="perhaps")["error"]
        assert "jobs" in ask("schedule")["data"]
        assert "jobs" in ask("schedule", replan=True)["data"]
        assert ask("schedule", sudo=1)["status"] == "error"
        listener.publish(f"{topic}/shelve", orjson.dumps({"hours": 2, "who": "Ada"}))
        listener.wait(lambda latest: service.poll() or b'"shelved"' in latest[topic])
        assert any(name.startswith("homeassistant/") for name in listener.latest)
        service.close()
        health = orjson.loads(listener.latest["vigie/bridge/health"])
        listener.wait_for("vigie/bridge/state", b"offline")
        assert health["status"] == "stopped"
    world.service = world.start(plant)

"""docs/topics.md says what is really published: each topic and field, no more and no less."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from plant.config import Plant
from plant.times import HOUR_MS
from serve.settings import ServeSettings
from tests.serve import test_service
from tests.serve.mqtt import Listener
from tests.serve.test_schema import VALIDATOR
from tests.serve.test_service import World
from tests.servers import Mosquitto

pytestmark = pytest.mark.mosquitto
plant, registry, world = test_service.plant, test_service.registry, test_service.world

DOC = (Path(__file__).parents[2] / "docs" / "topics.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^## `([^`]+)`\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
SECTIONS: dict[str, str] = dict(SECTION.findall(DOC))
_OPEN_KEYS = {
    "p_fail": "<n>h",
    "by_status": "<status>",
    "by_severity": "<severity>",
    "schemas": "<message>",
}


def fields_of(value: Any, path: str = "") -> Iterator[str]:
    """Yield the leaves of a message, as the tables name them; a null hides what is below it."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            name = _OPEN_KEYS.get(path.rsplit(".", 1)[-1], key)
            yield from fields_of(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        if any(isinstance(item, dict) for item in value):
            for item in value:
                yield from fields_of(item, f"{path}[]")
        elif value:
            yield f"{path}[]"
    elif value is not None or path.rsplit(".", maxsplit=1)[-1] not in {"p_fail", "window", "mode"}:
        yield path


def documented(section: str) -> set[str]:
    return set(
        re.findall(r"^\| `([^`]+)` \|", SECTIONS[section].split("| command |")[0], re.MULTILINE)
    )


def example(section: str) -> Any:
    (found,) = re.findall(r"```json\n(.*?)```", SECTIONS[section], re.DOTALL)
    return orjson.loads(found)


def section_of(topic: str) -> str:
    for section in SECTIONS:
        pattern = re.sub(r"<\w+>", "[^/]+", section)
        if re.fullmatch(pattern, topic):
            return section
    raise AssertionError(f"{topic} is not in docs/topics.md")


def below_null(path: str, fields: set[str]) -> bool:
    """Tell whether a null stands where the table lists what is below it."""
    return any(field.startswith(f"{path}.") for field in fields)


@pytest.fixture
def messages(world: World, plant: Plant, tmp_path: Path) -> Iterator[list[tuple[str, bytes]]]:
    """Everything published while a fleet wears out, alarms are handled, and people ask."""
    with Mosquitto(directory=tmp_path / "broker") as broker:
        world.service.close()
        world.port = broker.port
        world.settings = ServeSettings.model_validate(
            {
                "publish": {"valid_min": 360},
                "alarms": {"raise_from": "advisory", "off_delay_min": 240},
            }
        )
        world.service = world.start(plant)
        service = world.service
        service.publisher.start(wait_s=10)
        with Listener(broker.port) as listener:
            world.walk(8, 80)
            world.walk(80, 260, 8)
            alarm = service.desk.book.open_alarms()[0]
            service.desk.acknowledge(alarm.id, world.clock.now_ms(), "Ada", "")
            until = world.clock.now_ms() + 8 * HOUR_MS
            service.desk.shelve(alarm.id, until, world.clock.now_ms(), "Ada", "part ordered")
            world.walk(260, 264)
            for command in ("assets", "rescore", "schedule", "nonsense"):
                listener.publish(f"vigie/bridge/request/{command}", b"{}")
            listener.wait(
                lambda latest: service.poll() or sum("response" in topic for topic in latest) == 4
            )
            assert service.publisher.wait_idle(20)
            yield [(topic, payload) for topic, payload, _ in listener.heard]


def test_every_topic_and_field_is_documented_and_real(messages: list[tuple[str, bytes]]) -> None:
    seen: dict[str, set[str]] = {section: set() for section in SECTIONS}
    for topic, payload in messages:
        if topic.startswith("vigie/bridge/request/"):
            continue
        section = section_of(topic)
        text = section.endswith("/state")
        message = payload.decode() if text else orjson.loads(payload)
        seen[section].add("" if not isinstance(message, dict) else "{}")
        if not isinstance(message, dict):
            continue
        if section.endswith("/risk") and "<asset>" in section:
            VALIDATOR.validate(message)
        if "response" in section:
            message = dict.fromkeys(message)
        table = documented(section)
        for field in fields_of(message):
            assert field in table or below_null(field, table), (
                f"{section}: {field} is not documented"
            )
            seen[section].add(field)
    for section, fields in seen.items():
        assert fields, f"{section} was never published"
        missing = documented(section) - fields
        assert not missing, f"{section}: {missing} is documented, but was never published"


@pytest.mark.parametrize("section", [s for s in SECTIONS if "```json" in SECTIONS[s]])
def test_the_examples_are_like_the_real_thing(section: str) -> None:
    found = example(section)
    if not isinstance(found, dict):
        return
    if "response" in section:
        found = dict.fromkeys(found)
    table = documented(section)
    fields = set(fields_of(found))
    assert all(field in table or below_null(field, table) for field in fields)
    assert {f.split(".")[0].split("[")[0] for f in fields} == {
        f.split(".")[0].split("[")[0] for f in table
    }
    if found.get("schema") == "vigie.risk.v1":
        VALIDATOR.validate(found)


def test_every_command_is_documented(world: World) -> None:
    table = SECTIONS["vigie/bridge/response/<command>"].split("| command |")[1]
    commands = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert commands == set(world.service.bridge._handlers)

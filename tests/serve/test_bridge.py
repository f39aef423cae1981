"""Commands over MQTT: answered, carried out once, and nothing that is sent breaks anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.settings import BrokerSettings
from plant.risk import Risk
from plant.times import HOUR_MS, MINUTE_MS
from plant.topics import Topics
from serve.alarms.book import AlarmBook
from serve.alarms.desk import AlarmDesk
from serve.alarms.rules import Rules
from serve.bridge import Bridge
from serve.publisher import Publisher
from serve.settings import ServeSettings
from tests.serve.examples import PLANT, PUMP, T0, risk_at
from tests.serve.hostile import hostile_names
from tests.servers import free_port

NOW = T0 + 2 * HOUR_MS
REQUEST = "vigie/bridge/request"


def alarmed(desk: AlarmDesk, p: float = 0.5, mode: str = "BRD") -> str:
    """Raise an alarm on the pump and return its id."""
    rows: list[Risk] = [risk_at(T0 + i * 10 * MINUTE_MS, p, mode=mode) for i in range(1, 5)]
    for row in rows:
        desk.advance([row], row.ts_ms)
    (alarm,) = desk.book.open_alarms()
    return alarm.id


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[AlarmDesk]:
    book = AlarmBook(tmp_path / "alarms.sqlite")
    yield AlarmDesk(book, Rules(PLANT, ServeSettings()))
    book.close()


@pytest.fixture
def bridge(desk: AlarmDesk, tmp_path: Path) -> Bridge:
    publisher = Publisher(BrokerSettings(port=free_port()), tmp_path / "outbox.sqlite")
    return Bridge(
        desk, publisher, Topics(), lambda: NOW, {"echo": lambda fields: {"got": dict(fields)}}
    )


def ask(bridge: Bridge, topic: str, **fields: Any) -> dict[str, Any]:
    name, response = bridge.answer(topic, orjson.dumps(fields))
    assert set(response) == {"status", "data", "error", "transaction"}
    assert name == topic.rsplit("/", 1)[-1]
    return response


def test_an_alarm_is_acknowledged_by_request(bridge: Bridge, desk: AlarmDesk) -> None:
    alarm = alarmed(desk)
    response = ask(bridge, f"{REQUEST}/ack", alarm=alarm, who="Ada", why="on it", transaction=7)
    assert response == {
        "status": "ok",
        "data": {"alarms": [{"id": alarm, "state": "acknowledged"}]},
        "error": "",
        "transaction": 7,
    }
    (found,) = desk.book.open_alarms()
    assert (found.state, found.acknowledged_by, found.acknowledged_ms) == (
        "acknowledged",
        "Ada",
        NOW,
    )
    again = ask(bridge, f"{REQUEST}/ack", alarm=alarm, who="Bob")
    assert (again["status"], again["data"]) == ("ok", {"alarms": []})


def test_a_machine_s_own_topics_mean_its_alarms(bridge: Bridge, desk: AlarmDesk) -> None:
    alarm = alarmed(desk)
    assert ask(bridge, f"plant/{PUMP}/alarm/ack", who="Ada")["data"]["alarms"][0]["id"] == alarm
    response = ask(bridge, f"plant/{PUMP}/alarm/shelve", hours=8, who="Ada", why="part ordered")
    assert response["data"]["until"] == "2025-11-22T18:26:40Z"
    assert desk.book.open_alarms()[0].shown_state == "shelved"
    wrong = ask(bridge, "plant/lyon/l1/pump-4/alarm/ack", alarm=alarm)
    assert "belongs to lyon/l1/pump-3" in wrong["error"]
    response = ask(bridge, f"{REQUEST}/unshelve", alarm=alarm, who="Ada")
    assert response["data"]["alarms"] == [{"id": alarm, "state": "acknowledged"}]


@pytest.mark.parametrize(
    ("topic", "payload", "problem"),
    [
        (f"{REQUEST}/format_disk", b"{}", "not known"),
        (f"{REQUEST}/ack", b"{}", "no open alarm is meant"),
        (f"{REQUEST}/ack", b'{"alarm": "A123"}', "is not open"),
        (f"{REQUEST}/ack", b'{"alarm": 5}', "alarm:"),
        (f"{REQUEST}/ack", b'{"alarm": "A1", "sudo": true}', "sudo"),
        (f"{REQUEST}/ack", b"[1]", "not a JSON object"),
        (f"{REQUEST}/ack", b"\xff\xfe", "not JSON"),
        (f"{REQUEST}/ack", b'{"a":' * 5000, "not JSON"),
        (f"{REQUEST}/ack", b'{"alarm": NaN}', "not JSON"),
        (f"{REQUEST}/shelve", b'{"alarm": "A1"}', "needs an end"),
        (f"{REQUEST}/shelve", b'{"alarm": "A1", "hours": 1, "until": "x"}', "needs an end"),
        (f"{REQUEST}/shelve", b'{"alarm": "A1", "hours": -1}', "hours"),
        (f"{REQUEST}/shelve", b'{"alarm": "A1", "until": "tomorrow"}', "not an ISO 8601 time"),
        (f"{REQUEST}/log_level", b'{"level": "loud"}', "log level"),
        (f"{REQUEST}/echo", b'{"transaction": "' + b"x" * 2000 + b'"}', "transaction"),
        ("plant/lyon/l1/pump-3/alarm/ack", b"{}", "no open alarm is meant"),
        ("plant/lyon/l1/../alarm/ack", b"{}", "not a valid name"),
        ("plant/lyon/l1/pump-3/alarm/nuke", b"{}", "takes no commands"),
        ("elsewhere", b"{}", "takes no commands"),
    ],
)
def test_mistakes_are_answered(bridge: Bridge, topic: str, payload: bytes, problem: str) -> None:
    _, response = bridge.answer(topic, payload)
    assert response["status"] == "error"
    assert problem in response["error"]


def test_shelving_for_ever_is_refused(bridge: Bridge, desk: AlarmDesk) -> None:
    alarm = alarmed(desk)
    for fields in ({"hours": 1e300}, {"hours": 169}, {"until": "9999-12-31T00:00:00Z"}):
        response = ask(bridge, f"{REQUEST}/shelve", alarm=alarm, who="Ada", **fields)
        assert "cannot be shelved" in response["error"]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(["ack", "shelve", "unshelve", "log_level", "echo", "no"]),
    st.one_of(
        st.binary(max_size=50),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-10, 10)
            | st.floats(allow_nan=False)
            | st.text(max_size=9),
            lambda inner: st.dictionaries(
                st.sampled_from(["alarm", "who", "why", "hours", "until", "transaction", "level"]),
                inner,
            ),
            max_leaves=8,
        ).map(lambda value: orjson.dumps(value, default=str)),
    ),
)
def test_nothing_that_is_sent_raises(bridge: Bridge, name: str, payload: bytes) -> None:
    before = structlog.get_config()["wrapper_class"]
    _, response = bridge.answer(f"{REQUEST}/{name}", payload)
    structlog.configure(wrapper_class=before)
    assert response["status"] in {"ok", "error"}
    assert (response["status"] == "error") == bool(response["error"])
    orjson.dumps(response)


def test_who_and_why_are_one_short_line(bridge: Bridge, desk: AlarmDesk) -> None:
    alarm = alarmed(desk)
    ask(bridge, f"{REQUEST}/ack", alarm=alarm, who="A\r\nda\x00\x1b[31m\u202e", why="x" * 900)
    (found,) = desk.book.open_alarms()
    assert found.acknowledged_by == "A da [31m"
    with desk.book.change() as change:
        (event,) = [step.event() for step in change.transitions] or [None]
    assert event is None


def test_the_log_level_can_be_changed(bridge: Bridge) -> None:
    before = structlog.get_config()["wrapper_class"]
    try:
        assert ask(bridge, f"{REQUEST}/log_level", level="debug")["data"] == {"level": "debug"}
    finally:
        structlog.configure(wrapper_class=before)


def test_filters_are_what_docs_say() -> None:
    assert Bridge.filters(Topics("acme/plant")) == (
        "vigie/bridge/request/+",
        "acme/plant/+/+/+/alarm/ack",
        "acme/plant/+/+/+/alarm/shelve",
    )


@pytest.mark.parametrize("field", ["who", "why", "alarm", "transaction", "topic"])
def test_hostile_names_go_through_every_field(bridge: Bridge, desk: AlarmDesk, field: str) -> None:
    names = hostile_names()
    assert len(names) == 200
    alarm = alarmed(desk)
    for name in names:
        fields: dict[str, Any] = {"alarm": alarm, "who": "Ada"}
        topic = f"{REQUEST}/ack"
        if field == "topic":
            topic = f"plant/lyon/l1/{name}/alarm/ack"
        else:
            fields[field] = name
        _, response = bridge.answer(topic, orjson.dumps(fields))
        assert orjson.loads(orjson.dumps(response)) == response
        assert len(response["error"]) < 600
    (found,) = desk.book.open_alarms()
    assert found.acknowledged_by.isprintable()
    assert len(found.acknowledged_by) <= 200

"""Messages and what is worth sending."""

from __future__ import annotations

import re
from dataclasses import replace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant.asset import AssetPath
from plant.errors import DataError
from plant.risk import Driver, ModeRisk
from plant.times import HOUR_MS, MINUTE_MS
from plant.topics import Topics
from serve.alarms.state import Alarm
from serve.board import Board
from serve.discovery import discovery_items
from serve.messages import alarm_item, line_item, line_message, risk_items, state_of
from serve.settings import PublishSettings
from tests.serve.examples import PLANT, PUMP, T0, risk_at, risks
from tests.serve.hostile import hostile_names
from tests.serve.test_schema import VALIDATOR

OTHER = AssetPath("lyon", "l1", "pump-4")


def test_a_line_fails_when_any_machine_does() -> None:
    message = line_message("lyon/l1", [risk_at(T0, 0.5), risk_at(T0, 0.4, asset=OTHER)])
    assert message["p_fail"]["72h"] == pytest.approx(1 - 0.5 * 0.6)
    assert (message["status"], message["assets"], message["judged"]) == ("ok", 2, 2)
    assert message["worst"] is None
    topic, payload = line_item("lyon/l1", [risk_at(T0, 0.5)], Topics())
    assert topic == "plant/lyon/l1/risk"
    assert orjson.loads(payload)["line"] == "lyon/l1"


def test_a_line_says_who_is_worst_and_who_cannot_be_judged() -> None:
    bad = replace(risk_at(T0, 0.5), severity="warning")
    message = line_message("lyon/l1", [bad, risk_at(T0, None, asset=OTHER, status="stale")])
    assert (message["status"], message["severity"]) == ("partial", "warning")
    assert message["worst"] == str(PUMP)
    assert message["sentence"] == (
        "75 % likely that a machine of the line fails within 7 days; first pump-3;"
        " 1 of 2 machines cannot be judged."
    )
    blind = line_message("lyon/l1", [risk_at(T0, None, status="stale")])
    assert (blind["status"], blind["p_fail"]) == ("unknown", None)
    assert "None of the line's 1 machines" in blind["sentence"]


def test_the_mirrors_say_null_rather_than_zero() -> None:
    items = dict(risk_items(risk_at(T0, None, status="stale"), Topics("acme/plant")))
    assert items[f"acme/plant/{PUMP}/risk/p_fail_24h"] == b"null"
    assert items[f"acme/plant/{PUMP}/risk/state"] == b"stale"
    assert state_of(replace(risk_at(T0, 0.9), severity="critical")) == "critical"


def test_only_changes_are_told_and_the_rest_once_per_heartbeat() -> None:
    board = Board(PublishSettings())
    risk = risk_at(T0, 0.5)
    assert board.due([risk]) == [risk]
    same = replace(risk, ts_ms=T0 + 10 * MINUTE_MS, p_fail={24: 0.2501, 72: 0.5001, 168: 0.75})
    assert board.due([same]) == []
    assert len(board.due([replace(same, severity="warning")])) == 1
    assert len(board.due([replace(same, severity="warning", alarm_id="A1")])) == 1
    later = replace(same, severity="warning", alarm_id="A1", ts_ms=T0 + HOUR_MS)
    assert board.due([later]) == [later]


@settings(max_examples=40, deadline=None)
@given(st.lists(risks(), min_size=1, max_size=4))
def test_any_risks_make_a_line(found: list) -> None:  # type: ignore[type-arg]
    message = line_message("a/b", found)
    assert orjson.loads(orjson.dumps(message)) is not None
    for p in (message["p_fail"] or {}).values():
        assert -1e-12 <= p <= 1


@pytest.mark.parametrize("name", hostile_names())
def test_hostile_names_stay_inside_the_payload(name: str) -> None:
    """As a machine's name they are refused; as text they are text."""
    try:
        asset = AssetPath("lyon", "l1", name)
    except DataError:
        asset = PUMP
    risk = replace(
        risk_at(T0, 0.5, asset=asset),
        mode=ModeRisk("BRD", name, 0.5),
        drivers=(Driver("flow", "flow.6h.mean", 1.0, name, 0.1, "high"),),
        sentence=name,
        action=name,
        run_id=name,
    )
    alarm = Alarm(
        "A1", asset, "BRD", name, name, "acknowledged", "warning", T0, T0,
        sentence=name, acknowledged_ms=T0, acknowledged_by=name,
        shelved_until_ms=T0, shelved_by=name, shelve_reason=name, run_id=name,
    )  # fmt: skip
    items = [
        *risk_items(risk, Topics()),
        line_item("lyon/l1", [risk], Topics()),
        alarm_item(asset, [alarm], Topics()),
        *discovery_items(asset, PLANT, Topics(), "homeassistant"),
    ]
    for topic, payload in items:
        assert re.fullmatch(r"[A-Za-z0-9_./-]+", topic)
        assert "/../" not in topic
        if not topic.endswith("/state"):
            orjson.loads(payload)
    VALIDATOR.validate(orjson.loads(items[0][1]))
    shown = orjson.loads(items[4][1])["alarms"][0]
    assert (shown["label"], shown["acknowledged"]["by"]) == (name, name)

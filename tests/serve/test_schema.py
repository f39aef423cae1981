"""Every risk message obeys the published schema, and the schema is strict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from hypothesis import given, settings

from plant.risk import Risk, risk_from_dict, risk_to_dict
from plant.topics import Topics
from serve.assess import to_risk, without_assessment
from serve.messages import risk_items
from serve.settings import ServeSettings
from tests.serve.examples import PLANT, PUMP, T0, assessment, risks

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "risk.schema.json").read_text(encoding="utf-8")
)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@settings(max_examples=150, deadline=None)
@given(risks())
def test_any_risk_makes_a_valid_message_and_comes_back(risk: Risk) -> None:
    topic, payload = risk_items(risk, Topics())[0]
    message = orjson.loads(payload)
    VALIDATOR.validate(message)
    assert topic == f"plant/{risk.asset}/risk"
    assert risk_from_dict(message) == risk


def test_assessed_and_unassessed_machines_make_valid_messages() -> None:
    VALIDATOR.validate(risk_to_dict(to_risk(assessment(), PLANT, ServeSettings())))
    stale = without_assessment(PUMP, T0, "stale", PLANT, ServeSettings(), last_ms=1)
    VALIDATOR.validate(risk_to_dict(stale))


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "vigie.risk.v2"},
        {"asset": "../etc/passwd"},
        {"ts": "2026-11-22 10:00"},
        {"status": "fine"},
        {"severity": "red"},
        {"p_fail": None},
        {"window": None},
        {"p_fail": {}},
        {"p_fail": {"24h": 1.2}},
        {"p_fail": {"24": 0.2}},
        {"p_fail": {"24h": None}},
        {"window": {"p10": None, "p50": None, "p90": None}},
        {"mode": {"code": "", "label": "", "p": 0.1}},
        {"drivers": [{"signal": "x"}]},
        {"deviation": "2"},
        {"surplus": 1},
        {"simulated": 1},
    ],
)
def test_the_schema_refuses(change: dict[str, Any]) -> None:
    message = orjson.loads(
        orjson.dumps(risk_to_dict(to_risk(assessment(), PLANT, ServeSettings())))
    )
    VALIDATOR.validate(message)
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(message | change)


def test_every_key_is_required() -> None:
    message = orjson.loads(
        orjson.dumps(risk_to_dict(to_risk(assessment(), PLANT, ServeSettings())))
    )
    for key in message:
        with pytest.raises(jsonschema.ValidationError):
            VALIDATOR.validate({k: v for k, v in message.items() if k != key})

"""Home Assistant MQTT discovery: one device per machine, four entities each. Off by default. Pure.

Format: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery (per-component form, which
every version since 2021 reads).
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from plant.asset import AssetPath
from plant.config import Plant
from plant.risk import SEVERITIES, STATUSES
from plant.topics import BRIDGE_STATE, Topics

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


def discovery_items(
    asset: AssetPath, plant: Plant, topics: Topics, prefix: str
) -> list[tuple[str, bytes]]:
    """Return the retained configuration messages of one machine."""
    spec = plant.asset(asset)
    node = node_id(asset)
    device = {
        "identifiers": [node],
        "name": (spec.label if spec is not None and spec.label else str(asset)),
        "manufacturer": "Vigie",
        "model": plant.kind_of(asset),
        "suggested_area": asset.line_path,
    }
    risk, alarm = topics.risk(asset), topics.alarm(asset)
    states = list(
        dict.fromkeys([*SEVERITIES, *(s for s in STATUSES if s not in {"ok", "deviation_only"})])
    )
    entities: list[tuple[str, str, dict[str, Any]]] = [
        (
            "sensor",
            "p_fail_24h",
            {
                "name": "Failure within 24 h",
                "state_topic": risk,
                "unit_of_measurement": "%",
                "state_class": "measurement",
                "suggested_display_precision": 0,
                "value_template": "{{ (value_json.p_fail['24h'] * 100) | round(1)"
                " if value_json.p_fail and '24h' in value_json.p_fail else None }}",
                "json_attributes_topic": risk,
            },
        ),
        (
            "sensor",
            "state",
            {
                "name": "Condition",
                "state_topic": f"{risk}/state",
                "device_class": "enum",
                "options": states,
            },
        ),
        (
            "sensor",
            "expected",
            {
                "name": "Expected failure",
                "state_topic": risk,
                "device_class": "timestamp",
                "value_template": "{{ value_json.window.p50 if value_json.window else None }}",
            },
        ),
        (
            "binary_sensor",
            "alarm",
            {
                "name": "Alarm",
                "state_topic": alarm,
                "device_class": "problem",
                "value_template": "{{ 'ON' if value_json.state in"
                " ['unacknowledged', 'acknowledged'] else 'OFF' }}",
                "json_attributes_topic": alarm,
            },
        ),
    ]
    common = {
        "availability_topic": BRIDGE_STATE,
        "payload_available": "online",
        "payload_not_available": "offline",
        "device": device,
        "origin": {"name": "Vigie"},
    }
    return [
        (
            f"{prefix}/{component}/{node}/{name}/config",
            orjson.dumps({"unique_id": f"{node}_{name}", **config, **common}),
        )
        for component, name, config in entities
    ]


def node_id(asset: AssetPath) -> str:
    """Return an id Home Assistant accepts (A–Z a–z 0–9 _ -), different for different machines.

    A dot becomes `-2e`, a dash `-2d`, the segments are parted by `--`.
    """
    return "vigie_" + "--".join(
        _UNSAFE.sub(lambda found: f"-{ord(found[0]):02x}", part.replace("-", "-2d"))
        for part in (asset.site, asset.line, asset.asset)
    )

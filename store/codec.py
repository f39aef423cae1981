"""Events and risks as compact JSON bytes, the form both adapters keep them in."""

from __future__ import annotations

from typing import Any

import orjson

from plant.asset import AssetPath
from plant.errors import DataError, StoreError, VigieError
from plant.event import Event
from plant.risk import Risk, risk_from_dict, risk_to_dict

#: What identifies an event; a second one with the same key and another body is a conflict.
EventKey = tuple[str, int, str, str, str]


def event_key(event: Event) -> EventKey:
    """Return (asset, time, kind, mode, key)."""
    return (str(event.asset), event.ts_ms, event.kind, event.mode, event.key)


def encode_event(event: Event) -> bytes:
    """Write an event; fields at their defaults are left out. Raises DataError on what JSON cannot say."""
    body: dict[str, Any] = {"asset": str(event.asset), "ts_ms": event.ts_ms, "kind": event.kind}
    if event.mode:
        body["mode"] = event.mode
    if event.scope:
        body["scope"] = event.scope
    if event.planned is not None:
        body["planned"] = event.planned
    if event.found != "unknown":
        body["found"] = event.found
    if event.duration_h is not None:
        body["duration_h"] = float(event.duration_h)
    for name in ("note", "who", "key", "run_id"):
        if text := getattr(event, name):
            body[name] = text
    if event.detail:
        body["detail"] = dict(event.detail)
    if event.simulated:
        body["simulated"] = True
    return _dump(body, f"the event of {event.asset}")


def decode_event(body: bytes | str) -> Event:
    """Read what `encode_event` wrote. Raises StoreError when it is damaged."""
    try:
        fields = orjson.loads(body)
        fields["asset"] = AssetPath.parse(fields["asset"])
        fields["scope"] = tuple(fields.get("scope", ()))
        return Event(**fields)
    except (ValueError, TypeError, KeyError, VigieError) as error:
        raise StoreError(
            f"a stored event cannot be read ({error}).",
            fix="Restore the store from its backup, or remove the event at fault.",
        ) from error


def encode_risk(risk: Risk) -> bytes:
    """Write a risk with its curve. Raises DataError on what JSON cannot say."""
    body = risk_to_dict(risk)
    body["curve"] = risk.curve
    return _dump(body, f"the risk of {risk.asset}")


def decode_risk(body: bytes | str) -> Risk:
    """Read what `encode_risk` wrote. Raises StoreError when it is damaged."""
    try:
        message = orjson.loads(body)
        curve = tuple((float(hours), float(p)) for hours, p in message.pop("curve"))
        return risk_from_dict(message, curve)
    except (ValueError, TypeError, KeyError, AttributeError, VigieError) as error:
        raise StoreError(
            f"a stored risk cannot be read ({error}).",
            fix="Restore the store from its backup, or remove the risk at fault.",
        ) from error


def _dump(body: dict[str, Any], what: str) -> bytes:
    # NaN and infinity come back as null: JSON has no word for them.
    try:
        return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        raise DataError(
            f"{what} cannot be stored ({error}).", fix="Its fields must be JSON values."
        ) from error

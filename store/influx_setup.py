"""Making InfluxDB ready: the buckets with their retention rules, and a token that can do no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from plant.errors import StoreError
from store.influx_client import InfluxConnection, InfluxError
from store.settings import InfluxSettings, RetentionSettings

_HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class BucketReport:
    """What was done about one bucket. `keep_s` 0 means for ever."""

    name: str
    holds: str
    keep_s: int
    action: Literal["created", "changed", "kept"]


def wanted_buckets(
    settings: InfluxSettings, retention: RetentionSettings
) -> list[tuple[str, str, int]]:
    """Return (name, what it holds, seconds kept; 0 for ever) of each bucket.

    Events and risks share one: it keeps as long as the longer of the two, and what should go
    earlier is deleted by `vigie retention`.
    """
    longest = (
        None
        if retention.events_ms is None or retention.risks_ms is None
        else max(retention.events_ms, retention.risks_ms)
    )
    return [
        (settings.bucket, "events and risks", _seconds(longest)),
        (settings.rollup_bucket, "rollups", _seconds(retention.rollups_ms)),
        (settings.raw_bucket, "raw readings", _seconds(retention.readings_ms)),
    ]


def ensure_buckets(settings: InfluxSettings, retention: RetentionSettings) -> list[BucketReport]:
    """Create missing buckets and mend their retention; running it again changes nothing.

    Needs a token that may manage the organisation's buckets. Raises StoreError.
    """
    connection = InfluxConnection(settings)
    try:
        org_id = organisation_id(connection)
        reports = []
        for name, holds, keep_s in wanted_buckets(settings, retention):
            found = _find(connection, org_id, name)
            rules = [{"type": "expire", "everySeconds": keep_s}] if keep_s else []
            action: Literal["created", "changed", "kept"] = "kept"
            if found is None:
                body = {
                    "orgID": org_id,
                    "name": name,
                    "description": f"Vigie: {holds}",
                    "retentionRules": rules,
                }
                connection.api("POST", "/api/v2/buckets", body)
                action = "created"
            elif _kept_s(found) != keep_s:
                connection.api("PATCH", f"/api/v2/buckets/{found['id']}", {"retentionRules": rules})
                action = "changed"
            reports.append(BucketReport(name, holds, keep_s, action))
        return reports
    finally:
        connection.close()


def least_token(settings: InfluxSettings, description: str = "Vigie") -> str:
    """Create a token that may read and write Vigie's buckets and nothing else; return it.

    Raises StoreError, also when a bucket is missing.
    """
    connection = InfluxConnection(settings)
    try:
        org_id = organisation_id(connection)
        permissions = []
        for name in (settings.bucket, settings.rollup_bucket, settings.raw_bucket):
            found = _find(connection, org_id, name)
            if found is None:
                raise StoreError(
                    f"InfluxDB has no bucket {name!r}.", fix="Run `vigie init --store influx`."
                )
            permissions += [
                {
                    "action": action,
                    "resource": {"type": "buckets", "id": found["id"], "orgID": org_id},
                }
                for action in ("read", "write")
            ]
        body = {"orgID": org_id, "description": description, "permissions": permissions}
        return str(connection.api("POST", "/api/v2/authorizations", body)["token"])
    finally:
        connection.close()


def organisation_id(connection: InfluxConnection) -> str:
    """Return the id of the configured organisation. Raises StoreError."""
    org = connection.settings.org
    try:
        found = connection.api("GET", "/api/v2/orgs", query={"org": org}).get("orgs", [])
    except InfluxError as error:
        if error.refusal.status != 404:
            raise
        found = []
    if not found:
        raise StoreError(
            f"InfluxDB has no organisation {org!r}, or the token may not see it.",
            fix="Mend [store.influx] org, or use an operator token for `vigie init`.",
        )
    return str(found[0]["id"])


def _find(connection: InfluxConnection, org_id: str, name: str) -> dict[str, Any] | None:
    try:
        answer = connection.api("GET", "/api/v2/buckets", query={"orgID": org_id, "name": name})
    except InfluxError as error:
        if error.refusal.status != 404:
            raise
        return None
    buckets = answer.get("buckets", [])
    return buckets[0] if buckets else None


def _kept_s(bucket: dict[str, Any]) -> int:
    rules = bucket.get("retentionRules") or []
    return int(rules[0]["everySeconds"]) if rules else 0


def _seconds(keep_ms: int | None) -> int:
    """InfluxDB wants whole seconds, an hour at least."""
    return 0 if keep_ms is None else max(_HOUR_S, -(-keep_ms // 1000))

"""Which machines have readings in InfluxDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from plant.asset import AssetPath
from store.influx_client import InfluxConnection
from store.lines import RECEIVED, RUN, from_one_line, signal_name
from store.port import SeenAsset
from store.seen import Seen, merge_seen

_NS_PER_MS = 1_000_000


def seen_assets(connection: InfluxConnection, bucket: str) -> list[SeenAsset]:
    """Return every machine of the bucket in path order. Raises StoreError.

    First, last and count read one field (the time of receipt, which every reading has); which
    signals there are comes from the last value of each field.
    """
    tables: dict[str, dict[AssetPath, Seen]] = {}
    for what in ("first", "last", "count"):
        select = f'SELECT {what}("{RECEIVED}") AS "value" FROM "reading" GROUP BY *'  # noqa: S608 - our own names
        for tags, row in connection.tables(bucket, select):
            simulated = tags.get("simulated", "") == "true"
            table = tables.setdefault(str(simulated), {})
            asset = AssetPath(tags["site"], tags["line"], tags["asset"])
            seen = table.setdefault(asset, Seen(0, 0, 0, last_run=(0, simulated, "")))
            if what == "count":
                seen.readings = int(row["value"])
            elif what == "first":
                seen.first_ms = int(row["time"]) // _NS_PER_MS
            else:
                seen.last_ms = int(row["time"]) // _NS_PER_MS
    for tags, row in connection.tables(bucket, 'SELECT last(*) FROM "reading" GROUP BY *'):
        simulated = tags.get("simulated", "") == "true"
        asset = AssetPath(tags["site"], tags["line"], tags["asset"])
        known = tables.get(str(simulated), {}).get(asset)
        if known is not None:
            _take_fields(known, row)
    return merge_seen(tables.values())


def overlaid(counted: Sequence[SeenAsset], heard: Sequence[SeenAsset]) -> list[SeenAsset]:
    """Return what InfluxDB counted, brought up to date by what the journals hold of late.

    `readings` stays InfluxDB's count, so that it says what is really there; only a machine that
    InfluxDB has not heard of yet shows the journal's.
    """
    found = {seen.asset: seen for seen in counted}
    for late in heard:
        early = found.get(late.asset, late)
        newest = late if late.last_ms >= early.last_ms else early
        found[late.asset] = replace(
            newest,
            first_ms=min(early.first_ms, late.first_ms),
            readings=early.readings,
            signals=tuple(sorted({*early.signals, *late.signals})),
        )
    return [found[asset] for asset in sorted(found)]


def _take_fields(seen: Seen, row: dict[str, Any]) -> None:
    fields = {name.removeprefix("last_"): value for name, value in row.items() if name != "time"}
    seen.last_run = (0, seen.last_run[1], from_one_line(fields.pop(RUN, None) or ""))
    fields.pop(RECEIVED, None)
    seen.signals.update(signal_name(name) for name, value in fields.items() if value is not None)

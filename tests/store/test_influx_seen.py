"""InfluxDB counts, the journals know the latest."""

from __future__ import annotations

from plant.asset import AssetPath
from store.influx_seen import overlaid
from store.port import SeenAsset

OLD, NEW = AssetPath("lyon", "l1", "old"), AssetPath("lyon", "l1", "new")


def seen(asset: AssetPath, last_ms: int, readings: int, *signals: str) -> SeenAsset:
    return SeenAsset(asset, 10, last_ms, readings, signals, simulated=False, run_id="")


def test_an_old_count_is_brought_up_to_date_by_the_journals() -> None:
    counted = [seen(OLD, 100, 50, "flow")]
    # The journal may hold more of a machine than InfluxDB has yet: that does not count as stored.
    heard = [seen(NEW, 300, 1, "level"), seen(OLD, 200, 70, "flow", "speed")]
    assert overlaid(counted, heard) == [
        seen(NEW, 300, 1, "level"),
        seen(OLD, 200, 50, "flow", "speed"),
    ]


def test_a_journal_that_lags_changes_nothing() -> None:
    counted = [seen(OLD, 100, 50, "flow")]
    assert overlaid(counted, [seen(OLD, 90, 7, "flow")]) == counted

"""From settings to a store: the one place that knows which adapters there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from plant.clock import Clock
from store.port import Store
from store.settings import StoreSettings
from store.sqlite import SqliteStore

if TYPE_CHECKING:
    from store.forwarder import Forwarder


def open_store(settings: StoreSettings, data_dir: Path, clock: Clock) -> Store:
    """Open the configured store; the caller closes it. Raises StoreError or ConfigError."""
    if settings.kind == "sqlite":
        return SqliteStore(data_dir, clock)
    from store.influx import InfluxStore  # noqa: PLC0415 - the client takes a while to import

    return InfluxStore(settings.influx, data_dir, clock)


def open_forwarder(settings: StoreSettings, data_dir: Path, clock: Clock) -> Forwarder | None:
    """Return the forwarder from the journals to InfluxDB; None where SQLite is the store."""
    if settings.kind == "sqlite":
        return None
    from store.forwarder import Forwarder  # noqa: PLC0415 - the same

    return Forwarder(settings.influx, data_dir, clock)

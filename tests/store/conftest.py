"""Both adapters behind one fixture: an embedded store, and InfluxDB on a real influxd."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from plant.clock import ManualClock
from store.influx import InfluxStore
from store.influx_setup import ensure_buckets
from store.port import Store
from store.settings import InfluxSettings, RetentionSettings
from store.sqlite import SqliteStore
from tests.servers import Influxd

NOW_MS = 1_763_800_000_000
_number = itertools.count()
FOREVER = RetentionSettings(
    readings="forever", rollups="forever", risks="forever", events="forever"
)


def influx_settings(server: Influxd, **changes: object) -> InfluxSettings:
    """Settings with fresh buckets on the server."""
    settings = InfluxSettings.model_validate(
        {
            "url": server.url,
            "org": server.org,
            "token": server.token,
            "bucket": f"t{next(_number)}",
            "idle_s": 0.01,
        }
        | changes
    )
    ensure_buckets(settings, FOREVER)
    return settings


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_MS)


@pytest.fixture(params=["sqlite", pytest.param("influx", marks=pytest.mark.influxd)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_store(
    kind: str, tmp_path: Path, clock: ManualClock, request: pytest.FixtureRequest
) -> Iterator[Callable[[], Store]]:
    """Return a maker of empty stores: each call gives a new one."""
    opened: list[Store] = []

    def make() -> Store:
        directory = tmp_path / f"data{len(opened)}"
        if kind == "sqlite":
            opened.append(SqliteStore(directory, clock))
        else:
            server = request.getfixturevalue("influxd")
            opened.append(InfluxStore(influx_settings(server), directory, clock))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(make_store: Callable[[], Store]) -> Store:
    return make_store()

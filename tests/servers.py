"""Fixtures: the real servers, for a session or for one test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vigie.servers import (
    Influxd,
    Mosquitto,
    Server,
    ServerFailedError,
    ServerMissingError,
    find_program,
    free_port,
)

__all__ = [
    "Influxd",
    "Mosquitto",
    "Server",
    "ServerFailedError",
    "ServerMissingError",
    "find_program",
    "free_port",
]


def _started(server: type[Mosquitto] | type[Influxd], **options: Any) -> Any:
    try:
        return server(**options).start()
    except ServerMissingError as error:
        pytest.skip(f"SKIPPED FOR WANT OF A SERVER: {error}")


@pytest.fixture(scope="session")
def mosquitto() -> Iterator[Mosquitto]:
    """A Mosquitto for the whole session: use topics of your own and leave it running."""
    with _started(Mosquitto) as server:
        yield server


@pytest.fixture
def own_mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A persistent Mosquitto for one test, which may kill, freeze or restart it."""
    with _started(Mosquitto, directory=tmp_path / "mosquitto", persistent=True) as server:
        yield server


@pytest.fixture(scope="session")
def influxd() -> Iterator[Influxd]:
    """An influxd for the whole session: make a bucket of your own (`new_bucket`), leave it running."""
    with _started(Influxd) as server:
        yield server


@pytest.fixture
def own_influxd(tmp_path: Path) -> Iterator[Influxd]:
    """A durable influxd for one test, which may kill, freeze or restart it."""
    with _started(Influxd, directory=tmp_path / "influxd", durable=True) as server:
        yield server

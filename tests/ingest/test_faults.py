"""The faults of the benchmark, short and seeded: nothing acknowledged is lost, nothing doubled."""

from __future__ import annotations

import importlib

import pytest
from structlog.testing import capture_logs

from tests.servers import ServerMissingError

FAULTS = (
    "ingest_kill", "broker_kill", "freeze", "disk_full", "network", "callback_errors", "poison",
)  # fmt: skip


@pytest.mark.mosquitto
@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_and_nothing_doubled(fault: str) -> None:
    module = importlib.import_module(f"benchmarks.faults.{fault}")
    try:
        with capture_logs():
            figures = module.run(True, 7)
    except ServerMissingError as error:
        pytest.skip(f"SKIPPED FOR WANT OF A SERVER: {error}")
    assert figures["published"] > 0
    assert (figures["lost"], figures["duplicated"]) == (0, 0)

"""InfluxDB away while the plant goes on: the whole way, from a publisher to rows in InfluxDB."""

from __future__ import annotations

import pytest

from benchmarks.faults.influx_outage import run

pytestmark = [pytest.mark.influxd, pytest.mark.mosquitto]


def test_an_outage_costs_nothing(mosquitto: object, influxd: object) -> None:
    """The fixtures skip where a server is missing; the run starts its own."""
    figures = run(quick=True, seed=1, how="kill")
    assert figures["lost"] == figures["duplicated"] == 0
    assert figures["stored"] == figures["published"] > 1_000
    assert figures["waiting_when_back"] > 500

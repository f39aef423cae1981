"""The fixtures themselves: the servers are real, restartable and clean up."""

from __future__ import annotations

import socket

import pytest

from tests.servers import Influxd, Mosquitto, ServerMissingError, find_program


@pytest.mark.mosquitto
def test_mosquitto_survives_kill_freeze_and_restart(own_mosquitto: Mosquitto) -> None:
    port = own_mosquitto.port
    own_mosquitto.freeze()
    own_mosquitto.thaw()
    own_mosquitto.kill()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    own_mosquitto.start()
    assert own_mosquitto.port == port


@pytest.mark.influxd
def test_influxd_keeps_its_buckets_over_a_restart(own_influxd: Influxd) -> None:
    own_influxd.new_bucket("kept", retention_s=7200)
    own_influxd.restart()
    buckets = own_influxd.call("GET", "/api/v2/buckets")["buckets"]
    rules = {bucket["name"]: bucket["retentionRules"] for bucket in buckets}
    assert rules["kept"][0]["everySeconds"] == 7200
    assert own_influxd.call("GET", "/health")["version"]


def test_a_missing_program_names_its_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServerMissingError, match="make servers"):
        find_program("no-such-server", "VIGIE_NO_SUCH_SERVER")

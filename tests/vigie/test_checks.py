from __future__ import annotations

from pathlib import Path

import pytest

from plant.asset import AssetPath
from plant.clock import ManualClock
from plant.reading import Reading
from plant.times import HOUR_MS
from store.sqlite import SqliteStore
from vigie.checks import Finding, examine
from vigie.context import Context
from vigie.servers import Mosquitto, free_port

PUMP = AssetPath("lyon", "l1", "pump-1")


def findings(folder: Path, settings: str, now_ms: int = 0) -> dict[str, Finding]:
    file = folder / "vigie.toml"
    file.write_text(settings)
    context = Context(config_file=file, data_override=folder / "data", clock=ManualClock(now_ms))
    return {finding.check: finding for finding in examine(context)}


@pytest.mark.mosquitto
def test_a_new_plant_is_told_what_is_missing_and_fails_nowhere(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    found = findings(tmp_path, f"[broker]\nport = {mosquitto.port}\n")
    assert {f.check for f in found.values() if f.verdict == "fail"} == set()
    assert {"plant", "readings", "model"} <= {
        f.check for f in found.values() if f.verdict == "warn"
    }
    assert all(f.fix for f in found.values() if f.verdict != "ok")


def test_a_broker_that_is_not_there_fails_with_the_fix_and_hides_nothing_else(
    tmp_path: Path,
) -> None:
    found = findings(tmp_path, f"[broker]\nport = {free_port()}\nconnect_timeout_s = 1\n")
    assert found["broker"].verdict == "fail"
    assert found["broker"].fix
    assert found["store"].verdict == "ok"


def test_wrong_settings_are_the_only_finding(tmp_path: Path) -> None:
    assert list(findings(tmp_path, "[brokr]\n")) == ["settings"]


def test_a_silent_plant_and_an_open_secret_are_worth_a_look(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "data", ManualClock(0))
    store.write_readings([Reading(PUMP, 0, {"flow": 1.0})])
    store.close()
    secret = tmp_path / "password"
    secret.write_text("x")
    secret.chmod(0o644)
    settings = (
        f'[broker]\nport = {free_port()}\nconnect_timeout_s = 1\npassword_file = "{secret}"\n'
    )
    found = findings(tmp_path, settings, now_ms=5 * HOUR_MS)
    assert found["readings"].verdict == "warn"
    assert found["secrets"].verdict == "warn"

"""`vigie init` and `vigie retention`, as a person runs them."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from plant.asset import AssetPath
from plant.clock import SystemClock
from plant.reading import Reading
from plant.times import DAY_MS
from store.settings import TOKEN_VARIABLE
from store.sqlite import SqliteStore
from tests.servers import Influxd
from tests.store.conftest import influx_settings
from vigie.cli import main

PUMP = AssetPath("lyon", "l1", "pump-3")


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """The command line sends logs to this test's stderr, which does not outlive it."""
    yield
    structlog.reset_defaults()


def vigie(*arguments: str | Path) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_init_makes_the_files_of_the_embedded_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    assert vigie("--data", data, "init", "--store", "sqlite") == 0
    assert vigie("--data", data, "init", "--json") == 0
    assert (data / "store.db").exists()
    assert "sqlite" in capsys.readouterr().out


def test_init_refuses_an_unknown_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vigie("--data", tmp_path, "init", "--store", "mysql") == 2
    assert "sqlite or influx" in capsys.readouterr().err


@pytest.mark.influxd
def test_init_makes_buckets_and_a_small_token_that_is_enough(
    influxd: Influxd,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = influx_settings(influxd)
    config, token = tmp_path / "vigie.toml", tmp_path / "token"
    text = f"""
        data_dir = "{tmp_path / "data"}"
        [store]
        kind = "influx"
        [store.influx]
        url = "{influxd.url}"
        bucket = "{settings.bucket}"
        """
    config.write_text(text)
    monkeypatch.setenv(TOKEN_VARIABLE, influxd.token)
    assert vigie("-c", config, "init", "--write-token", token, "--json") == 0
    reports = lines(capsys)
    assert [report.get("action") for report in reports] == ["kept", "changed", "changed", None]
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    monkeypatch.delenv(TOKEN_VARIABLE)
    config.write_text(text + f'token_file = "{token}"\n')
    assert vigie("-c", config, "assets", "--json") == 0
    assert vigie("-c", config, "retention", "--json") == 0
    assert lines(capsys) == [{"readings": 0, "events": 0}]
    config.write_text(text + 'token = "wrong"\n')
    assert vigie("-c", config, "init") == 5
    error = capsys.readouterr().err
    assert "does not accept the token" in error
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1


def test_retention_removes_what_expired(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = SystemClock()
    store = SqliteStore(tmp_path, clock)
    now_ms = clock.now_ms()
    store.write_readings([Reading(PUMP, now_ms - d * DAY_MS, {"a": 1.0}) for d in (0, 80, 100)])
    store.close()
    assert vigie("--data", tmp_path, "retention", "--json") == 0
    assert lines(capsys) == [{"readings": 1, "events": 0, "rollups": 0, "risks": 0}]
    assert vigie("--data", tmp_path, "retention") == 0
    assert "readings 90d" in capsys.readouterr().out

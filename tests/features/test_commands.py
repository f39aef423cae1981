"""`vigie features` on a real embedded store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from features.table import FeatureTable
from plant.clock import ManualClock
from store.sqlite import SqliteStore
from tests.features.worlds import START, readings
from vigie.cli import main

PLANT_TOML = """
[sites.lyon.lines.l1]
[kinds.pump]
running_signal = "load"
running_above = 5.0
[kinds.pump.signals]
vibration = {unit = "mm/s"}
temperature = {unit = "°C"}
load = {unit = "kW", role = "operating"}
cycles = {role = "counter"}
[[assets]]
path = "lyon/l1/pump-1"
kind = "pump"
"""
TO = "2023-11-15T07:00:00Z"


@pytest.fixture
def vigie(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    (tmp_path / "plant.toml").write_text(PLANT_TOML, encoding="utf-8")
    store = SqliteStore(tmp_path / "data", ManualClock(START))
    store.write_readings(readings(1, 6))
    store.close()

    def run(*arguments: str) -> str:
        main(
            [
                "--plant", str(tmp_path / "plant.toml"), "--data", str(tmp_path / "data"),
                "features", *arguments,
            ]
        )  # fmt: skip
        return capsys.readouterr().out

    return run


def test_list_and_describe(vigie: Callable[..., str]) -> None:
    assert "vibration.24h.slope" in vigie("list")
    listed = json.loads(vigie("list", "--kind", "pump", "--json"))
    assert listed["fingerprint"]
    assert vigie("describe", "vibration.24h.slope") == (
        "vibration.24h.slope (mm/s/h): least-squares slope of vibration over the last 24h\n"
    )
    assert json.loads(vigie("describe", "vibration.24h.slope", "--json"))["unit"] == "mm/s/h"


def test_backfill_again_changes_nothing(vigie: Callable[..., str]) -> None:
    first = json.loads(vigie("backfill", "--to", TO, "--json"))
    assert first["assets"]["lyon/l1/pump-1"] > 30
    assert json.loads(vigie("backfill", "--to", TO, "--json")) == first


def test_tick_shows_the_newest_row(vigie: Callable[..., str]) -> None:
    row = json.loads(vigie("tick", "--json"))
    assert row["asset"] == "lyon/l1/pump-1"
    assert row["features"]["asset.silent.age"] > 24 * 365
    assert "sensor faults: none" in vigie("tick")


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_export_for_analysts(vigie: Callable[..., str], tmp_path: Path, suffix: str) -> None:
    out = tmp_path / "out" / f"rows.{suffix}"
    vigie("export", str(out), "--from", "2023-11-14", "--to", TO, "--learn")
    frame = pd.read_csv(out) if suffix == "csv" else FeatureTable.from_parquet(out).to_frame()
    assert len(frame) > 30
    assert frame["vibration.1h.mean"].between(0.5, 3).any()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("describe", "nonsense"), 3),
        (("list", "--kind", "nonsense"), 3),
        (("export", "rows.xls"), 3),
        (("backfill", "--from", "now", "--to", "-1d"), 3),
        (("backfill", "--asset", "lyon/l1/nobody"), 3),
    ],
)
def test_mistakes_get_one_sentence(
    vigie: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
) -> None:
    with pytest.raises(SystemExit) as stopped:
        vigie(*arguments)
    assert stopped.value.code == code
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("vigie: ")

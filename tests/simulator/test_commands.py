"""`vigie simulate`: every command on a small plant, and its complaints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from plant.config import parse_plant
from vigie.cli import main


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, int]:
    """Run `vigie …` as the shell does; return stdout and the exit code."""
    capsys.readouterr()
    try:
        main(list(arguments))
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    return capsys.readouterr().out, code


def test_plant_to_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out, code = call(
        capsys, "simulate", "plant", "--preset", "demo", "--days", "20", "--interval", "600",
        "--out", str(tmp_path), "--truth", "--json",
    )  # fmt: skip
    result = json.loads(out)
    assert code == 0
    assert result["readings"] == 16 * 20 * 144
    table = pd.read_parquet(tmp_path / "readings" / "lyon.l1.pump-3.parquet")
    assert len(table) == 20 * 144
    assert "flow_m3h" in table
    log = (tmp_path / "events.jsonl").read_text().splitlines()
    assert len(log) == result["events"]
    assert all(json.loads(line)["simulated"] for line in log)
    production = pd.read_csv(tmp_path / "production.csv")
    hours = production.filter(like="_h").sum(axis=1)
    assert hours.between(479, 481).all()
    truth = pd.read_parquet(tmp_path / "truth" / "wear.parquet")
    assert len(truth) == 16 * 480
    assert not list((tmp_path / "readings").glob("*truth*"))


def test_only_some_assets_and_a_store(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out, code = call(
        capsys, "--data", str(tmp_path), "simulate", "plant", "--preset", "demo", "--days", "2",
        "--interval", "600", "-a", "lyon/l1/pump-1", "-a", "lyon/l2/pump-2", "--to", "store", "--json",
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["readings"] == 2 * 2 * 144
    _, code = call(capsys, "simulate", "plant", "-a", "lyon/l1/pump-77", "--out", str(tmp_path))
    assert code == 3


def test_machine_over_mqtt(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, mosquitto: Any
) -> None:
    config = tmp_path / "vigie.toml"
    config.write_text(f"[broker]\nport = {mosquitto.port}\n")
    for form in ("json", "sparkplug"):
        out, code = call(
            capsys, "--config", str(config), "simulate", "machine", "fan", "-n", "2", "--days",
            "0.5", "--interval", "600", "--to", "mqtt", "--form", form, "--truth", "--json",
        )  # fmt: skip
        assert code == 0
        assert json.loads(out)["readings"] == 2 * 72


def test_settings_of_vigie_toml_hold(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config, plant = tmp_path / "vigie.toml", tmp_path / "plant.toml"
    config.write_text(
        "[simulator]\nseed = 5\nwear = 40.0\ninterval_s = 900.0\n"
        '[[simulator.faults]]\nat = "1d"\nwhat = "sensor.freeze"\nwhere = "lyon/l1/*/flow_m3h"\n'
    )
    call(capsys, "simulate", "plant", "--preset", "pump", "--write-plant", str(plant))
    out, code = call(
        capsys, "--config", str(config), "--plant", str(plant), "simulate", "plant", "--days", "9",
        "--out", str(tmp_path), "--json",
    )  # fmt: skip
    result = json.loads(out)
    assert code == 0
    assert result["readings"] == 9 * 96
    assert result["run_id"].startswith("sim-5-")
    table = pd.read_parquet(tmp_path / "readings" / "lyon.l1.pump-1.parquet")
    assert table["flow_m3h"].iloc[96:].nunique() == 1
    _, code = call(
        capsys, "--config", str(config), "simulate", "machine", "fan", "--days", "1", "--out",
        str(tmp_path),
    )  # fmt: skip
    assert code == 0


def test_scenarios(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out, _ = call(capsys, "simulate", "scenario", "list", "--json")
    names = [entry["name"] for entry in json.loads(out)]
    assert "outage" in names
    out, _ = call(capsys, "simulate", "scenario", "list")
    assert "outage" in out
    out, _ = call(capsys, "simulate", "scenario", "describe", "wrong-unit")
    assert "sensor.unit (psi)" in out
    out, _ = call(capsys, "simulate", "scenario", "describe", "wrong-unit", "--json")
    assert len(json.loads(out)["faults"]) == 3
    story = tmp_path / "mine.toml"
    story.write_text("name = 'mine'\nsentence = 'Mine.'\nplant = 'fan'\ndays = 2\n")
    out, code = call(
        capsys, "simulate", "scenario", "run", str(story), "--out", str(tmp_path / "o")
    )
    assert code == 0
    assert "readings" in out
    _, code = call(capsys, "simulate", "scenario", "run", "nope")
    assert code == 3


def test_plot_and_preset(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "new" / "fan.png"
    _, code = call(
        capsys, "simulate", "plot", "fan", "--days", "20", "--interval", "1800", "-o", str(picture)
    )
    assert code == 0
    assert picture.read_bytes()[:4] == b"\x89PNG"
    _, code = call(
        capsys, "simulate", "plot", "lyon/l1/pump-1", "--scenario", "wrong-unit", "-o", str(picture)
    )
    assert code == 0
    toml = tmp_path / "plant.toml"
    _, code = call(capsys, "simulate", "plant", "--preset", "mixed", "--write-plant", str(toml))
    assert code == 0
    assert len(parse_plant(toml.read_text()).assets) == 12


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("simulate", "machine", "teapot"), 3),
        (("simulate", "plot", "lyon/l1/nobody", "--preset", "demo"), 3),
        (("simulate", "plant", "--preset", "teapot"), 3),
        (("simulate", "scenario", "describe", "missing.toml"), 3),
        (("simulate", "plant", "--preset", "/missing/plant.toml"), 3),
    ],
)
def test_complaints_are_one_sentence(arguments: tuple[str, ...], code: int, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    error = capsys.readouterr().err
    assert stop.value.code == code
    assert error.startswith("vigie: ")
    assert "Traceback" not in error

"""What docs/simulator.md says works: the new kind of machine, and the tables name what there is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from plant.config import parse_plant
from plant.times import DAY_MS
from simulator.faults.spec import WHAT
from simulator.layout import LineLayout
from simulator.machine import Machine
from simulator.machines import KINDS
from simulator.plant import simulate
from simulator.presets import machine_plant_toml
from simulator.scenario import parse_scenario
from tests.simulator import test_machines

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_walk_through_makes_a_sound_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = blocks("python")
    assert len(code.splitlines()) < 120
    space: dict[str, object] = {"__name__": "press"}
    exec(compile(code, "press.py", "exec"), space)
    press = space["Press"]()  # type: ignore[operator]
    assert isinstance(press, Machine)
    monkeypatch.setitem(KINDS, "press", press)
    test_machines.test_the_tables_agree(press)
    test_machines.test_every_visible_mode_shows_in_its_signals_and_a_shock_in_none(press)
    test_machines.test_standing_still_is_quiet_and_in_range(press)
    test_machines.test_modes_compete_and_readings_stay_in_range(press)
    run = simulate(parse_plant(machine_plant_toml("press", 2)), seed=1, days=5)
    assert all(np.isfinite(frame.values).all() for frame in run.frames.values())
    assert run.stop_ms - run.start_ms == 5 * DAY_MS


def test_the_tables_name_everything_there_is() -> None:
    for kind, machine in KINDS.items():
        row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{kind}`"))
        for code in machine.modes:
            assert code in row
    for what in WHAT:
        assert f"`{what}`" in TEXT
    for law in Path("simulator/laws").glob("[a-z]*.py"):
        assert f"`{law.stem}`" in TEXT, law


def test_the_toml_examples_are_valid() -> None:
    line, scenario = blocks("toml")
    assert LineLayout.model_validate(tomllib.loads(line)).stages
    assert parse_scenario(scenario).faults

"""Invariants of every registered kind: a file added to simulator/machines is checked by itself."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from plant.config import parse_plant
from simulator.machine import Machine, Operation, State
from simulator.machines import KINDS, machine
from simulator.plant import simulate
from simulator.presets import machine_plant_toml
from simulator.rng import keyed
from simulator.unit import NUMBER_OF_TRAITS

ALL = [pytest.param(kind, id=name) for name, kind in sorted(KINDS.items())]
N = 4_000


def state(kind: Machine, **wear: float) -> State:
    damage = dict.fromkeys(kind.modes, 0.0) | wear
    noise = keyed(kind.name).standard_normal((len(kind.signals), N))
    return State(1.0, 0.9, 1.0, 20.0, damage, noise, np.zeros(NUMBER_OF_TRAITS))


@pytest.mark.parametrize("kind", ALL)
def test_the_tables_agree(kind: Machine) -> None:
    spec = parse_plant(machine_plant_toml(kind.name)).kinds[kind.name]
    assert spec == kind.kind_spec()
    assert sum(mode.visible for mode in kind.modes.values()) >= 3
    assert 3 <= len(kind.modes) <= 6
    assert kind.running_signal in kind.signals
    for code, mode in kind.modes.items():
        assert len(code) == 3
        assert code.isupper()
        assert set(mode.spec.signals) <= set(kind.signals)
        assert bool(mode.spec.signals) == mode.visible
        assert mode.stress(Operation(1.0, 1.0)) == pytest.approx(1.0, rel=0.7)
        assert mode.stress(Operation(1.0, 1.0)) >= mode.stress(Operation(1.0, 0.7))
    units = {signal.spec.unit for signal in kind.signals.values()}
    assert "" not in units


@pytest.mark.parametrize("kind", ALL)
def test_a_file_of_under_120_lines(kind: Machine) -> None:
    path = inspect.getsourcefile(type(kind))
    assert path is not None
    assert len(Path(path).read_text().splitlines()) < 120


@pytest.mark.parametrize("kind", ALL)
def test_every_visible_mode_shows_in_its_signals_and_a_shock_in_none(kind: Machine) -> None:
    names = list(kind.signals)
    healthy = kind.measure(state(kind))
    for code, mode in kind.modes.items():
        failed = kind.measure(state(kind, **{code: 1.0}))
        moved = {
            name: abs(bad.mean() - good.mean()) / good.std()
            for name, good, bad in zip(names, healthy, failed, strict=True)
        }
        if not mode.visible:
            assert max(moved.values()) == 0.0
        for name in mode.spec.signals:
            assert moved[name] > 2.0, (code, name)


@pytest.mark.parametrize("kind", ALL)
def test_standing_still_is_quiet_and_in_range(kind: Machine) -> None:
    still = replace(state(kind), speed=0.0, heat=0.0)
    for column, (name, signal) in zip(kind.measure(still), kind.signals.items(), strict=True):
        assert column.shape == (N,)
        assert np.isfinite(column).all()
        low, high = signal.spec.low, signal.spec.high
        assert low is None or column.min() >= low, name
        assert high is None or column.max() <= high, name
    running = names_value(kind, still)
    assert abs(running.mean()) < kind.running_above
    assert names_value(kind, state(kind)).min() > kind.running_above


def names_value(kind: Machine, s: State) -> np.ndarray:
    return kind.measure(s)[list(kind.signals).index(kind.running_signal)]


@pytest.mark.parametrize("kind", ALL)
def test_modes_compete_and_readings_stay_in_range(kind: Machine) -> None:
    plant = parse_plant(machine_plant_toml(kind.name, 8))
    history = simulate(plant, seed=2, days=150, interval_s=1800)
    failed = {e.mode for e in history.truth if e.kind == "failure"}
    assert len(failed) >= 3
    specs = machine(kind.name).signals
    for frame in history.frames.values():
        for column, name in zip(frame.values.T, frame.signals, strict=True):
            low, high = specs[name].spec.low, specs[name].spec.high
            assert low is None or column.min() >= low, name
            assert high is None or column.max() <= high, name

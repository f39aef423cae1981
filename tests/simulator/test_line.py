"""Two machines, one buffer: the line's throughput against the exact solution of the published model."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest

from plant.config import ModeSpec, SignalSpec, parse_plant
from plant.times import DAY_MS, HOUR_MS
from simulator.flow import Flow
from simulator.laws.weibull import shock
from simulator.layout import LineLayout, Product
from simulator.machine import Machine, Mode, Signal, State
from simulator.machines import KINDS
from simulator.plant import PlantSimulation
from simulator.presets import demo_plant_toml
from simulator.settings import MaintenanceSettings, SimulatorSettings
from simulator.wear import Array


def efficiency(p1: float, r1: float, p2: float, r2: float, buffer: float) -> float:
    """Return the throughput of the two-machine continuous-material line, both speeds 1.

    The model of S. B. Gershwin & I. C. Schick, "Continuous model of an unreliable two-stage material
    flow system with a finite interstage buffer" (MIT 1980), Gershwin 1994, ch. 3, and B. Tan & S. B.
    Gershwin, Int. J. Production Economics 120 (2009) 327-339, doi:10.1016/j.ijpe.2008.05.022:
    exponential times to failure (while working) and to repair. In the interior the densities are
    f10 = f01 = g, f11 = g (r1+r2)/(p1+p2), f00 = g (p1+p2)/(r1+r2), g' = lam g; at the ends
    p2 P(0;1,1) = g(0), r1 P(0;0,1) = (p1+p2) P(0;1,1), and the mirror image at the full buffer.
    """
    y, z = (r1 + r2) / (p1 + p2), (p1 + p2) / (r1 + r2)
    lam = -(p1 + r2) + p2 * y + r1 * z
    g_end = math.exp(lam * buffer)
    area = buffer if abs(lam * buffer) < 1e-9 else math.expm1(lam * buffer) / lam
    empty_11, full_11 = 1.0 / p2, g_end / p1
    empty_01, full_10 = (p1 + p2) / r1 * empty_11, (p1 + p2) / r2 * full_11
    total = area * (y + z + 2.0) + empty_11 + empty_01 + full_11 + full_10
    return (area * (y + 1.0) + empty_11 + full_11) / total


class Probe(Machine):
    """A machine that only fails and is repaired, memorylessly."""

    name = "probe"
    label = "memoryless machine"
    signals: ClassVar = {"speed": Signal(SignalSpec())}
    modes: ClassVar = {
        "UST": Mode(ModeSpec(label="stop", duration_h=1.0, unplanned_duration_h=1.0), shock(8.0))
    }
    running_signal = "speed"
    running_above = 0.5

    def measure(self, s: State) -> list[Array]:
        return [s.speed + 0.0 * s.noise[0]]


class Slow(Probe):
    name = "slow"
    modes: ClassVar = {
        "UST": Mode(ModeSpec(label="stop", duration_h=1.5, unplanned_duration_h=1.5), shock(15.0))
    }


@pytest.fixture
def two_machines(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(KINDS, "probe", Probe())
    monkeypatch.setitem(KINDS, "slow", Slow())
    return """
[sites.s.lines.l]
[kinds.probe]
[kinds.slow]
[[assets]]
path = "s/l/a"
kind = "probe"
[[assets]]
path = "s/l/b"
kind = "slow"
"""


def run(toml: str, buffer_h: float, hours: float, seed: int) -> PlantSimulation:
    layout = LineLayout(
        stages=(("a",), ("b",)), buffers_h=(buffer_h,), rate_per_h=100.0,
        products=(Product(name="p"),), changeover_h=0.0,
    )  # fmt: skip
    settings = SimulatorSettings(
        wear=1.0, lines={"s/l": layout},
        maintenance=MaintenanceSettings(
            inspect_every_d=0, preventive_every_d=0, induced=0, repair_quality=1.0, duration="exponential"
        ),
    )  # fmt: skip
    plant = PlantSimulation(parse_plant(toml), seed=seed, settings=settings)
    plant.advance(plant.start_ms + round(hours * HOUR_MS))
    return plant


def test_the_published_limits_of_the_exact_solution() -> None:
    # No buffer: 1/(1 + p1/r1 + p2/r2), J. A. Buzacott (1967); endless buffer: the worse machine alone.
    assert efficiency(0.1, 1.0, 0.05, 0.8, 0.0) == pytest.approx(1 / (1 + 0.1 + 0.05 / 0.8))
    assert efficiency(0.1, 1.0, 0.05, 0.8, 1e4) == pytest.approx(1 / 1.1, rel=1e-6)
    # The same machine twice: (2 + N r (1+I)) / (2 (1+2 I) + N r (1+I)^2) with I = p/r, the form of
    # Y. Dallery & S. B. Gershwin, Queueing Systems 12 (1992) 3-94, for equal machines.
    same = (2 + 3.0 * 1.1) / (2 * 1.2 + 3.0 * 1.21)
    assert efficiency(0.1, 1.0, 0.1, 1.0, 3.0) == pytest.approx(same)


@pytest.mark.parametrize("buffer_h", [0.0, 0.5, 2.0, 8.0])
def test_throughput_of_a_two_machine_line(two_machines: str, buffer_h: float) -> None:
    hours = 20_000.0
    plant = run(two_machines, buffer_h, hours, seed=1)
    made = plant.lines["s/l"].made / hours / 100.0
    exact = efficiency(1 / 8.0, 1.0, 1 / 15.0, 1 / 1.5, buffer_h)
    assert made == pytest.approx(exact, rel=0.02)


def test_a_stop_starves_and_blocks_its_neighbours(two_machines: str) -> None:
    plant = run(two_machines, 0.2, 2_000.0, seed=2)
    first, second = plant.lines["s/l"].places.values()
    assert first.hours["blocked"] > 10
    assert second.hours["starved"] > 10
    assert sum(first.hours.values()) == pytest.approx(2_000.0, rel=0.01)
    moments = [change.ts_ms for change in plant.lines["s/l"].log]
    assert moments == sorted(set(moments))


def test_material_is_conserved() -> None:
    rng = np.random.default_rng(3)
    flow = Flow(4, [5.0, 2.0, 9.0])
    entered = 0.0
    start = sum(flow.levels)
    for _ in range(2_000):
        flow.set_capacity(rng.choice([0.0, 1.0, 1.5], 4).tolist())
        assert all(rate >= 0 for rate in flow.rates)
        step = min(flow.hours_to_change(), float(rng.exponential(1.0)))
        entered += flow.rates[0] * step
        flow.advance(step)
        assert all(0 <= level <= cap for level, cap in zip(flow.levels, flow.buffers, strict=True))
    assert entered + start == pytest.approx(flow.made + sum(flow.levels))


def test_breaks_stop_the_line_and_changeovers_too() -> None:
    plant = PlantSimulation(parse_plant(demo_plant_toml(4)), seed=1)
    plant.advance(plant.start_ms + 21 * DAY_MS)
    line = plant.lines["lyon/l1"]
    line.update()
    hours = next(iter(line.places.values())).hours
    assert hours["break"] == pytest.approx(24.0, abs=8.0)
    assert hours["changeover"] > 2.0
    assert 0 < line.made < 21 * 24 * line.layout.rate_per_h
    assert {change.product for change in line.log} == {"light", "standard", "heavy"}

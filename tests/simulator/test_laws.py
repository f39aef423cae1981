"""Each law against a figure of its source."""

from __future__ import annotations

import math

import numpy as np
import pytest

from plant.config import BearingSpec
from simulator.laws import (
    archard,
    arrhenius,
    bearing,
    belt,
    gamma_process,
    hydraulics,
    imbalance,
    kijima,
    orifice,
    paris,
    taylor,
    weibull,
    wiener,
)
from simulator.rng import keyed
from simulator.wear import DrawPath, survivor

LAWS: dict[str, DrawPath] = {
    "spall": paris.spall(life_h=1000, shape=1.4, growth_h=120),
    "gamma": gamma_process.gamma_wear(life_h=500, cv=0.15, power=1.3),
    "late": gamma_process.late_wear(life_h=400, shape=1.5, growth_h=100),
    "wiener": wiener.wiener_wear(life_h=600, cv=0.25),
    "shock": weibull.shock(300),
}


def lives(law: DrawPath, n: int = 4_000) -> np.ndarray:
    rng = keyed("lives")
    return np.array([law(rng).life_h for _ in range(n)])


@pytest.mark.parametrize("name", sorted(LAWS))
def test_every_path_goes_from_new_to_failed(name: str) -> None:
    rng = keyed(name)
    for _ in range(200):
        path = LAWS[name](rng)
        assert path.hours[0] == 0.0
        assert (np.diff(path.hours) >= 0).all()
        assert path.damage[0] == 0.0
        assert path.damage[-1] == 1.0
        assert ((path.damage >= 0) & (path.damage <= 1)).all()
        if name != "wiener":
            assert (np.diff(path.damage) >= 0).all()


def test_paris_agrees_with_the_textbook_integral() -> None:
    # Growth from 1 mm to 10 mm at 100 MPa, C = 1e-12 (m, MPa sqrt m), m = 3, Y = 1, summed step by step.
    a = np.linspace(1e-3, 10e-3, 200_001)
    rate = 1e-12 * (100.0 * np.sqrt(np.pi * a)) ** 3
    summed = np.trapezoid(1.0 / rate, a)
    exact = paris.cycles(1e-3, 10e-3, c=1e-12, m=3.0, stress_mpa=100.0, y=1.0)
    assert exact == pytest.approx(summed, rel=1e-6)
    # m = 2 is the logarithmic case, and growth() runs through the same states.
    two = paris.cycles(1e-3, 10e-3, c=1e-12, m=2.0, stress_mpa=100.0, y=1.0)
    near = paris.cycles(1e-3, 10e-3, c=1e-12, m=2.0 + 1e-9, stress_mpa=100.0, y=1.0)
    assert two == pytest.approx(near, rel=1e-6)
    part = paris.cycles(1e-3, 4e-3, c=1e-12, m=3.0, stress_mpa=100.0, y=1.0)
    assert paris.growth(np.array([part / exact]), 0.1, 3.0)[0] == pytest.approx(0.4)
    assert paris.growth(np.array([0.5]), 0.01, 2.0)[0] == pytest.approx(0.1)


def test_paris_law_itself() -> None:
    # Twice the stress range at m = 3: an eighth of the life.
    one = paris.cycles(1e-3, 1e-2, c=1e-12, m=3.0, stress_mpa=50.0, y=1.0)
    two = paris.cycles(1e-3, 1e-2, c=1e-12, m=3.0, stress_mpa=100.0, y=1.0)
    assert one / two == pytest.approx(8.0)


def test_archard_table() -> None:
    # Mild steel on itself, k = 7e-3 (Archard & Hirst 1956): 10 N over 1 km at 1.5 GPa hardness.
    assert archard.worn_volume_m3(7e-3, 10.0, 1000.0, 1.5e9) == pytest.approx(4.667e-8, rel=1e-3)
    assert archard.stress(2.0, 1.5) == 3.0


def test_rated_life_of_a_bearing() -> None:
    # ISO 281: C/P = 10 at 1,000 rpm gives 16,667 h for a ball bearing; twice the load an eighth of it.
    assert bearing.l10_h(10.0, 1.0, 1000.0) == pytest.approx(16_666.7, rel=1e-5)
    assert bearing.stress(2.0, 1.0) == 8.0


def test_defect_frequencies_of_the_case_western_bearing() -> None:
    # SKF 6205-2RS, 9 balls of 7.94 mm on 39.04 mm: BPFO 3.5848, BPFI 5.4152, FTF 0.39828 x shaft
    # (Case Western Reserve University Bearing Data Center).
    f = bearing.defect_frequencies(BearingSpec(balls=9, ball_mm=7.94, pitch_mm=39.04), 1.0)
    assert f.bpfo == pytest.approx(3.5848, abs=2e-3)
    assert f.bpfi == pytest.approx(5.4152, abs=2e-3)
    assert f.ftf == pytest.approx(0.39828, abs=2e-4)
    assert f.bpfo + f.bpfi == pytest.approx(9.0)


def test_arrhenius_montsinger_and_grease() -> None:
    assert arrhenius.montsinger(98.0, 90.0) == 2.0
    assert arrhenius.montsinger(114.0, 90.0) == 8.0
    # 0.8 eV at room temperature about doubles every 8 deg C.
    assert arrhenius.arrhenius(28.0, 20.0, 0.8) == pytest.approx(2.3, abs=0.05)
    assert arrhenius.grease(100.0) == 4.0
    assert arrhenius.grease(40.0) == 1.0


def test_taylor_for_high_speed_steel() -> None:
    # n = 1/8 (Taylor 1907): a tool at twice the speed lasts 256 times shorter.
    assert taylor.life(30.0, 45.0, 1 / 8) / taylor.life(60.0, 45.0, 1 / 8) == pytest.approx(256.0)
    assert taylor.life(45.0, 45.0, 1 / 8) == 1.0
    assert taylor.stress(1.2, 0.25) == pytest.approx(1.2**4)


def test_imbalance_of_grade_g63() -> None:
    assert imbalance.permissible_um(6.3, 3000.0) == pytest.approx(20.05, abs=0.01)
    assert imbalance.force_n(1.0, 1e-3, 3000.0) == pytest.approx(98.7, abs=0.1)


def test_hydraulics() -> None:
    assert hydraulics.affinity(0.5) == (0.5, 0.25, 0.125)
    assert hydraulics.gap_leak(2.0) == 8.0
    # Open tank at 20 deg C, sea level: 10.1 m above boiling before losses (Gülich, ch. 6).
    assert hydraulics.npsh_available_m(101_325, 2_339, 0.0, 0.0) == pytest.approx(10.11, abs=0.02)
    clean = hydraulics.cake_dp_pa(1.8e-5, 0.02, 1e10, 0.0, 1e8)
    dusty = hydraulics.cake_dp_pa(1.8e-5, 0.02, 1e10, 0.1, 1e8)
    assert (clean, dusty) == (pytest.approx(36.0), pytest.approx(396.0))
    assert hydraulics.cavitation(0.0, 3.0, 0.35) == 0.0
    assert hydraulics.cavitation(1.0, 3.0, 0.35) > 0.5


def test_belt_and_orifice() -> None:
    # Eytelwein: half a turn at mu = 0.3 holds 2.57 times the slack side's tension.
    assert belt.grip_ratio(0.3, math.pi) == pytest.approx(2.566, abs=1e-3)
    assert float(np.asarray(belt.slip_pct(1.0, 1.0))) > 10 * float(
        np.asarray(belt.slip_pct(0.0, 1.0))
    )
    # 1 cm2 sharp edge at 1 bar in water: 0.61 * 1e-4 * sqrt(200) = 0.863 l/s.
    assert orifice.flow_m3_s(1e-4, 1e5, 1000.0) == pytest.approx(8.627e-4, rel=1e-3)


def test_gamma_process_moments() -> None:
    # van Noortwijk 2009, sec. 2: mean v(t)/u and variance v(t)/u^2, here mean 1 and variance cv^2.
    rng = keyed("moments")
    sums = np.array([gamma_process.increments(rng, 50, 0.02, 0.3).sum() for _ in range(4_000)])
    assert sums.mean() == pytest.approx(1.0, abs=0.02)
    assert sums.var() == pytest.approx(0.09, rel=0.1)
    assert np.median(lives(LAWS["gamma"])) == pytest.approx(500.0, rel=0.05)


def test_wiener_first_passage_is_inverse_gaussian() -> None:
    # Si et al. 2011: mean 1/mu, variance sigma^2/mu^3 (plus the overshoot of a grid).
    drawn = lives(wiener.wiener_wear(life_h=600, cv=0.25, spread=0.0, steps=400))
    assert drawn.mean() == pytest.approx(600.0, rel=0.03)
    assert drawn.std() == pytest.approx(600.0 * 0.25, rel=0.07)


def test_weibull_and_shock() -> None:
    rng = keyed("weibull")
    drawn = np.array([weibull.weibull(rng, 1000.0, 1.5) for _ in range(20_000)])
    assert (drawn < 1000.0).mean() == pytest.approx(1 - math.exp(-1), abs=0.01)
    shocks = lives(LAWS["shock"], 20_000)
    assert shocks.mean() == pytest.approx(300.0, rel=0.03)
    # Memoryless: having survived says nothing.
    assert (shocks[shocks > 300] - 300).mean() == pytest.approx(300.0, rel=0.05)


def test_kijima() -> None:
    assert kijima.virtual_age(100.0, 50.0, 0.0) == 0.0
    assert kijima.virtual_age(100.0, 50.0, 1.0) == 150.0
    assert kijima.virtual_age(100.0, 50.0, 0.4, kind=1) == 120.0
    # Type II with q = 0.5, equal runs x: the virtual age tends to x (fixed point of v = q (v + x)).
    age = 0.0
    for _ in range(60):
        age = kijima.virtual_age(age, 80.0, 0.5)
    assert age == pytest.approx(80.0)


def test_a_survivor_follows_the_conditional_law() -> None:
    law = LAWS["gamma"]
    all_lives = lives(law, 4_000)
    rng = keyed("survivors")
    got = np.array([survivor(law, rng, 450.0).life_h for _ in range(2_000)])
    assert got.min() > 450.0
    assert np.median(got) == pytest.approx(np.median(all_lives[all_lives > 450.0]), rel=0.04)
    assert survivor(law, rng, 1e9).life_h > 1e9

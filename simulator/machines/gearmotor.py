"""Induction motor with gearbox, 30 kW, 1,470 rpm, ratio 20.

Modes: BRD (motor bearing spall), VIB (coupling misalignment), OHE (winding insulation), NOI (gear teeth
wear for want of oil), UST (shock).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from plant.config import BearingSpec, ModeSpec, SignalSpec
from simulator.laws import archard, arrhenius, bearing
from simulator.laws.gamma_process import gamma_wear, late_wear
from simulator.laws.paris import spall
from simulator.laws.weibull import shock
from simulator.laws.wiener import wiener_wear
from simulator.machine import Machine, Mode, Operation, Signal, State
from simulator.wear import Array


def winding_c(o: Operation) -> float:
    """Return the winding's steady temperature: copper losses go with load squared."""
    return o.ambient_c + 25.0 + 60.0 * o.load * o.load


class Gearmotor(Machine):
    """BRD: envelope. VIB: vibration. OHE: insulation falls. NOI: gear mesh amplitude, oil temperature."""

    name = "gearmotor"
    label = "induction motor with gearbox"
    running_signal = "speed_rpm"
    running_above = 300.0
    warm_up_h = 1.2
    bearings: ClassVar = {"drive_end": BearingSpec(balls=9, ball_mm=12.7, pitch_mm=58.5)}
    signals: ClassVar = {
        "speed_rpm": Signal(SignalSpec(unit="rpm", low=-50, high=2000, role="operating"), 1),
        "torque_pct": Signal(SignalSpec(unit="%", low=-10, high=250, role="operating"), 1),
        "current_a": Signal(SignalSpec(unit="A", low=-5, high=200), 2),
        "winding_temp_c": Signal(SignalSpec(unit="degC", low=-40, high=220), 2),
        "oil_temp_c": Signal(SignalSpec(unit="degC", low=-40, high=180), 2),
        "vibration_rms": Signal(SignalSpec(unit="mm/s", low=0, high=80), 3),
        "envelope_g": Signal(SignalSpec(unit="g", low=0, high=50), 4),
        "gear_mesh_g": Signal(SignalSpec(unit="g", low=0, high=50), 4),
        "insulation_mohm": Signal(SignalSpec(unit="MOhm", low=0, high=2000), 1),
    }
    modes: ClassVar = {
        "BRD": Mode(
            ModeSpec(
                label="bearing wear", action="Replace the motor's drive-end bearing.",
                signals=("envelope_g", "vibration_rms"), duration_h=5, unplanned_duration_h=10,
                planned_cost=1500, unplanned_cost=9000, crew_size=2, parts={"bearing": 1},
            ),
            spall(life_h=22_000, shape=1.4, growth_h=2_600),
            lambda o: bearing.stress(o.load, o.speed),
        ),
        "VIB": Mode(
            ModeSpec(
                label="coupling misalignment", action="Align motor and gearbox by laser.",
                signals=("vibration_rms",), duration_h=3, unplanned_duration_h=7,
                planned_cost=600, unplanned_cost=5000,
            ),
            wiener_wear(life_h=20_000, cv=0.2),
            lambda o: o.speed * (0.5 + 0.5 * o.load),
        ),
        "OHE": Mode(
            ModeSpec(
                label="winding insulation", action="Rewind or replace the motor.",
                signals=("insulation_mohm", "winding_temp_c"), skill="electrician", duration_h=8,
                unplanned_duration_h=20, planned_cost=3500, unplanned_cost=14000, parts={"motor": 1},
            ),
            gamma_wear(life_h=11_000, cv=0.12),
            lambda o: arrhenius.montsinger(winding_c(o), 105.0),
        ),
        "NOI": Mode(
            ModeSpec(
                label="gear tooth wear", action="Replace the gear set and change the oil.",
                signals=("gear_mesh_g", "oil_temp_c"), duration_h=9, unplanned_duration_h=16,
                planned_cost=2800, unplanned_cost=11000, crew_size=2, parts={"gear_set": 1},
            ),
            late_wear(life_h=20_000, shape=1.5, growth_h=2_200, power=1.4),
            lambda o: archard.stress(o.load, o.speed),
        ),
        "UST": Mode(
            ModeSpec(
                label="trip by overload or power dip", action="Check, reset the breaker, restart.",
                skill="electrician", duration_h=1, unplanned_duration_h=2, planned_cost=200,
                unplanned_cost=2500,
            ),
            shock(80_000),
            visible=False,
        ),
    }  # fmt: skip

    def measure(self, s: State) -> list[Array]:
        """Return the columns in the order of `signals`."""
        z, n, on = s.trait, s.noise, s.speed
        copper = s.load * s.load * (1.0 + 0.25 * s.wear["OHE"])
        shake = (1.0 + 0.12 * z[0]) * (1.0 + 3.2 * s.wear["VIB"] + 1.2 * s.wear["BRD"])
        mesh = (0.6 + 0.05 * z[1]) * (0.4 + 0.6 * s.load) * (1.0 + 2.6 * s.wear["NOI"])
        insulation = (620.0 + 25.0 * z[2]) * (1.0 - 0.9 * s.wear["OHE"]) * (1.0 - 0.25 * s.heat)
        return [
            on * (1500.0 - 30.0 * s.load) + n[0] * 1.5,
            100.0 * on * s.load + n[1] * 0.8,
            (57.0 + z[3]) * on * (0.3 + 0.7 * s.load + 0.05 * s.wear["NOI"]) + n[2] * 0.4,
            s.ambient + s.heat * (25.0 + 60.0 * copper) + n[3] * 0.4,
            s.ambient + s.heat * (28.0 + 1.5 * z[4] + 16.0 * s.wear["NOI"]) + n[4] * 0.3,
            0.06 + np.abs(on * shake * (1.0 + 0.08 * n[5])),
            0.012 + np.abs(on * (0.18 + 1.8 * s.wear["BRD"]) * (1.0 + 0.12 * n[6])),
            0.01 + np.abs(on * mesh * (1.0 + 0.1 * n[7])),
            np.abs(insulation * (1.0 + 0.03 * n[8])),
        ]

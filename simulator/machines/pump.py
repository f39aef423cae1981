"""Centrifugal pump with motor, 45 kW, 1,480 rpm, 120 m3/h at 5.2 bar.

Modes after ISO 14224's three-letter codes: BRD (bearing spall), LOO (impeller wear), ELP (seal leak),
PLU (clogged strainer, cavitation), UST (trip by a shock nobody can foresee).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from plant.config import BearingSpec, ModeSpec, SignalSpec
from simulator.laws import archard, bearing, hydraulics
from simulator.laws.gamma_process import gamma_wear, late_wear
from simulator.laws.paris import spall
from simulator.laws.weibull import shock
from simulator.machine import Machine, Mode, Signal, State
from simulator.wear import Array


class Pump(Machine):
    """BRD: envelope, later vibration. LOO: flow, head. ELP: leakage. PLU: flow, then cavitation shakes it."""

    name = "pump"
    label = "centrifugal pump with motor"
    running_signal = "speed_rpm"
    running_above = 300.0
    warm_up_h = 0.7
    bearings: ClassVar = {"drive_end": BearingSpec(balls=8, ball_mm=15.0, pitch_mm=65.0)}  # 6309
    signals: ClassVar = {
        "speed_rpm": Signal(SignalSpec(unit="rpm", low=-50, high=2000, role="operating"), 1),
        "demand_pct": Signal(SignalSpec(unit="%", low=-5, high=130, role="operating"), 1),
        "flow_m3h": Signal(SignalSpec(unit="m3/h", low=-5, high=250), 2),
        "dp_bar": Signal(SignalSpec(unit="bar", low=-1, high=16), 3),
        "current_a": Signal(SignalSpec(unit="A", low=-5, high=200), 2),
        "vibration_rms": Signal(SignalSpec(unit="mm/s", low=0, high=80), 3),
        "envelope_g": Signal(SignalSpec(unit="g", low=0, high=50), 4),
        "bearing_temp_c": Signal(SignalSpec(unit="degC", low=-40, high=180), 2),
        "seal_leak_ml_h": Signal(SignalSpec(unit="mL/h", low=0, high=5000), 2),
    }
    modes: ClassVar = {
        "BRD": Mode(
            ModeSpec(
                label="bearing wear", action="Replace the drive-end bearing and align the coupling.",
                signals=("envelope_g", "vibration_rms", "bearing_temp_c"),
                skill="mechanic", duration_h=6, unplanned_duration_h=11, planned_cost=1800,
                unplanned_cost=9500, crew_size=2, parts={"bearing": 1},
            ),
            spall(life_h=20_000, shape=1.5, growth_h=2_600),
            lambda o: bearing.stress(o.load, o.speed),
        ),
        "LOO": Mode(
            ModeSpec(
                label="impeller wear", action="Replace the impeller and wear rings.",
                signals=("flow_m3h", "dp_bar", "current_a", "vibration_rms"),
                skill="mechanic", duration_h=8, unplanned_duration_h=14, planned_cost=2600,
                unplanned_cost=8000, crew_size=2, parts={"impeller": 1},
            ),
            gamma_wear(life_h=24_000, cv=0.1, power=1.6),
            lambda o: archard.stress(o.load, o.speed),
        ),
        "ELP": Mode(
            ModeSpec(
                label="seal leak", action="Replace the mechanical seal and flush the seal chamber.",
                signals=("seal_leak_ml_h",),
                skill="mechanic", duration_h=4, unplanned_duration_h=8, planned_cost=1200,
                unplanned_cost=7000, parts={"seal": 1},
            ),
            late_wear(life_h=17_000, shape=1.3, growth_h=1_400),
            lambda o: archard.stress(o.load, o.speed),
        ),
        "PLU": Mode(
            ModeSpec(
                label="clogged strainer with cavitation", action="Clean the suction strainer and vent.",
                signals=("flow_m3h", "dp_bar", "vibration_rms", "envelope_g"),
                skill="operator", duration_h=2, unplanned_duration_h=5, planned_cost=250,
                unplanned_cost=4000,
            ),
            late_wear(life_h=17_000, shape=1.8, growth_h=2_000, power=1.3),
            lambda o: o.load * o.speed,
        ),
        "UST": Mode(
            ModeSpec(
                label="trip by foreign body or power dip", action="Check, free the rotor, restart.",
                skill="operator", duration_h=2, unplanned_duration_h=3, planned_cost=300,
                unplanned_cost=3000,
            ),
            shock(70_000),
            visible=False,
        ),
    }  # fmt: skip

    def measure(self, s: State) -> list[Array]:
        """Return the columns in the order of `signals`."""
        z, n, on = s.trait, s.noise, s.speed
        cav = hydraulics.cavitation(s.wear["PLU"], margin_m=3.0 + 0.3 * z[0], loss_clean_m=0.35)
        on2 = on * on
        flow = on * s.load * (1.0 - 0.16 * s.wear["LOO"] - 0.10 * s.wear["PLU"] - 0.10 * cav)
        head = on2 * (1.28 - 0.20 * s.wear["LOO"] - 0.07 * cav) - 0.28 * flow * flow
        power = on * (0.42 * on2 + 0.58 * flow * head)
        shake = 1.0 + 1.6 * s.wear["BRD"] + 0.5 * s.wear["LOO"] + 1.3 * cav
        shake = (1.2 + 0.15 * z[1]) * on2 * (0.75 + 0.25 * s.load) * shake
        spall = on2 * (0.22 + 1.9 * s.wear["BRD"] + 0.25 * cav) * (1.0 + 0.08 * z[2])
        rise = s.heat * (34.0 + 2.0 * z[3] + 24.0 * s.wear["BRD"])
        leak = hydraulics.gap_leak(1.0 + 2.3 * s.wear["ELP"]) * (0.35 + 0.65 * on)
        return [
            1480.0 * on + n[0] * 2.5,
            100.0 * on * s.load + n[1] * 0.3,
            (120.0 + 1.5 * z[4]) * flow + n[2] * (0.1 + 1.1 * on),
            5.2 * head + n[3] * (0.01 + 0.035 * on),
            (78.0 + 1.5 * z[5]) * power + n[4] * (0.2 + 0.7 * on),
            0.08 + np.abs(shake * (1.0 + 0.09 * n[5])),
            0.015 + np.abs(spall * (1.0 + 0.12 * n[6])),
            s.ambient + rise + n[7] * 0.35,
            (4.0 + 0.4 * z[6]) * leak * np.abs(1.0 + 0.12 * n[8]),
        ]

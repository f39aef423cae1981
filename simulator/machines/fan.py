"""Centrifugal extraction fan, 22 kW, 1,450 rpm, belt-driven, 9 m3/s at 1.6 kPa.

Modes: VIB (fouling puts it out of balance), BRD (bearing spall), PLU (filter clogs), LOO (drive belt
worn, slips), UST (shock).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from plant.config import BearingSpec, ModeSpec, SignalSpec
from simulator.laws import archard, bearing, belt
from simulator.laws.gamma_process import gamma_wear
from simulator.laws.paris import spall
from simulator.laws.weibull import shock
from simulator.machine import Machine, Mode, Signal, State
from simulator.wear import Array


class Fan(Machine):
    """VIB: vibration with speed squared. BRD: envelope. PLU: filter pressure drop. LOO: slip and flow."""

    name = "fan"
    label = "extraction fan"
    running_signal = "speed_rpm"
    running_above = 300.0
    warm_up_h = 0.5
    bearings: ClassVar = {"drive_side": BearingSpec(balls=10, ball_mm=14.3, pitch_mm=70.0)}
    signals: ClassVar = {
        "speed_rpm": Signal(SignalSpec(unit="rpm", low=-50, high=2000, role="operating"), 1),
        "damper_pct": Signal(SignalSpec(unit="%", low=-10, high=130, role="operating"), 1),
        "flow_m3s": Signal(SignalSpec(unit="m3/s", low=-1, high=25), 3),
        "filter_dp_pa": Signal(SignalSpec(unit="Pa", low=-20, high=2500), 1),
        "current_a": Signal(SignalSpec(unit="A", low=-5, high=100), 2),
        "vibration_rms": Signal(SignalSpec(unit="mm/s", low=0, high=80), 3),
        "envelope_g": Signal(SignalSpec(unit="g", low=0, high=50), 4),
        "bearing_temp_c": Signal(SignalSpec(unit="degC", low=-40, high=180), 2),
    }
    modes: ClassVar = {
        "VIB": Mode(
            ModeSpec(
                label="imbalance by fouling", action="Clean the wheel and balance it in place.",
                signals=("vibration_rms",), duration_h=3, unplanned_duration_h=7, planned_cost=500,
                unplanned_cost=5000,
            ),
            gamma_wear(life_h=17_000, cv=0.25, power=1.2),
            lambda o: o.speed * o.load,
        ),
        "BRD": Mode(
            ModeSpec(
                label="bearing wear", action="Replace the drive-side bearing.",
                signals=("envelope_g", "vibration_rms", "bearing_temp_c"), duration_h=5,
                unplanned_duration_h=10, planned_cost=1100, unplanned_cost=7000, crew_size=2,
                parts={"bearing": 1},
            ),
            spall(life_h=22_000, shape=1.4, growth_h=2_600),
            lambda o: bearing.stress(0.6 + 0.4 * o.load, o.speed),
        ),
        "PLU": Mode(
            ModeSpec(
                label="clogged filter", action="Change the filter bags.",
                signals=("filter_dp_pa", "flow_m3s"), skill="operator", duration_h=2,
                unplanned_duration_h=4, planned_cost=350, unplanned_cost=3000, parts={"filter": 1},
            ),
            gamma_wear(life_h=16_000, cv=0.12),
            lambda o: o.speed * o.load,
        ),
        "LOO": Mode(
            ModeSpec(
                label="drive belt wear", action="Replace and tension the drive belts.",
                signals=("speed_rpm", "flow_m3s"), duration_h=2, unplanned_duration_h=5,
                planned_cost=250, unplanned_cost=3000, parts={"drive_belt": 1},
            ),
            gamma_wear(life_h=21_000, cv=0.15, power=1.5),
            lambda o: archard.stress(o.load, o.speed),
        ),
        "UST": Mode(
            ModeSpec(
                label="trip by power dip", action="Check, restart.", skill="electrician",
                duration_h=1, unplanned_duration_h=2, planned_cost=150, unplanned_cost=2000,
            ),
            shock(80_000),
            visible=False,
        ),
    }  # fmt: skip

    def measure(self, s: State) -> list[Array]:
        """Return the columns in the order of `signals`."""
        z, n = s.trait, s.noise
        turns = s.speed * (1.0 - 0.01 * belt.slip_pct(0.9 * s.wear["LOO"], 0.4 + 0.5 * s.load))
        air = turns * s.load * (1.0 - 0.16 * s.wear["PLU"])
        shake = turns * turns * (1.3 + 0.15 * z[0]) * (1.0 + 3.6 * s.wear["VIB"] + s.wear["BRD"])
        return [
            1450.0 * turns + n[0] * 2.0,
            100.0 * s.speed * s.load + n[1] * 0.3,
            (9.0 + 0.1 * z[1]) * air + n[2] * (0.01 + 0.09 * s.speed),
            air * (180.0 + 8.0 * z[2] + 850.0 * s.wear["PLU"]) + n[3] * (1.0 + 9.0 * s.speed),
            (39.0 + 0.5 * z[3]) * s.speed * (0.35 + 0.65 * air) + n[4] * 0.3,
            0.05 + np.abs(shake * (1.0 + 0.1 * n[5])),
            0.012 + np.abs(turns * (0.16 + 1.7 * s.wear["BRD"]) * (1.0 + 0.12 * n[6])),
            s.ambient + s.heat * (20.0 + 1.5 * z[4] + 22.0 * s.wear["BRD"]) + n[7] * 0.35,
        ]

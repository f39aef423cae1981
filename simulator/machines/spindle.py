"""CNC milling spindle, 18 kW, 12,000 rpm.

Modes: PDE (tool worn to the limit of ISO 3685), BRD (spindle bearing spall), VIB (tool holder out of
balance), OHE (oil-air lubrication lost), UST (tool breaks).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from plant.config import BearingSpec, ModeSpec, SignalSpec
from simulator.laws import arrhenius, bearing, taylor
from simulator.laws.gamma_process import gamma_wear, late_wear
from simulator.laws.paris import spall
from simulator.laws.weibull import shock
from simulator.laws.wiener import wiener_wear
from simulator.machine import Machine, Mode, Signal, State
from simulator.wear import Array


class Spindle(Machine):
    """PDE: cutting power, acoustic emission, roughness. BRD: envelope. VIB: vibration. OHE: temperature."""

    name = "spindle"
    label = "CNC spindle"
    running_signal = "speed_rpm"
    running_above = 500.0
    warm_up_h = 0.4
    bearings: ClassVar = {
        "front": BearingSpec(balls=16, ball_mm=9.5, pitch_mm=82.5, contact_deg=15.0)
    }
    signals: ClassVar = {
        "speed_rpm": Signal(SignalSpec(unit="rpm", low=-100, high=15000, role="operating"), 0),
        "feed_pct": Signal(SignalSpec(unit="%", low=-10, high=250, role="operating"), 1),
        "power_kw": Signal(SignalSpec(unit="kW", low=-1, high=40), 3),
        "acoustic_v": Signal(SignalSpec(unit="V", low=0, high=10), 4),
        "roughness_um": Signal(SignalSpec(unit="um", low=0, high=20), 3),
        "vibration_rms": Signal(SignalSpec(unit="mm/s", low=0, high=80), 3),
        "envelope_g": Signal(SignalSpec(unit="g", low=0, high=50), 4),
        "front_temp_c": Signal(SignalSpec(unit="degC", low=-40, high=150), 2),
    }
    modes: ClassVar = {
        "PDE": Mode(
            ModeSpec(
                label="tool wear", action="Change the tool and measure its offset.",
                signals=("power_kw", "acoustic_v", "roughness_um"), skill="operator", duration_h=0.5,
                unplanned_duration_h=2, planned_cost=120, unplanned_cost=1500, parts={"tool": 1},
            ),
            gamma_wear(life_h=6_000, cv=0.15, power=1.2),
            lambda o: taylor.stress(o.load),
        ),
        "BRD": Mode(
            ModeSpec(
                label="spindle bearing wear", action="Replace the spindle cartridge.",
                signals=("envelope_g", "vibration_rms"), duration_h=8, unplanned_duration_h=24,
                planned_cost=9000, unplanned_cost=26000, crew_size=2, parts={"cartridge": 1},
            ),
            spall(life_h=24_000, shape=1.4, growth_h=2_600),
            lambda o: bearing.stress(o.load, o.speed),
        ),
        "VIB": Mode(
            ModeSpec(
                label="tool holder out of balance", action="Balance or replace the tool holder.",
                signals=("vibration_rms",), duration_h=1, unplanned_duration_h=3, planned_cost=200,
                unplanned_cost=2500,
            ),
            wiener_wear(life_h=18_000, cv=0.25),
            lambda o: o.speed,
        ),
        "OHE": Mode(
            ModeSpec(
                label="lubrication loss", action="Clean the oil-air nozzles, renew the dosing valve.",
                signals=("front_temp_c",), duration_h=2, unplanned_duration_h=6, planned_cost=500,
                unplanned_cost=8000, parts={"dosing_valve": 1},
            ),
            late_wear(life_h=20_000, shape=1.5, growth_h=1_500),
            lambda o: arrhenius.grease(o.ambient_c + 22.0 + 30.0 * o.load * o.load),
        ),
        "UST": Mode(
            ModeSpec(
                label="tool breakage", action="Clear the chips, change tool and workpiece.",
                skill="operator", duration_h=1, unplanned_duration_h=2, planned_cost=150,
                unplanned_cost=1800,
            ),
            shock(50_000),
            visible=False,
        ),
    }  # fmt: skip

    def measure(self, s: State) -> list[Array]:
        """Return the columns in the order of `signals`."""
        z, n, on = s.trait, s.noise, s.speed
        tool = s.wear["PDE"]
        cut = on * s.load
        shake = on * on * (0.55 + 0.06 * z[0]) * (1.0 + 3.5 * s.wear["VIB"] + 1.5 * s.wear["BRD"])
        heat = 22.0 + 1.2 * z[1] + 26.0 * s.wear["OHE"] + 8.0 * s.wear["BRD"]
        return [
            12_000.0 * on + n[0] * 3.0,
            100.0 * cut + n[1] * 0.5,
            1.1 * on + (9.5 + 0.2 * z[2]) * cut * (1.0 + 0.32 * tool) + n[2] * 0.25 * on,
            0.05 + np.abs(cut * (0.8 + 0.05 * z[3]) * (1.0 + 1.1 * tool) * (1.0 + 0.1 * n[3])),
            0.3 + np.abs((0.7 + 0.9 * tool + 0.5 * s.wear["VIB"]) * (1.0 + 0.08 * n[4])),
            0.04 + np.abs(shake * (1.0 + 0.1 * n[5])),
            0.01 + np.abs(on * (0.2 + 1.8 * s.wear["BRD"]) * (1.0 + 0.12 * n[6])),
            s.ambient + s.heat * heat + n[7] * 0.25,
        ]

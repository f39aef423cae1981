"""Oil-injected screw compressor, 75 kW, 13 m3/min at 7.5 bar.

Modes: PLU (intake filter clogs), INL (non-return valve leaks), BRD (bearing spall), OHE (oil degraded),
UST (shock).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from plant.config import BearingSpec, ModeSpec, SignalSpec
from simulator.laws import arrhenius, bearing
from simulator.laws.gamma_process import gamma_wear, late_wear
from simulator.laws.paris import spall
from simulator.laws.weibull import shock
from simulator.machine import Machine, Mode, Signal, State
from simulator.wear import Array


class Compressor(Machine):
    """PLU: filter pressure drop (Darcy). INL: delivery falls (orifice). BRD: envelope. OHE: outlet heat."""

    name = "compressor"
    label = "screw compressor"
    running_signal = "speed_rpm"
    running_above = 300.0
    warm_up_h = 0.5
    bearings: ClassVar = {"male_rotor": BearingSpec(balls=13, ball_mm=14.0, pitch_mm=95.0)}
    signals: ClassVar = {
        "speed_rpm": Signal(SignalSpec(unit="rpm", low=-50, high=4000, role="operating"), 1),
        "load_pct": Signal(SignalSpec(unit="%", low=-10, high=130, role="operating"), 1),
        "delivery_m3min": Signal(SignalSpec(unit="m3/min", low=-1, high=30), 3),
        "pressure_bar": Signal(SignalSpec(unit="bar", low=-0.5, high=16), 3),
        "power_kw": Signal(SignalSpec(unit="kW", low=-2, high=150), 2),
        "filter_dp_mbar": Signal(SignalSpec(unit="mbar", low=-5, high=250), 2),
        "outlet_temp_c": Signal(SignalSpec(unit="degC", low=-40, high=180), 2),
        "vibration_rms": Signal(SignalSpec(unit="mm/s", low=0, high=80), 3),
        "envelope_g": Signal(SignalSpec(unit="g", low=0, high=50), 4),
    }
    modes: ClassVar = {
        "PLU": Mode(
            ModeSpec(
                label="clogged intake filter", action="Change the intake filter.",
                signals=("filter_dp_mbar", "delivery_m3min"), skill="operator", duration_h=1,
                unplanned_duration_h=3, planned_cost=180, unplanned_cost=3000, parts={"filter": 1},
            ),
            gamma_wear(life_h=14_000, cv=0.15),
            lambda o: o.speed * o.load,
        ),
        "INL": Mode(
            ModeSpec(
                label="non-return valve leak", action="Renew valve plate and seat.",
                signals=("delivery_m3min", "pressure_bar"), duration_h=4, unplanned_duration_h=8,
                planned_cost=900, unplanned_cost=6500, parts={"valve": 1},
            ),
            late_wear(life_h=19_000, shape=1.5, growth_h=2_400),
            lambda o: o.speed,
        ),
        "BRD": Mode(
            ModeSpec(
                label="bearing wear", action="Overhaul the air end.",
                signals=("envelope_g", "vibration_rms"), duration_h=12, unplanned_duration_h=30,
                planned_cost=8000, unplanned_cost=24000, crew_size=2, parts={"air_end": 1},
            ),
            spall(life_h=24_000, shape=1.5, growth_h=2_600),
            lambda o: bearing.stress(o.load, o.speed, 10.0 / 3.0),
        ),
        "OHE": Mode(
            ModeSpec(
                label="degraded oil", action="Change oil and oil filter, clean the cooler.",
                signals=("outlet_temp_c",), duration_h=3, unplanned_duration_h=7, planned_cost=800,
                unplanned_cost=7500, parts={"oil_set": 1},
            ),
            gamma_wear(life_h=19_000, cv=0.15, power=1.8),
            lambda o: arrhenius.montsinger(o.ambient_c + 64.0 * o.load, 78.0, 10.0),
        ),
        "UST": Mode(
            ModeSpec(
                label="trip by power dip", action="Check the controller, restart.",
                skill="electrician", duration_h=1, unplanned_duration_h=2, planned_cost=150,
                unplanned_cost=2500,
            ),
            shock(80_000),
            visible=False,
        ),
    }  # fmt: skip

    def measure(self, s: State) -> list[Array]:
        """Return the columns in the order of `signals`."""
        z, n, on = s.trait, s.noise, s.speed
        air = on * s.load * (1.0 - 0.07 * s.wear["PLU"] - 0.20 * s.wear["INL"])
        heat = 55.0 + 1.5 * z[0] + 22.0 * s.wear["OHE"] + 5.0 * s.wear["INL"]
        shake = on * (1.6 + 0.15 * z[1]) * (1.0 + 1.6 * s.wear["BRD"])
        filter_dp = on * s.load * (8.0 + 0.5 * z[2] + 52.0 * s.wear["PLU"])
        work = 0.3 + 0.7 * s.load * (1.0 + 0.06 * s.wear["PLU"] + 0.04 * s.wear["OHE"])
        return [
            2970.0 * on + n[0] * 3.0,
            100.0 * on * s.load + n[1] * 0.4,
            (13.0 + 0.15 * z[3]) * air + n[2] * (0.01 + 0.12 * on),
            on * (7.5 - 0.55 * s.wear["INL"]) + n[3] * 0.05,
            (75.0 + z[4]) * on * work + n[4] * 0.5,
            filter_dp + n[5] * (0.1 + 0.9 * on),
            s.ambient + s.heat * heat + n[6] * 0.5,
            0.06 + np.abs(shake * (1.0 + 0.08 * n[7])),
            0.012 + np.abs(on * (0.25 + 1.9 * s.wear["BRD"]) * (1.0 + 0.12 * n[8])),
        ]

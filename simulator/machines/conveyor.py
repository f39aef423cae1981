"""Belt conveyor, 60 m, 1.6 m/s, 250 t/h, with drum drive.

Modes: BRD (idler bearing spall), STD (belt cover worn through), LOO (tension lost, the belt slips), VIB
(belt runs off its track), UST (jam).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from plant.config import ModeSpec, SignalSpec
from simulator.laws import archard, bearing, belt
from simulator.laws.gamma_process import gamma_wear
from simulator.laws.paris import spall
from simulator.laws.weibull import shock
from simulator.laws.wiener import wiener_wear
from simulator.machine import Machine, Mode, Signal, State
from simulator.wear import Array


class Conveyor(Machine):
    """BRD: roller temperature and vibration. STD: thickness. LOO: slip after Eytelwein. VIB: tracking."""

    name = "conveyor"
    label = "belt conveyor"
    running_signal = "belt_speed_m_s"
    running_above = 0.2
    warm_up_h = 0.8
    signals: ClassVar = {
        "belt_speed_m_s": Signal(SignalSpec(unit="m/s", low=-0.5, high=5, role="operating"), 3),
        "load_t_h": Signal(SignalSpec(unit="t/h", low=-20, high=500, role="operating"), 1),
        "current_a": Signal(SignalSpec(unit="A", low=-5, high=150), 2),
        "slip_pct": Signal(SignalSpec(unit="%", low=-2, high=60), 3),
        "tracking_mm": Signal(SignalSpec(unit="mm", low=-20, high=250), 1),
        "belt_thickness_mm": Signal(SignalSpec(unit="mm", low=0, high=30), 2),
        "roller_temp_c": Signal(SignalSpec(unit="degC", low=-40, high=180), 2),
        "vibration_rms": Signal(SignalSpec(unit="mm/s", low=0, high=80), 3),
    }
    modes: ClassVar = {
        "BRD": Mode(
            ModeSpec(
                label="idler bearing wear", action="Replace the hot idler rollers.",
                signals=("roller_temp_c", "vibration_rms"), duration_h=3, unplanned_duration_h=6,
                planned_cost=700, unplanned_cost=5000, parts={"idler": 2},
            ),
            spall(life_h=20_000, shape=1.3, growth_h=2_800),
            lambda o: bearing.stress(o.load, o.speed),
        ),
        "STD": Mode(
            ModeSpec(
                label="belt cover wear", action="Replace the belt.", signals=("belt_thickness_mm",),
                duration_h=10, unplanned_duration_h=18, planned_cost=6000, unplanned_cost=15000,
                crew_size=2, parts={"belt": 1},
            ),
            gamma_wear(life_h=26_000, cv=0.08),
            lambda o: archard.stress(o.load, o.speed),
        ),
        "LOO": Mode(
            ModeSpec(
                label="belt slip", action="Tension the belt, dress the drum lagging.",
                signals=("slip_pct",), duration_h=2, unplanned_duration_h=5,
                planned_cost=300, unplanned_cost=3500,
            ),
            gamma_wear(life_h=17_000, cv=0.2, power=1.3),
            lambda o: o.speed * o.load,
        ),
        "VIB": Mode(
            ModeSpec(
                label="belt off its track", action="Align drums and idler frames, clean build-up.",
                signals=("tracking_mm",), duration_h=2, unplanned_duration_h=6, planned_cost=350,
                unplanned_cost=4500,
            ),
            wiener_wear(life_h=19_000, cv=0.25),
            lambda o: o.speed,
        ),
        "UST": Mode(
            ModeSpec(
                label="jam", action="Clear the jam, check the scrapers, restart.", skill="operator",
                duration_h=1, unplanned_duration_h=2, planned_cost=150, unplanned_cost=2000,
            ),
            shock(60_000),
            visible=False,
        ),
    }  # fmt: skip

    def measure(self, s: State) -> list[Array]:
        """Return the columns in the order of `signals`."""
        z, n, on = s.trait, s.noise, s.speed
        slip = on * belt.slip_pct(s.wear["LOO"], s.load * (1.0 + 0.03 * z[0]))
        drag = 1.0 + 0.10 * s.wear["BRD"] + 0.05 * s.wear["VIB"]
        shake = (0.9 + 0.1 * z[1]) * on * (0.6 + 0.4 * s.load) * (1.0 + 1.5 * s.wear["BRD"])
        wander = 14.0 + 2.0 * z[2] + 75.0 * s.wear["VIB"]
        return [
            1.6 * on * (1.0 - 0.01 * slip) + n[0] * 0.004,
            250.0 * on * s.load + n[1] * (0.5 + 6.0 * on),
            (31.0 + z[3]) * on * (0.35 + 0.65 * s.load * drag) + n[2] * 0.35,
            slip + n[3] * 0.12 * on,
            wander + n[4] * (0.3 + 3.5 * on),
            12.0 - 7.0 * s.wear["STD"] + n[5] * 0.08,
            s.ambient + s.heat * (18.0 + 1.5 * z[4] + 30.0 * s.wear["BRD"]) + n[6] * 0.5,
            0.05 + np.abs(shake * (1.0 + 0.12 * n[7])),
        ]

"""A picture of one machine: its signals, its true wear, and what happened to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from plant.asset import AssetPath
from plant.times import DAY_MS, to_iso
from simulator.plant import PlantSimulation

_COLOURS = {"failure": "#c0392b", "maintenance": "#1e8449", "inspection": "#7f8c8d"}
_MAX_POINTS = 6_000


def draw(plant: PlantSimulation, asset: AssetPath, start_ms: int, stop_ms: int) -> Figure:
    """Draw the signals of [start, stop), wear below, events as lines (red: failure, green: repair)."""
    frame = plant.sampler.frame(asset, start_ms, stop_ms)
    unit = plant.station(asset).unit
    signals = unit.machine.signals
    figure = Figure(figsize=(13, 1.35 * (len(signals) + 2)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        len(signals) + 1, 1, sharex=True, height_ratios=[1.0] * len(signals) + [1.8]
    )
    thin = slice(None, None, max(len(frame.ts_ms) // _MAX_POINTS, 1))
    days = (frame.ts_ms[thin] - start_ms) / DAY_MS
    for axis, (name, signal), column in zip(
        axes[:-1], signals.items(), frame.values.T, strict=True
    ):
        axis.plot(days, column[thin], linewidth=0.5, color="#1f4e79")
        axis.set_ylabel(f"{name}\n{signal.spec.unit}", rotation=0, ha="right", va="center", size=8)
    taken = frame.taken_ms[thin].astype(float)
    for code, trace in unit.wear.items():
        if len(taken) and unit.machine.modes[code].visible:
            wear = np.broadcast_to(np.asarray(trace.sample(taken)), taken.shape)
            label = f"{code} {unit.machine.modes[code].spec.label}"
            axes[-1].plot((taken - start_ms) / DAY_MS, wear, linewidth=1.4, label=label)
    axes[-1].set_ylabel("true wear", rotation=0, ha="right", va="center", size=8)
    axes[-1].set_ylim(-0.03, 1.18)
    axes[-1].legend(loc="upper left", fontsize=7, ncols=5, frameon=False)
    axes[-1].set_xlabel(f"days since {to_iso(start_ms)}")
    for event in plant.book.events:
        if event.asset == asset and start_ms <= event.ts_ms < stop_ms and event.kind in _COLOURS:
            day = (event.ts_ms - start_ms) / DAY_MS
            style = ":" if event.kind == "inspection" else "-"
            for axis in axes:
                axis.axvline(day, color=_COLOURS[event.kind], linewidth=0.8, linestyle=style)
            if event.kind == "failure":
                axes[0].annotate(
                    event.mode, (day, 1.02), xycoords=("data", "axes fraction"), size=8,
                    color=_COLOURS["failure"], ha="center",
                )  # fmt: skip
    figure.suptitle(
        f"{asset} ({unit.machine.label}), seed {plant.seed}: failures red, repairs green, rounds dotted",
        size=10,
    )
    for axis in axes:
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def save(figure: Figure, file: Path) -> None:
    """Write a picture; the folder is made if it is not there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)

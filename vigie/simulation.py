"""Where a simulated plant's readings go: files, the store, or the broker."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from plant.times import DAY_MS

if TYPE_CHECKING:
    from simulator.plant import PlantSimulation
    from vigie.context import Context

Target = Literal["files", "store", "mqtt"]
_CHUNK = 20_000


@dataclass(frozen=True, slots=True)
class Wire:
    """How to play over MQTT."""

    speed: float
    form: Literal["json", "sparkplug"]
    clients: int
    qos: int
    waveform_every_s: float


def deliver(
    context: Context,
    live: PlantSimulation,
    days: float,
    to: Target,
    out: Path,
    truth: bool,
    wire: Wire,
) -> dict[str, Any]:
    """Let the plant run for `days` and hand its readings over; return what was done.

    A progress bar goes to stderr. Raises BrokerError or StoreError when nobody takes them.
    """
    from rich.console import Console  # noqa: PLC0415 - commands that only print help stay quick
    from rich.progress import Progress  # noqa: PLC0415

    began, start_ms = time.monotonic(), live.start_ms
    stop_ms = start_ms + round(days * DAY_MS)
    result: dict[str, Any]
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"simulating {len(live.shown)} machines", total=1.0)

        def shown(share: float) -> None:
            bar.update(task, completed=share)

        if to == "mqtt":
            result = _to_broker(context, live, stop_ms, truth, wire, shown)
        else:
            live.advance(stop_ms)
            if to == "files":
                result = _to_files(live, out, stop_ms, truth, shown)
            else:
                result = _to_store(context, live, stop_ms, shown)
    failures = sum(event.kind == "failure" for event in live.events())
    about = {"run_id": live.run_id, "machines": len(live.shown), "days": days}
    seconds = round(time.monotonic() - began, 2)
    return {**about, "failures": failures, **result, "seconds": seconds}


def _to_broker(
    context: Context,
    live: PlantSimulation,
    stop_ms: int,
    truth: bool,
    wire: Wire,
    shown: Callable[[float], None],
) -> dict[str, Any]:
    from simulator.player import Player  # noqa: PLC0415
    from vigie.mqtt import player_broker  # noqa: PLC0415

    player = Player(
        live,
        player_broker(context.settings.broker),
        speed=wire.speed,
        form=wire.form,
        clients=wire.clients,
        qos=wire.qos,
        waveform_every_s=wire.waveform_every_s,
        truth=truth,
        on_step=lambda now_ms: shown((now_ms - live.start_ms) / (stop_ms - live.start_ms)),
    )
    stats = player.run(stop_ms)
    return {"readings": stats.readings, "events": stats.events, "other": stats.other}


def _to_files(
    live: PlantSimulation, out: Path, stop_ms: int, truth: bool, shown: Callable[[float], None]
) -> dict[str, Any]:
    from simulator.output import write_files  # noqa: PLC0415 - pandas waits until needed

    counts = write_files(live, out, live.start_ms, stop_ms, truth=truth, progress=shown)
    return {**counts, "folder": str(out)}


def _to_store(
    context: Context, live: PlantSimulation, stop_ms: int, shown: Callable[[float], None]
) -> dict[str, Any]:
    """Write the history into Vigie's store, as if every reading had arrived when it was taken."""
    store = context.open_store()
    written = 0
    try:
        for number, asset in enumerate(live.shown, start=1):
            readings = list(live.sampler.frame(asset, live.start_ms, stop_ms).readings())
            for at in range(0, len(readings), _CHUNK):
                chunk = readings[at : at + _CHUNK]
                store.write_readings([replace(r, received_ms=r.ts_ms) for r in chunk])
            written += len(readings)
            shown(number / len(live.shown))
        store.write_events(live.events())
    finally:
        store.close()
    return {"readings": written, "events": len(live.events())}

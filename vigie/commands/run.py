"""`vigie run`: ingest, features, scoring and publishing together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vigie.context import get_context

if TYPE_CHECKING:
    import threading

    from serve.service import Service
    from store.port import Store
    from vigie.context import Context


def command(
    ctx: typer.Context,
    ingest_workers: Annotated[
        int, typer.Option(min=0, help="Ingest processes; 0: as the settings say.")
    ] = 0,
    plant_time: Annotated[
        bool,
        typer.Option(
            help="Follow the time stamps of the readings, for a simulated or replayed plant."
        ),
    ] = False,
) -> None:
    """Take readings from the broker, judge every machine, publish risks and alarms, until Ctrl-C.

    With `--plant-time` the clock is the newest reading's, so a plant that is simulated a thousand times
    faster than real time, or replayed from last year, is judged as it would have been.

    Example: `vigie --config vigie.toml run --ingest-workers 2`
    """
    import signal
    import threading

    from plant.clock import ManualClock
    from store.retention import Pruner
    from vigie.runtime import open_intake, open_service

    context = get_context(ctx)
    update: dict[str, object] = {"workers": ingest_workers} if ingest_workers else {}
    if plant_time:
        context.clock = ManualClock(0)
        update |= {"workers": 1, "max_ahead_s": float("inf"), "clock_skew_s": float("inf")}
    ingest = context.settings.ingest.model_copy(update=update)
    context.settings = context.settings.model_copy(update={"ingest": ingest})
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    store = context.open_store()
    pruner = Pruner(context.settings.store, context.data_dir, context.clock)
    try:
        store.check()
        with open_intake(context) as intake, open_service(context, store) as service:
            service.other_health = intake.health
            typer.echo(
                f"Vigie runs: broker {context.settings.broker.host}:{context.settings.broker.port},"
                f" {context.settings.store.kind} store, data in {context.data_dir}. Ctrl-C ends.",
                err=True,
            )
            if plant_time:
                _follow(context, store, service, stop)
            else:
                pruner.start()
                service.run(stop)
    finally:
        pruner.stop()
        store.close()


def _follow(context: Context, store: Store, service: Service, stop: threading.Event) -> None:
    """Step whenever the newest reading has passed another grid time."""
    from plant.clock import ManualClock

    grid_ms = context.settings.features.grid
    done = 0
    while not stop.wait(0.2):
        service.poll()
        newest = max((seen.last_ms for seen in store.assets()), default=0)
        if isinstance(context.clock, ManualClock):
            context.clock.advance_to(newest)
        if newest // grid_ms > done:
            done = newest // grid_ms
            service.step(newest)

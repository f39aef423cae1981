"""`vigie evaluate`: what would have been said every day of the past, against what happened."""

from __future__ import annotations

from typing import Annotated

import typer

from plant.times import parse_moment, to_iso
from vigie.context import get_context


def command(
    ctx: typer.Context,
    kind: Annotated[str | None, typer.Option("--kind", "-k", help="The kind of machine.")] = None,
    until: Annotated[str, typer.Option(help="Use nothing later (ISO time, -30d or now).")] = "now",
    horizon: Annotated[float, typer.Option(help="Hours ahead that count as foreseen.")] = 168.0,
    periods: Annotated[int, typer.Option(min=1, max=52, help="Models trained along the way.")] = 4,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Probability that alarms.")
    ] = 0.5,
    lead: Annotated[float, typer.Option(help="Hours an alarm must come before the failure.")] = 8.0,
    as_json: Annotated[bool, typer.Option("--json", help="Figures and every day's row.")] = False,
) -> None:
    """Backtest: replay the past with models that knew only what was known then.

    Example: `vigie evaluate --kind pump --horizon 72 --threshold 0.3`
    """
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from models.evaluate import backtest
    from models.pipeline import late_rows, read_history
    from models.train import one_kind

    context = get_context(ctx)
    stop_ms = parse_moment(until, context.clock.now_ms())
    store = context.open_store()
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("features", total=1.0)
            history = read_history(
                store,
                context.plant,
                context.settings.features,
                stop_ms,
                state_file=context.data_dir / "features" / "train.json",
                tell=lambda what, x: progress.update(task, description=what, completed=0.5 * x),
                learn_share=0.5,
            )
            _, name = one_kind(history.table, kind)
            result = backtest(
                history.of_kind(name),
                history.events,
                context.plant,
                context.settings.model,
                horizon_h=horizon,
                periods=periods,
                threshold=threshold,
                lead_h=lead,
                late=lambda cut_ms: late_rows(
                    history, store, context.plant, context.settings.model, name, cut_ms
                ),
                progress=lambda what, x: progress.update(
                    task, description=what, completed=0.5 + 0.5 * x
                ),
            )
    finally:
        store.close()
    if as_json:
        import orjson

        typer.echo(orjson.dumps({"kind": name} | result.to_dict()))
        return
    console = Console()
    periods_table = Table(
        "from", "to", "model", "failures known", "machine-days", title=f"Backtest of {name}"
    )
    for p in result.periods:
        periods_table.add_row(
            to_iso(p["from_ms"])[:16],
            to_iso(p["to_ms"])[:16],
            p["model_id"] if p["window"] else "too few failures yet",
            str(p["failures_known"]),
            str(p["days"]),
        )
    console.print(periods_table)
    for key, value in result.figures.items():
        shown = "–" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
        console.print(f"{key.replace('_', ' '):>32}  {shown}")

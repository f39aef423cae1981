"""`vigie train`: from the plant's history to a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from plant.times import parse_moment, to_iso
from vigie.context import get_context

if TYPE_CHECKING:
    from models.bundle import Bundle


def command(
    ctx: typer.Context,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", "-k", help="Only this kind of machine (repeatable)."),
    ] = None,
    as_of: Annotated[
        str, typer.Option(help="Use nothing later: 2026-01-31, an ISO time, -30d or now.")
    ] = "now",
    promote: Annotated[
        bool,
        typer.Option(
            "--promote/--no-promote", help="Let a first or clearly better model take over."
        ),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per model.")] = False,
) -> None:
    """Train a model of the time to failure for every kind of machine.

    The first model of a kind becomes champion at once; a later one only when it is clearly better on
    the newest period (see `vigie models compare`), otherwise it waits for `vigie models promote`.

    Example: `vigie train --kind pump --as-of 2026-01-31`
    """
    from rich.console import Console
    from rich.progress import Progress

    from models.challenge import enthrone
    from models.pipeline import train_from_store
    from models.registry import Registry

    context = get_context(ctx)
    now_ms = context.clock.now_ms()
    as_of_ms = parse_moment(as_of, now_ms)
    registry = Registry(context.data_dir / "models")
    settings = context.settings
    store = context.open_store()
    rows: list[dict[str, Any]] = []
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("training", total=1.0)
            for bundle in train_from_store(
                store,
                context.plant,
                settings.features,
                settings.model,
                now_ms=now_ms,
                kinds=kind,
                as_of_ms=as_of_ms,
                state_file=context.data_dir / "features" / "train.json",
                tell=lambda what, share: progress.update(task, description=what, completed=share),
            ):
                registry.add(bundle)
                outcome = "not promoted (--no-promote)"
                if promote:
                    progress.update(task, description=f"{bundle.kind}: against the champion")
                    outcome = enthrone(
                        registry,
                        bundle,
                        store,
                        context.plant,
                        settings.features,
                        settings.model,
                        now_ms,
                    )
                rows.append(summary(bundle) | {"outcome": outcome})
    finally:
        store.close()
        _show(rows, as_json=as_json)


def summary(bundle: Bundle) -> dict[str, Any]:
    """Return what a person wants to know of a fresh model."""
    lineage = dict(bundle.lineage)
    return {
        "kind": bundle.kind,
        "model_id": bundle.model_id,
        "window": bundle.hazard is not None,
        "why_no_window": bundle.why_no_window,
        "data_from": to_iso(lineage["data_from_ms"]),
        "data_to": to_iso(lineage["data_to_ms"]),
        "assets": lineage["assets"],
        "rows": lineage["rows"],
        "failures": lineage["failures"],
        "failures_by_mode": lineage["failures_by_mode"],
        "modes_pooled": lineage["modes_pooled"],
        "horizon_h": lineage.get("horizon_h"),
        "share_of_trees": lineage.get("prior", {}).get("share_of_trees"),
        "metrics": lineage.get("metrics", {}),
    }


def _show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        import orjson

        for row in rows:
            typer.echo(orjson.dumps(row))
        return
    from rich.console import Console

    console = Console()
    for row in rows:
        console.print(f"[bold]{row['kind']}[/bold] → {row['model_id']}")
        console.print(
            f"  {row['assets']} machines, {row['rows']:,} rows, {row['failures']} failures,"
            f" {row['data_from'][:10]} to {row['data_to'][:10]}"
        )
        if row["why_no_window"]:
            console.print(f"  {row['why_no_window']}")
        m = row["metrics"]
        if m:
            console.print(
                f"  on machines it never saw: {_share(m['skill'])} better than the crowd's hazard,"
                f" C {_number(m['c_index'])}, windows hold {_share(m['window_coverage'])} of failures,"
                f" {_number(m['window_width_h'])} h wide"
            )
        if row["modes_pooled"]:
            console.print(f"  too few failures to tell apart: {', '.join(row['modes_pooled'])}")
        console.print(f"  {row['outcome']}")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"

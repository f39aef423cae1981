"""`vigie retention`: remove what expired, now."""

from __future__ import annotations

from typing import Annotated

import typer

from vigie.context import get_context


def command(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Remove what is older than [store.retention] allows; a running Vigie does so by itself.

    Rows go a thousand at a time, so that ingest beside it is not kept waiting. With InfluxDB, the
    buckets' own rules remove readings and rollups; this trims the journal of what was forwarded.

    Example: `vigie retention --json`
    """
    from store.retention import prune

    context = get_context(ctx)
    removed = prune(context.settings.store, context.data_dir, context.clock.now_ms())
    if as_json:
        import orjson

        typer.echo(orjson.dumps(removed))
        return
    keep = context.settings.store.retention
    typer.echo(
        f"Kept: readings {keep.readings}, rollups {keep.rollups}, risks {keep.risks}, "
        f"events {keep.events}."
    )
    for what, count in removed.items():
        typer.echo(f"removed {count:>10,} of {what}")

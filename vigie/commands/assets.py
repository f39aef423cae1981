"""`vigie assets`: what is configured, and what is really there."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from plant.asset import AssetPath
from plant.times import to_iso
from vigie.context import Context, get_context


def command(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """List machines: configured in plant.toml, seen on the broker, or both.

    A machine that publishes without being configured is registered by itself and listed with the
    origin `seen`; add it to plant.toml to give it a kind, costs and failure modes.

    Example: `vigie assets --json | jq .asset`
    """
    rows = list_assets(get_context(ctx))
    if as_json:
        import orjson

        for row in rows:
            typer.echo(orjson.dumps(row))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "asset", "kind", "origin", "readings", "last reading", "signals", title="Machines"
    )
    for row in rows:
        table.add_row(
            row["asset"],
            row["kind"],
            row["origin"],
            f"{row['readings']:,}",
            row["last"] or "never",
            ", ".join(row["signals"]),
        )
    hint = "No machine yet: publish a reading, or add [[assets]] to plant.toml."
    Console().print(table if rows else hint, markup=False)


def list_assets(context: Context) -> list[dict[str, Any]]:
    """Return one row per machine, in path order, configured or seen or both."""
    store = context.open_store()
    try:
        seen = {str(item.asset): item for item in store.assets()}
    finally:
        store.close()
    configured = {item.path for item in context.plant.assets}
    rows = []
    for path in sorted(configured | set(seen)):
        item = seen.get(path)
        rows.append(
            {
                "asset": path,
                "kind": context.plant.kind_of(AssetPath.parse(path)),
                "origin": ("configured" if item is None else "both")
                if path in configured
                else "seen",
                "readings": item.readings if item else 0,
                "first": to_iso(item.first_ms) if item else None,
                "last": to_iso(item.last_ms) if item else None,
                "signals": list(item.signals) if item else [],
                "simulated": item.simulated if item else False,
                "run_id": item.run_id if item else "",
            }
        )
    return rows

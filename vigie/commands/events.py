"""`vigie events`: what happened to the machines, from people and from the maintenance system."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plant.asset import AssetPath
from plant.event import EVENT_KINDS, PLANT_EVENT_KINDS, Event
from plant.times import parse_moment, to_iso
from vigie.context import get_context
from vigie.people import login

if TYPE_CHECKING:
    from serve.cmms import Import

app = typer.Typer(
    no_args_is_help=True,
    help="Failures, repairs and stops: the labels that models learn from.\n\n"
    "Example: `vigie events import orders.csv --mapping orders.toml --dry-run`",
)


@app.command("list")
def list_events(
    ctx: typer.Context,
    start: Annotated[str, typer.Option("--from", help="2026-03-01, or -30d.")] = "-30d",
    stop: Annotated[str, typer.Option("--to", help="A time, or now.")] = "now",
    asset: Annotated[str, typer.Option(help="One machine.")] = "",
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind; may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """List events in time order.

    Example: `vigie events list --from -7d --kind failure --json`
    """
    context = get_context(ctx)
    now_ms = context.clock.now_ms()
    store = context.open_store()
    try:
        events = store.read_events(
            parse_moment(start, now_ms),
            parse_moment(stop, now_ms) + (stop == "now"),
            asset=AssetPath.parse(asset) if asset else None,
            kinds=_known(kind or []) or (*PLANT_EVENT_KINDS, "feedback"),
        )
    finally:
        store.close()
    if as_json:
        import orjson

        for event in events:
            typer.echo(orjson.dumps(_as_dict(event)))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("time", "asset", "kind", "mode", "planned", "found", "hours", "note", "who")
    for event in events:
        planned = {None: "", True: "yes", False: "no"}[event.planned]
        hours = "" if event.duration_h is None else f"{event.duration_h:g}"
        cells = (to_iso(event.ts_ms), str(event.asset), event.kind, event.mode, planned)
        more = (event.found, hours, event.note, event.who)
        table.add_row(*(escape(cell) for cell in (*cells, *more)))
    Console().print(table if events else "No event in this period.")


@app.command()
def add(
    ctx: typer.Context,
    asset: Annotated[str, typer.Argument(help="<site>/<line>/<asset>")],
    kind: Annotated[str, typer.Argument(help="failure, maintenance, inspection, stop or start.")],
    at: Annotated[str, typer.Option(help="When: ISO 8601 with zone, -2h, or now.")] = "now",
    mode: Annotated[str, typer.Option(help="Failure mode's code.")] = "",
    scope: Annotated[list[str] | None, typer.Option(help="Mode renewed; may be repeated.")] = None,
    found: Annotated[str, typer.Option(help="failed, degraded, sound or unknown.")] = "unknown",
    planned: Annotated[bool | None, typer.Option("--planned/--unplanned", help="By plan?")] = None,
    hours: Annotated[float | None, typer.Option(help="Hours of stoppage or work.")] = None,
    note: Annotated[str, typer.Option(help="Free text.")] = "",
    who: Annotated[str, typer.Option(help="Who says so (default: your login).")] = "",
) -> None:
    """Add one event by hand.

    Example: `vigie events add lyon/l1/pump-3 maintenance --mode BRG --found degraded --hours 4 --planned`
    """
    context = get_context(ctx)
    event = Event(
        asset=AssetPath.parse(asset),
        ts_ms=parse_moment(at, context.clock.now_ms()),
        kind=kind if kind in PLANT_EVENT_KINDS else _known([kind])[0],
        mode=mode,
        scope=tuple(scope or ()),
        planned=planned,
        found=found,
        duration_h=hours,
        note=note,
        who=who or login(),
        detail={"source": "cli"},
    )
    store = context.open_store()
    try:
        count = store.write_events([event])
    finally:
        store.close()
    typer.echo("added" if count.new else "was there already", err=True)


@app.command("import")
def import_command(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A CSV or XLSX list of work orders.")],
    mapping: Annotated[Path | None, typer.Option(help="TOML: which column means what.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and report, store nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write the rejected rows to this CSV.")
    ] = None,
) -> None:
    """Read maintenance and failure history; importing a list twice changes nothing.

    Rows that cannot be understood are rejected and listed with the reason; the rest is stored.

    Example: `vigie events import orders.csv --mapping orders.toml --report rejected.csv`
    """
    from serve.cmms import import_events, read_mapping

    context = get_context(ctx)
    columns = read_mapping(mapping) if mapping else None
    store = context.open_store()
    try:
        done = import_events(store, file, context.plant, columns, dry_run=dry_run)
    finally:
        store.close()
    if report is not None:
        report.write_bytes(_report(done))
    _tell(done, as_json)


def _tell(done: Import, as_json: bool) -> None:
    if as_json:
        import orjson

        typer.echo(
            orjson.dumps(
                {
                    "read": len(done.events),
                    "rejected": [
                        {"row": r.row, "field": r.field, "why": r.why} for r in done.rejected
                    ],
                    "new": done.new,
                    "repeated": done.repeated,
                    "conflicting": done.conflicting,
                    "dry_run": done.dry_run,
                    "format": done.told,
                    "columns": done.columns,
                }
            )
        )
        return
    typer.echo(
        f"{done.told}; columns: " + ", ".join(f"{k} = {v!r}" for k, v in done.columns.items())
    )
    for rejected in done.rejected[:20]:
        place = f"row {rejected.row}" + (f", {rejected.field}" if rejected.field else "")
        typer.echo(f"rejected {place}: {rejected.why}")
    if len(done.rejected) > 20:
        typer.echo(f"… and {len(done.rejected) - 20} more (see --report)")
    stored = "nothing stored (dry run)" if done.dry_run else (
        f"{done.new} new, {done.repeated} there already, {done.conflicting} replaced"
    )  # fmt: skip
    typer.echo(f"{len(done.events)} read, {len(done.rejected)} rejected; {stored}")


def _report(done: Import) -> bytes:
    import csv
    import io

    from serve.exports.cells import safe_cell

    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["row", "field", "why"])
    writer.writerows([r.row, r.field, safe_cell(r.why)] for r in done.rejected)
    return out.getvalue().encode("utf-8-sig")


def _known(kinds: list[str]) -> tuple[str, ...]:
    from plant.errors import DataError

    for kind in kinds:
        if kind not in EVENT_KINDS:
            raise DataError(
                f"the event kind {kind[:40]!r} is not known.", fix=f"Use {', '.join(EVENT_KINDS)}."
            )
    return tuple(kinds)


def _as_dict(event: Event) -> dict[str, Any]:
    return {
        "ts": to_iso(event.ts_ms),
        "asset": str(event.asset),
        "kind": event.kind,
        "mode": event.mode,
        "scope": list(event.scope),
        "planned": event.planned,
        "found": event.found,
        "duration_h": event.duration_h,
        "note": event.note,
        "who": event.who,
        "key": event.key,
        "detail": dict(event.detail),
        "simulated": event.simulated,
        "run_id": event.run_id,
    }

"""`vigie features`: rollups and feature rows, live and from history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vigie.context import Context, get_context

if TYPE_CHECKING:
    from features.catalogue import Catalogue
    from features.job import FeatureJob, Progress
    from features.table import FeatureTable
    from store.port import Store

app = typer.Typer(no_args_is_help=True, help="Roll readings up and make feature rows.")

STATE_FILE = "features/state.json"
From = Annotated[str, typer.Option("--from", help="Start: ISO 8601, a date, `now` or `-7d`.")]
To = Annotated[str, typer.Option("--to", help="End (not included), written like --from.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for machines.")]
Asset = Annotated[list[str] | None, typer.Option("--asset", help="Only this asset; repeatable.")]
Learn = Annotated[
    bool,
    typer.Option("--learn", help="First learn the operating regimes from what is before --to."),
]


@contextmanager
def _job(context: Context) -> Iterator[tuple[FeatureJob, Store]]:
    """Open the store and lend a job that remembers how far it is."""
    from features.job import FeatureJob
    from features.partition import StoreAddress

    store = context.open_store()
    try:
        yield (
            FeatureJob(
                store,
                context.plant,
                context.settings.features,
                state_file=context.data_dir / STATE_FILE,
                address=StoreAddress(context.settings.store, context.data_dir),
            ),
            store,
        )
    finally:
        store.close()


@contextmanager
def _progress(text: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(text, total=None, last="")

        def report(done: int, total: int, last: str) -> None:
            bar.update(task, completed=done, total=total, last=last)

        yield report


def _times(context: Context, start: str, stop: str) -> tuple[int, int]:
    from plant.errors import DataError
    from plant.times import parse_moment

    now = context.clock.now_ms()
    start_ms, stop_ms = parse_moment(start, now), parse_moment(stop, now)
    if start_ms >= stop_ms:
        raise DataError(f"--from {start} is not before --to {stop}.", fix="Swap or mend them.")
    return start_ms, stop_ms


def _print_json(value: Any) -> None:
    import orjson

    typer.echo(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode())


@app.command()
def tick(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Roll up what arrived and show the newest closed row of every asset.

    Example: `vigie features tick --json`
    """
    from plant.times import to_iso

    context = get_context(ctx)
    with _job(context) as (job, _):
        table = job.tick(context.clock.now_ms())
    if as_json:
        for row in range(len(table)):
            _print_json(_row(table, row))
        return
    for row in range(len(table)):
        faults = ", ".join(f"{name} {why}" for name, why in table.faulty(row).items()) or "none"
        typer.echo(f"{table.assets[row]}  {to_iso(int(table.ts_ms[row]))}  sensor faults: {faults}")
    typer.echo(f"{len(table)} rows of {len(table.catalogue)} features", err=True)


def _row(table: FeatureTable, row: int) -> dict[str, Any]:
    from plant.times import to_iso

    values = zip(table.catalogue.names, table.X[row].tolist(), strict=True)
    return {
        "asset": table.assets[row],
        "ts": to_iso(int(table.ts_ms[row])),
        "faults": table.faulty(row),
        "features": {name: value if value == value else None for name, value in values},  # noqa: PLR0124 - NaN is not JSON
    }


@app.command()
def backfill(
    ctx: typer.Context,
    start: From = "1970-01-01",
    stop: To = "now",
    workers: Annotated[
        int, typer.Option(min=0, help="Worker processes of a local Dask cluster; 0: none.")
    ] = 0,
    scheduler: Annotated[str, typer.Option(help="HOST:PORT of a Dask scheduler.")] = "",
    asset: Asset = None,
    as_json: AsJson = False,
) -> None:
    """Roll up history, partitioned by asset and day, and count the rows it gives.

    Killed and run again it goes on where it was; run twice it changes nothing.

    Example: `vigie features backfill --from 2026-01-01 --to now --workers 4`
    """
    from features.workers import open_workers
    from plant.asset import AssetPath

    context = get_context(ctx)
    start_ms, stop_ms = _times(context, start, stop)
    chosen = None if not asset else [AssetPath.parse(name) for name in asset]
    with (
        _job(context) as (job, _),
        open_workers(workers, scheduler) as run_on,
        _progress("backfill") as report,
    ):
        rows = {
            str(path): len(made.ts_ms)
            for path, _, made in job.backfill_parts(start_ms, stop_ms, chosen, report, run_on)
        }
    if as_json:
        _print_json({"rows": sum(rows.values()), "assets": rows})
        return
    typer.echo(f"{sum(rows.values()):,} rows of {len(rows)} assets; the rollups are in the store.")


def _catalogue(context: Context, kind: str | None) -> Catalogue:
    """Return the catalogue of a kind, or of all kinds of the plant together."""
    from features.catalogue import build_catalogue
    from plant.errors import DataError

    kinds = context.plant.kinds
    if kind is not None and kind not in kinds:
        names = ", ".join(kinds) or "none"
        raise DataError(f"kind {kind!r} is not in plant.toml.", fix=f"Known: {names}.")
    merged: Catalogue | None = None
    for name, spec in kinds.items():
        if kind in {None, name}:
            one = build_catalogue(spec, context.settings.features)
            merged = one if merged is None else merged.union(one)
    if merged is None:
        raise DataError("plant.toml names no kind of machine.", fix="Add a [kinds.<name>] table.")
    return merged


Kind = Annotated[str | None, typer.Option("--kind", help="Only this kind of machine.")]


@app.command("list")
def list_features(ctx: typer.Context, kind: Kind = None, as_json: AsJson = False) -> None:
    """List the features: name, unit, what it means.

    Example: `vigie features list --kind pump`
    """
    catalogue = _catalogue(get_context(ctx), kind)
    if as_json:
        from features.table import catalogue_to_dict

        _print_json(catalogue_to_dict(catalogue))
        return
    for feature in catalogue.features:
        typer.echo(f"{feature.name:<40} {feature.unit:<10} {feature.description}")
    typer.echo(f"{len(catalogue)} features, fingerprint {catalogue.fingerprint}", err=True)


@app.command()
def describe(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A feature, for instance vibration_rms.24h.slope.")],
    as_json: AsJson = False,
) -> None:
    """Say what one feature is.

    Example: `vigie features describe vibration_rms.24h.slope`
    """
    feature = _catalogue(get_context(ctx), None).describe(name)
    if as_json:
        _print_json(
            {"name": feature.name, "unit": feature.unit, "description": feature.description}
        )
        return
    typer.echo(f"{feature.name} ({feature.unit or 'no unit'}): {feature.description}")


@app.command()
def export(
    ctx: typer.Context,
    out: Annotated[Path, typer.Argument(help="File to write: .parquet or .csv.")],
    start: From = "-30d",
    stop: To = "now",
    asset: Asset = None,
    learn: Learn = False,
) -> None:
    """Write feature rows for analysts.

    Example: `vigie features export rows.parquet --from -90d`
    """
    from plant.asset import AssetPath
    from plant.errors import DataError

    if out.suffix not in {".parquet", ".csv"}:
        raise DataError(f"{out} is neither .parquet nor .csv.", fix="Name the file accordingly.")
    context = get_context(ctx)
    start_ms, stop_ms = _times(context, start, stop)
    chosen = None if not asset else [AssetPath.parse(name) for name in asset]
    with _job(context) as (job, _), _progress("export") as report:
        if learn:
            job.use_regimes(job.fit_regimes(stop_ms))
        table = job.backfill(start_ms, stop_ms, chosen, report)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".parquet":
        table.to_parquet(out)
    else:
        table.to_frame().to_csv(out, index=False)
    typer.echo(f"{len(table):,} rows of {len(table.catalogue)} features in {out}")

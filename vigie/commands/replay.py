"""`vigie replay`: any CSV or Parquet table as MQTT traffic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plant.errors import DataError
from vigie.context import get_context

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulator.mqtt import Publisher
    from vigie.replay import Message


def command(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV (any separator, gzip) or Parquet.")],
    asset: Annotated[
        str, typer.Option(help="Asset path; {column} takes a column: lyon/l1/{unit}.")
    ],
    time: Annotated[str, typer.Option(help="Column of time: ISO 8601, or numbers (--time-unit).")],
    time_unit: Annotated[str, typer.Option(help="Of a numeric time: ms, s, min, h or d.")] = "ms",
    start: Annotated[
        str, typer.Option(help="What a numeric time counts from: ISO 8601.")
    ] = "1970-01-01",
    signal: Annotated[
        list[str] | None,
        typer.Option(help="Column, or column=signal; repeat. Default: all other numeric columns."),
    ] = None,
    speed: Annotated[
        float,
        typer.Option(min=0, help="Times real time; 0: as fast as possible, imported as history."),
    ] = 0.0,
    run_id: Annotated[str, typer.Option(help="Mark every reading with this run.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Publish the rows of a table to the broker as telemetry, in the order of time.

    Without a speed they are history: known since their own time, so that models can learn from them.
    With one they are played as if they came now, and are late where the clock is not theirs.

    Example: `vigie replay train.csv --asset nasa/fd001/{unit} --time cycle --time-unit h --start 2020-01-01`
    """
    from itertools import chain

    from plant.times import parse_moment
    from plant.topics import Topics
    from simulator.mqtt import Publisher
    from vigie.mqtt import player_broker
    from vigie.replay import Columns, messages, read_table

    context = get_context(ctx)
    columns = Columns(
        asset=asset,
        time=time,
        time_unit=time_unit,
        start_ms=parse_moment(start, context.clock.now_ms()),
        signals=tuple(_pair(text) for text in signal or ()),
        run_id=run_id,
        imported=speed == 0,
    )
    table = read_table(file)
    found = messages(table, columns, Topics(context.plant.root))
    first = next(found, None)  # complains about columns before the broker is bothered
    if first is None:
        raise DataError(f"{file} holds no row with a number.", fix="Choose columns with --signal.")
    publisher = Publisher(player_broker(context.settings.broker), "vigie-replay")
    publisher.connect()
    try:
        count = publish(publisher, chain([first], found), speed, first.ts_ms)
        publisher.drain()
    finally:
        publisher.close()
    if as_json:
        import orjson

        typer.echo(orjson.dumps({"published": count, "rows": len(table)}))
    else:
        typer.echo(f"{count:,} readings published from {len(table):,} rows.")


def publish(publisher: Publisher, found: Iterable[Message], speed: float, begin_ms: int) -> int:
    """Publish messages, at `speed` times real time unless it is 0; return how many."""
    import time as wall

    from rich.console import Console
    from rich.progress import track

    started, count = wall.monotonic(), 0
    for message in track(
        found, description="publishing", console=Console(stderr=True), transient=True
    ):
        if speed > 0:
            due_s = started + (message.ts_ms - begin_ms) / (1_000 * speed)
            wall.sleep(max(due_s - wall.monotonic(), 0))
        publisher.publish(message.topic, message.payload)
        count += 1
    return count


def _pair(text: str) -> tuple[str, str]:
    column, _, name = text.partition("=")
    return column, name or column

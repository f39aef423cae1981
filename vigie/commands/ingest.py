"""`vigie ingest`: take readings alone, explain one message, watch the rates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vigie.context import get_context

if TYPE_CHECKING:
    from rich.table import Table

    from ingest.watch import Glance, Rates

app = typer.Typer(
    no_args_is_help=True,
    help="The way in: from the broker to the journal, and what goes wrong there.",
)
JsonFlag = Annotated[bool, typer.Option("--json", help="JSON for machines.")]


@app.command()
def run(
    ctx: typer.Context,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes sharing the load; 0: as the settings say.")
    ] = 0,
) -> None:
    """Take readings and events from the broker into the journal, until Ctrl-C; nothing else.

    For a machine that only ingests; `vigie run` does this together with everything else.

    Example: `vigie ingest run --workers 2`
    """
    import signal
    import threading

    from vigie.runtime import open_intake

    context = get_context(ctx)
    if workers:
        ingest = context.settings.ingest.model_copy(update={"workers": workers})
        context.settings = context.settings.model_copy(update={"ingest": ingest})
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with open_intake(context) as intake:
        broker = context.settings.broker
        typer.echo(f"Vigie takes readings from {broker.host}:{broker.port}. Ctrl-C ends.", err=True)
        stop.wait()
    stats = intake.subscriber.stats()
    typer.echo(
        f"{stats.received:,} messages: {stats.stored:,} readings and {stats.events:,} events stored,"
        f" {sum(stats.rejected.values()):,} messages in quarantine.",
        err=True,
    )


@app.command()
def explain(
    ctx: typer.Context,
    topic: Annotated[str, typer.Option(help="The topic it is published on.")],
    payload: Annotated[str, typer.Option(help="The payload as text.")] = "",
    payload_file: Annotated[
        Path | None, typer.Option(help="A file with the payload; - for standard input.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show how a message would be read: which mapping, which machine, signals, units, problems.

    Ends with exit code 1 when the message would go to quarantine.

    Example: `vigie ingest explain --topic tele/plug-7/SENSOR --payload '{"ENERGY":{"Power":182}}'`
    """
    import sys

    import orjson

    from ingest.explain import explain as explain_message
    from ingest.router import Router
    from plant.errors import DataError
    from plant.topics import Topics

    context = get_context(ctx)
    raw = payload.encode("utf-8", "surrogateescape")
    if payload_file is not None:
        try:
            raw = sys.stdin.buffer.read() if str(payload_file) == "-" else payload_file.read_bytes()
        except OSError as error:
            raise DataError(
                f"the payload cannot be read ({error}).", fix="Check the path."
            ) from error
    router = Router(Topics(context.plant.root), context.settings.ingest)
    answer = explain_message(router, context.plant, topic, raw, context.clock.now_ms())
    if as_json:
        typer.echo(orjson.dumps(answer))
    else:
        _show(answer)
    if (
        not (answer["readings"] or answer["events"] or answer.get("waveforms"))
        and answer["problems"]
    ):
        raise SystemExit(1)


def _show(answer: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    console.print(f"read by      {escape(answer['read_by'])}")
    console.print(
        f"subscription {escape(answer['subscribed_by'] or 'none: this topic does not arrive')}"
    )
    for reading in answer["readings"]:
        title = f"{reading['asset']} ({reading['kind']}) at {reading['ts']}, time of {reading['ts_from']}"
        table = Table("signal", "value", "unit", title=escape(title))
        for name, value in reading["values"].items():
            table.add_row(name, f"{value['value']:g}", escape(value["unit"]))
        console.print(table)
    for event in answer["events"]:
        console.print(
            f"event        {event['kind']} {event['mode']} of {event['asset']} at {event['ts']}"
        )
    for waveform in answer.get("waveforms", ()):
        console.print(f"waveform     {waveform['samples']} samples of {waveform['signal']}")
    for problem in answer["problems"]:
        console.print(f"[red]{problem['reason']}[/red]: {escape(problem['problem'])}")


@app.command()
def watch(
    ctx: typer.Context,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 2.0,
    count: Annotated[int, typer.Option(min=0, help="Looks before it ends; 0: until Ctrl-C.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Show live rates, lag and rejects of a running ingest, read from its journals.

    Example: `vigie ingest watch --interval 1`
    """
    import itertools
    import time
    from dataclasses import asdict

    import orjson
    from rich.live import Live

    from ingest.watch import glance, rates

    context = get_context(ctx)

    def looks() -> Any:
        before = glance(context.data_dir, context.clock.now_ms())
        for number in itertools.count(1):
            time.sleep(interval)
            after = glance(context.data_dir, context.clock.now_ms())
            yield after, rates(before, after)
            before = after
            if number == count:
                return

    if as_json:
        for after, rate in looks():
            typer.echo(orjson.dumps({**asdict(after), **asdict(rate)}))
        return
    with Live(auto_refresh=False) as live:
        for after, rate in looks():
            live.update(_table(after, rate), refresh=True)


def _table(after: Glance, rate: Rates) -> Table:
    from rich.markup import escape
    from rich.table import Table

    from plant.times import format_duration

    table = Table(show_header=False, title="Vigie ingest")
    table.add_row("stored", f"{rate.entries_per_s:,.0f}/s", f"{after.entries:,} ever")
    lag = "-" if rate.lag_ms is None else format_duration(rate.lag_ms)
    silent = (
        "nothing yet" if rate.silent_ms is None else f"last {format_duration(rate.silent_ms)} ago"
    )
    table.add_row("lag", lag, silent)
    table.add_row("assets", str(after.assets), f"{after.journals} journals")
    table.add_row(
        "rejected", f"{rate.rejected_per_s:,.0f}/s", f"{sum(after.rejected.values()):,} ever"
    )
    for reason, number in sorted(after.rejected.items(), key=lambda item: -item[1])[:10]:
        table.add_row("", escape(reason), f"{number:,}")
    return table

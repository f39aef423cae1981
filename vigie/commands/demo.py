"""`vigie demo`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from plant.errors import DataError

if TYPE_CHECKING:
    from vigie.demo.run import Demo, DemoResult

#: A fresh checkout makes .venv first: younger than this, its age is the time since the clone.
_FRESH_S = 3_600.0


def command(
    store: Annotated[
        Literal["sqlite", "influx"], typer.Option(help="influx needs `make servers` first.")
    ] = "sqlite",
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another plant.")] = 1,
    past_days: Annotated[float, typer.Option(min=20, help="Simulated past to train on.")] = 100.0,
    days: Annotated[float, typer.Option(min=0.1, help="Plant days to play live.")] = 30.0,
    until: Annotated[
        str, typer.Option(help="first-hit: end when an alarmed failure has happened.")
    ] = "",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the result here; no terminal view.")
    ] = None,
) -> None:
    """Simulate a plant, train on its past, then watch its failures being predicted.

    Starts a broker of its own on a free port (Mosquitto, or a small embedded one), and ends with
    Ctrl-C. With `--until first-hit` it exits 0 as soon as a failure has happened that was alarmed
    beforehand, and 1 when there was none.

    Example: `vigie demo --until first-hit --json out.json`
    """
    from vigie.demo.run import Demo, DemoOptions

    if until not in {"", "first-hit"}:
        raise DataError(f"--until {until!r} is not known.", fix="Use first-hit, or leave it out.")
    options = DemoOptions(
        store=store, seed=seed, past_days=past_days, live_days=days, first_hit=bool(until)
    )
    with Demo.start(options) as demo:
        result = _quietly(demo) if json_file is not None else _in_terminal(demo)
        if json_file is not None:
            import orjson

            json_file.write_bytes(orjson.dumps(result.to_dict(), option=orjson.OPT_INDENT_2))
    if until and result.failed_at is None:
        typer.echo("No failure was alarmed beforehand in this time.", err=True)
        raise typer.Exit(1)


def _quietly(demo: Demo) -> DemoResult:
    """Play without a terminal; what is being done goes to stderr, a line each."""
    said: list[str] = []

    def tell(what: str, _share: float) -> None:
        if said[-1:] != [what]:
            said.append(what)
            typer.echo(what, err=True)

    result = demo.play(tell, lambda _story: None)
    typer.echo(_first_risk(demo), err=True)
    return result


def _in_terminal(demo: Demo) -> DemoResult:
    """Play with a picture that updates; Ctrl-C ends it cleanly."""
    import signal

    from rich.console import Console
    from rich.live import Live
    from rich.progress import BarColumn, Progress, TextColumn

    from plant.times import to_iso
    from vigie.demo.story import Story
    from vigie.demo.view import picture

    console = Console()
    signal.signal(signal.SIGINT, lambda *_: demo.stop())
    listen = f"mosquitto_sub -p {demo.servers.port} -t 'plant/+/+/+/risk' -v"
    console.print(f"Running on {demo.servers.names}. Listen from another terminal:\n  {listen}\n")
    bar = Progress(TextColumn("{task.description}"), BarColumn(), console=console, transient=True)
    task = bar.add_task("starting", total=1.0)
    live = Live(console=console, refresh_per_second=4)

    def tell(what: str, share: float) -> None:
        bar.update(task, description=what, completed=share)

    def show(story: Story) -> None:
        if bar.live.is_started:
            bar.stop()
            console.print(_first_risk(demo))
            live.start()
        when = to_iso(story.now_ms)[:16].replace("T", " ")
        live.update(picture(story, f"The plant at {when} UTC", f"{listen}   (Ctrl-C ends)"))

    bar.start()
    try:
        result = demo.play(tell, show)
    finally:
        bar.stop()
        live.stop()
    console.print(
        f"{result.readings_published:,} readings published, {result.readings_stored:,} stored,"
        f" {result.risk_messages:,} risk messages, in {result.wall_s:.0f} s."
    )
    return result


def _first_risk(demo: Demo) -> str:
    """Say how long the first risk message took, since the clone where that can be told."""
    import sys

    text = f"First risk message after {demo.first_risk_s or 0:.0f} s"
    venv = Path(sys.prefix) / "pyvenv.cfg"
    age_s = time.time() - venv.stat().st_mtime if venv.exists() else _FRESH_S
    if age_s < _FRESH_S:
        text += f" ({age_s:.0f} s after `make` began to install)"
    return text + "."

"""`vigie simulate`: a plant instead of a factory, as files, into the store, or over MQTT."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vigie.context import get_context
from vigie.simulation import Target, Wire, deliver

if TYPE_CHECKING:
    from plant.config import Plant
    from simulator.plant import PlantSimulation
    from simulator.scenario import Scenario
    from vigie.context import Context

app = typer.Typer(no_args_is_help=True, help=__doc__)
scenarios = typer.Typer(no_args_is_help=True, help="Ready stories of what can go wrong.")
app.add_typer(scenarios, name="scenario")

Seed = Annotated[int | None, typer.Option(min=0, help="Same seed, same readings to the last bit.")]
Days = Annotated[float, typer.Option(min=0.01, help="How long, in days of the plant's time.")]
Interval = Annotated[float | None, typer.Option(min=0.001, help="Seconds between two readings.")]
Assets = Annotated[
    list[str] | None,
    typer.Option("--assets", "-a", help="Give out only these; the whole plant runs. Repeat."),
]
To = Annotated[
    Target, typer.Option(help="files: Parquet below --out. store: Vigie's. mqtt: play it live.")
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the files.")]
Speed = Annotated[
    float, typer.Option(min=0, help="mqtt: times real time; 0 is as fast as possible.")
]
Form = Annotated[Literal["json", "sparkplug"], typer.Option(help="mqtt: what machines speak.")]
Clients = Annotated[int, typer.Option(min=1, help="mqtt: connections shared by the machines.")]
Qos = Annotated[int, typer.Option(min=0, max=2, help="mqtt: quality of service.")]
Waves = Annotated[float, typer.Option(min=0, help="mqtt: seconds between waveforms; 0 for none.")]
Truth = Annotated[
    bool, typer.Option("--truth", help="Truth too: folder truth/, or vigie/truth/# over MQTT.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command("plant")
def plant_command(
    ctx: typer.Context,
    preset: Annotated[
        str, typer.Option(help="demo, mixed or a kind; default: --plant, else demo.")
    ] = "",
    days: Days = 30.0,
    seed: Seed = None,
    interval: Interval = None,
    assets: Assets = None,
    to: To = "files",
    out: Out = Path("simulated"),
    speed: Speed = 0.0,
    form: Form = "json",
    clients: Clients = 1,
    qos: Qos = 1,
    waveforms: Waves = 0.0,
    truth: Truth = False,
    write_plant: Annotated[
        Path | None, typer.Option(help="Only write the preset's plant.toml to this file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Simulate a whole plant: your plant.toml, or a preset.

    Examples: `vigie simulate plant --days 90 --out sim`; `vigie simulate plant --to mqtt --speed 3600`
    """
    context = get_context(ctx)
    if write_plant is not None:
        from simulator.presets import preset_toml

        write_plant.write_text(preset_toml(preset or "demo"), encoding="utf-8")
        typer.echo(f"{write_plant} written.", err=True)
        return
    live = _simulation(context, _plant(context, preset), seed, interval, assets)
    wire = Wire(speed, form, clients, qos, waveforms)
    _report(deliver(context, live, days, to, out, truth, wire), as_json=as_json)


@app.command("machine")
def machine_command(
    ctx: typer.Context,
    kind: Annotated[
        str, typer.Argument(help="pump, gearmotor, conveyor, spindle, compressor, fan.")
    ],
    number: Annotated[int, typer.Option("--number", "-n", min=1, help="How many of it.")] = 1,
    days: Days = 30.0,
    seed: Seed = None,
    interval: Interval = None,
    to: To = "files",
    out: Out = Path("simulated"),
    speed: Speed = 0.0,
    form: Form = "json",
    clients: Clients = 1,
    qos: Qos = 1,
    waveforms: Waves = 0.0,
    truth: Truth = False,
    as_json: Json = False,
) -> None:
    """Simulate machines of one kind on a line of their own.

    Example: `vigie simulate machine fan --number 3 --days 60 --out fans --truth`
    """
    from plant.config import parse_plant
    from simulator.presets import machine_plant_toml

    context = get_context(ctx)
    plant = parse_plant(machine_plant_toml(kind, number))
    live = _simulation(context, plant, seed, interval, None)
    wire = Wire(speed, form, clients, qos, waveforms)
    _report(deliver(context, live, days, to, out, truth, wire), as_json=as_json)


@app.command("plot")
def plot_command(
    ctx: typer.Context,
    asset: Annotated[str, typer.Argument(help="Path, or a kind: one machine of it.")] = "pump",
    file: Annotated[Path, typer.Option("--out", "-o", help="PNG to write.")] = Path("machine.png"),
    preset: Annotated[str, typer.Option(help="demo, mixed or a kind.")] = "",
    scenario: Annotated[str, typer.Option(help="A scenario's name or file instead.")] = "",
    days: Days = 60.0,
    seed: Seed = None,
    interval: Interval = 300.0,
) -> None:
    """Draw a machine's signals, wear and events.

    Example: `vigie simulate plot lyon/l1/pump-3 --days 45 --seed 7 --out pump-3.png`
    """
    from plant.asset import AssetPath
    from plant.times import DAY_MS
    from simulator.plot import draw, save

    path = asset if "/" in asset else f"lyon/l1/{asset}-1"
    if scenario:
        story = _scenario(scenario)
        live, days = story.begin(seed=seed), story.days
    else:
        context = get_context(ctx)
        plant = _plant(context, preset if "/" in asset else preset or asset)
        live = _simulation(context, plant, seed, interval, None)
    stop_ms = live.start_ms + round(days * DAY_MS)
    machine = AssetPath.parse(path)
    live.station(machine)
    live.advance(stop_ms)
    save(draw(live, machine, live.start_ms, stop_ms), file)
    typer.echo(f"{file} shows {machine} over {days:g} days.", err=True)


@scenarios.command("list")
def list_command(as_json: Json = False) -> None:
    """List the ready scenarios, a sentence each.

    Example: `vigie simulate scenario list`
    """
    from rich.console import Console
    from rich.table import Table

    from simulator.scenario import library

    found = library()
    if as_json:
        _report([{"name": s.name, "days": s.days, "sentence": s.sentence} for s in found])
        return
    table = Table("name", "days", "what happens")
    for story in found:
        table.add_row(story.name, f"{story.days:g}", story.sentence)
    Console().print(table)


@scenarios.command("describe")
def describe_command(
    name: Annotated[str, typer.Argument(help="A scenario's name, or its TOML file.")],
    as_json: Json = False,
) -> None:
    """Say what will happen in a scenario, and when.

    Example: `vigie simulate scenario describe outage`
    """
    from plant.times import to_iso

    story = _scenario(name)
    live = story.begin()
    faults = [
        {
            "from": to_iso(fault.from_ms),
            "to": to_iso(min(fault.until_ms, story.stop_ms)),
            "what": fault.what,
            "where": f"{fault.asset}/{fault.signal}".rstrip("/"),
            "how_much": fault.text or fault.amount or None,
        }
        for fault in sorted(live.faults.active, key=lambda fault: fault.from_ms)
    ]
    if as_json:
        about = {"name": story.name, "sentence": story.sentence, "days": story.days}
        _report(about | {"machines": len(live.shown), "faults": faults}, as_json=True)
        return
    typer.echo(f"{story.name}: {story.sentence}")
    typer.echo(f"{len(live.shown)} machines, {story.days:g} days from {to_iso(story.start_ms)}.")
    for fault in faults:
        much = "" if fault["how_much"] is None else f" ({fault['how_much']})"
        typer.echo(f"  {fault['from']} to {fault['to']}  {fault['what']}{much}  {fault['where']}")


@scenarios.command("run")
def run_command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A scenario's name, or its TOML file.")],
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the scenario's.")] = None,
    to: To = "files",
    out: Out = Path("simulated"),
    speed: Speed = 0.0,
    form: Form = "json",
    clients: Clients = 1,
    qos: Qos = 1,
    waveforms: Waves = 0.0,
    truth: Truth = False,
    as_json: Json = False,
) -> None:
    """Run a scenario to its end.

    Example: `vigie simulate scenario run outage --to mqtt --speed 0 --truth`
    """
    story = _scenario(name)
    live = story.begin(seed=seed)
    wire = Wire(speed, form, clients, qos, waveforms)
    result = deliver(get_context(ctx), live, story.days, to, out, truth, wire)
    _report({"scenario": story.name} | result, as_json=as_json)


def _scenario(name: str) -> Scenario:
    from simulator.scenario import load_scenario

    return load_scenario(name)


def _plant(context: Context, preset: str) -> Plant:
    from simulator.scenario import load_plant

    if not preset and context.plant.assets:
        return context.plant
    return load_plant(preset or "demo")


def _simulation(
    context: Context,
    plant: Plant,
    seed: int | None,
    interval: float | None,
    assets: list[str] | None,
) -> PlantSimulation:
    """Build the plant as [simulator] of vigie.toml says, with what the command line says instead."""
    from simulator.plant import PlantSimulation

    changes: dict[str, Any] = {}
    if interval is not None:
        changes["interval_s"] = interval
    if plant is not context.plant:  # a preset has neither our lines nor our faults' places
        changes |= {"lines": {}, "faults": ()}
    settings = context.settings.simulator.model_copy(update=changes)
    return PlantSimulation(plant, seed=seed, settings=settings, assets=assets or None)


def _report(result: Any, *, as_json: bool = True) -> None:
    """Print a result for a machine or for people."""
    import orjson

    if as_json:
        typer.echo(orjson.dumps(result))
        return
    shown = {k: f"{v:,}" if isinstance(v, int) else str(v) for k, v in result.items()}
    width = max(map(len, shown))
    for key, value in shown.items():
        typer.echo(f"{key.replace('_', ' '):<{width}}  {value}")

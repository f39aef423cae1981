"""`vigie alarms`: what is wrong now, who has seen it, what became of it."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plant.asset import AssetPath
from plant.errors import DataError
from plant.times import DAY_MS, parse_duration_ms, parse_moment, to_iso
from vigie import alarm_tables
from vigie.context import Context, get_context

if TYPE_CHECKING:
    from plant.event import Event
    from serve.alarms.desk import AlarmDesk
    from serve.alarms.state import Alarm
    from serve.alarms.tune import Trial
    from store.port import Store

app = typer.Typer(
    no_args_is_help=True,
    help="See alarms, acknowledge, shelve and judge them.\n\nExample: `vigie alarms list`",
)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]
AlarmId = Annotated[str, typer.Argument(help="The alarm's id, or a beginning of it.")]
Who = Annotated[str, typer.Option("--who", help="Who acts (default: your login).")]
Why = Annotated[str, typer.Option("--why", help="The reason, kept in the event log.")]
From = Annotated[str, typer.Option("--from", help="Begin: -7d, 2026-11-01 or an ISO 8601 time.")]
To = Annotated[str, typer.Option("--to", help="End: now, -1d, or an ISO 8601 time.")]


@app.command("list")
def list_command(
    ctx: typer.Context,
    as_json: AsJson = False,
    crew: Annotated[str, typer.Option(help="Only this crew's.")] = "",
) -> None:
    """Show the open alarms, the gravest first.

    Example: `vigie alarms list --json | jq .id`
    """
    from serve.severity import rank

    with _desk(ctx) as (_, desk, _store):
        alarms = [a for a in desk.book.open_alarms() if crew in {"", a.crew}]
    alarms.sort(key=lambda a: (not a.is_active, -rank(a.severity), a.raised_ms))
    if as_json:
        _lines([alarm_tables.alarm_row(alarm) for alarm in alarms])
        return
    from rich.console import Console

    Console().print(alarm_tables.open_alarms(alarms) if alarms else "No alarm is open.")


@app.command()
def show(ctx: typer.Context, alarm: AlarmId, as_json: AsJson = False) -> None:
    """Show one alarm, open or closed, and everything that happened to it.

    Example: `vigie alarms show A3f9`
    """
    with _desk(ctx) as (context, _, store):
        log = _log(store, 0, context.clock.now_ms() + DAY_MS)
    found = _find(log, alarm)
    steps = [e for e in log if e.key.split(":")[0] == found.id]
    if as_json:
        _lines(
            [
                alarm_tables.alarm_row(found)
                | {"history": [alarm_tables.step_row(step) for step in steps]}
            ]
        )
        return
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    console.print(
        f"[bold]{found.id}[/]  {escape(str(found.asset))}  {escape(found.label or found.mode)}"
    )
    console.print(
        f"{found.severity}, {escape(alarm_tables.state_text(found))}, raised {to_iso(found.raised_ms)},"
        f" crew {escape(found.crew or 'nobody')}"
    )
    console.print(escape(found.sentence))
    console.print(alarm_tables.history_table(steps))


@app.command()
def ack(ctx: typer.Context, alarm: AlarmId, who: Who = "", why: Why = "") -> None:
    """Say that somebody has seen an alarm.

    Example: `vigie alarms ack A3f9 --why "bearing ordered"`
    """
    with _desk(ctx) as (context, desk, store):
        steps = desk.acknowledge(alarm, context.clock.now_ms(), who or getpass.getuser(), why)
        desk.book.deliver(store)
    _say(steps, "It had been acknowledged before.")


@app.command()
def shelve(
    ctx: typer.Context,
    alarm: AlarmId,
    until: Annotated[str, typer.Option(help="End: 8h, 3d, or an ISO 8601 time.")],
    who: Who = "",
    why: Why = "",
) -> None:
    """Put an alarm aside until a moment; it comes back by itself, or at once if it gets worse.

    Example: `vigie alarms shelve A3f9 --until 8h --why "waiting for a part"`
    """
    with _desk(ctx) as (context, desk, store):
        now_ms = context.clock.now_ms()
        try:
            until_ms = now_ms + parse_duration_ms(until)
        except DataError:
            until_ms = parse_moment(until, now_ms)
        steps = desk.shelve(alarm, until_ms, now_ms, who or getpass.getuser(), why)
        desk.book.deliver(store)
    _say(steps, "It was shelved until then already.")


@app.command()
def unshelve(ctx: typer.Context, alarm: AlarmId, who: Who = "", why: Why = "") -> None:
    """Take a shelved alarm back before its time.

    Example: `vigie alarms unshelve A3f9`
    """
    with _desk(ctx) as (context, desk, store):
        steps = desk.unshelve(alarm, context.clock.now_ms(), who or getpass.getuser(), why)
        desk.book.deliver(store)
    _say(steps, "It was not shelved.")


@app.command()
def history(
    ctx: typer.Context,
    asset: Annotated[str, typer.Argument(help="Only this machine: site/line/asset.")] = "",
    from_: From = "-30d",
    to: To = "now",
    as_json: AsJson = False,
) -> None:
    """Show what happened to alarms: who did what, when and why.

    Example: `vigie alarms history lyon/l1/pump-3 --from -7d`
    """
    with _desk(ctx) as (context, _, store):
        now_ms = context.clock.now_ms()
        log = _log(store, parse_moment(from_, now_ms), parse_moment(to, now_ms) + 1, asset)
    if as_json:
        _lines([alarm_tables.step_row(event) for event in log])
        return
    from rich.console import Console

    Console().print(alarm_tables.history_table(log) if log else "Nothing happened in that time.")


@app.command()
def feedback(
    ctx: typer.Context,
    alarm: AlarmId,
    verdict: Annotated[
        str, typer.Argument(help="right, wrong, or other (something else was found).")
    ],
    mode: Annotated[str, typer.Option(help="With other: the failure mode that was found.")] = "",
    note: Annotated[str, typer.Option(help="In your own words.")] = "",
    who: Who = "",
) -> None:
    """Say whether an alarm was right; it becomes a label for training and a figure in the KPIs.

    Example: `vigie alarms feedback A3f9 other --mode SEAL --note "seal was dripping"`
    """
    from serve.alarms.feedback import feedback_event

    with _desk(ctx) as (context, _, store):
        now_ms = context.clock.now_ms()
        found = _find(_log(store, 0, now_ms + DAY_MS), alarm)
        event = feedback_event(
            found,
            verdict,  # type: ignore[arg-type] # checked there, with a sentence for people
            now_ms,
            who or getpass.getuser(),
            context.plant,
            mode=mode,
            note=note,
        )
        store.write_events([event])
    typer.echo(f"Noted: {found.id} on {found.asset} was {verdict}.")


@app.command()
def quality(
    ctx: typer.Context, from_: From = "-365d", to: To = "now", as_json: AsJson = False
) -> None:
    """Report precision, recall and lead time, from people's feedback and from what happened.

    Example: `vigie alarms quality --from -90d`
    """
    from serve.alarms.quality import quality_of

    with _desk(ctx) as (context, _, store):
        now_ms = context.clock.now_ms()
        start_ms, stop_ms = parse_moment(from_, now_ms), parse_moment(to, now_ms)
        events = store.read_events(start_ms, stop_ms + 1)
    report = quality_of(events, start_ms, stop_ms)
    if as_json:
        _lines([report.to_dict()])
        return
    for line in report.sentences():
        typer.echo(line)


@app.command()
def tune(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(help="The kind of machine.")],
    from_: From = "-365d",
    to: To = "now",
    as_json: AsJson = False,
) -> None:
    """Choose the warning threshold of a kind from cost and lead time on the stored history.

    Prints what each threshold would have done, and the lines to put into vigie.toml.

    Example: `vigie alarms tune pump --from -180d`
    """
    from serve.alarms.tune import best, scaled

    context = get_context(ctx)
    trials = _trials(context, kind, from_, to)
    chosen = best(trials)
    if chosen is None:
        raise DataError("there is nothing to try.")
    severity = context.settings.serve.severity
    thresholds = scaled(severity.of_kind(kind), chosen.threshold)
    if as_json:
        from dataclasses import asdict

        _lines(
            [
                asdict(trial) | {"chosen": trial is chosen, "in_budget": trial.in_budget}
                for trial in trials
            ]
        )
        return
    from rich.console import Console

    console = Console()
    console.print(alarm_tables.trial_table(trials, chosen, context.plant.currency))
    if not chosen.in_budget:
        console.print("No threshold keeps every crew within its budget; this one comes nearest.")
    typer.echo(f"[serve.severity.kinds.{kind}]")
    for name in ("advisory", "warning", "critical"):
        typer.echo(f"{name} = {getattr(thresholds, name)}")


def _trials(context: Context, kind: str, from_: str, to: str) -> list[Trial]:
    from rich.console import Console
    from rich.progress import Progress

    from serve.alarms.rules import Rules
    from serve.alarms.tune import tune as run_trials

    if kind not in context.plant.kinds:
        known = ", ".join(sorted(context.plant.kinds)) or "none"
        raise DataError(
            f"the kind {kind[:40]!r} is not in plant.toml.", fix=f"Known kinds: {known}."
        )
    now_ms = context.clock.now_ms()
    start_ms, stop_ms = parse_moment(from_, now_ms), parse_moment(to, now_ms) + 1
    assets = [AssetPath.parse(spec.path) for spec in context.plant.assets if spec.kind == kind]
    store = context.open_store()
    try:
        risks = {asset: store.read_risks(start_ms, stop_ms, asset=asset) for asset in assets}
        events = store.read_events(start_ms, stop_ms)
    finally:
        store.close()
    if not any(risks.values()):
        raise DataError(
            f"there are no risks of kind {kind} in that time.",
            fix="Let `vigie run` or `vigie score` work first.",
        )
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("trying thresholds", total=None)
        return run_trials(
            risks,
            events,
            Rules(context.plant, context.settings.serve),
            kind,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


@contextmanager
def _desk(ctx: typer.Context) -> Iterator[tuple[Context, AlarmDesk, Store]]:
    """Open the alarms and the store; the running service sees what is changed here."""
    from serve.alarms.book import AlarmBook
    from serve.alarms.desk import AlarmDesk
    from serve.alarms.rules import Rules

    context = get_context(ctx)
    store = context.open_store()
    try:
        book = AlarmBook(context.data_dir / "alarms.db")
        try:
            yield context, AlarmDesk(book, Rules(context.plant, context.settings.serve)), store
        finally:
            book.close()
    finally:
        store.close()


def _log(store: Store, start_ms: int, stop_ms: int, asset: str = "") -> list[Event]:
    events = store.read_events(
        start_ms,
        stop_ms,
        asset=AssetPath.parse(asset) if asset else None,
        kinds=("alarm", "feedback"),
    )
    return sorted(events, key=lambda e: (e.ts_ms, e.detail.get("alarm", {}).get("step", 0)))


def _find(log: list[Event], alarm: str) -> Alarm:
    from serve.alarms.feedback import alarms_of, find_alarm

    return find_alarm(alarms_of(log), alarm)


def _say(steps: list[Any], otherwise: str) -> None:
    for step in steps:
        typer.echo(f"{step.alarm.id} on {step.alarm.asset}: {alarm_tables.state_text(step.alarm)}.")
    if not steps:
        typer.echo(otherwise)


def _lines(rows: list[dict[str, Any]]) -> None:
    import orjson

    for row in rows:
        typer.echo(orjson.dumps(row))

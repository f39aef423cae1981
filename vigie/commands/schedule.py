"""`vigie schedule`: plan repairs, look at the plan, say what must change, hand it on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plant.errors import DataError
from plant.times import DAY_MS, from_iso, parse_moment
from vigie.commands import schedule_feed
from vigie.context import Context, get_context
from vigie.people import login

if TYPE_CHECKING:
    from serve.schedule import Plan, PlannedJob

app = typer.Typer(
    no_args_is_help=True,
    help="Plan repairs at the least expected cost, and hand the plan on.\n\n"
    "Example: `vigie schedule plan && vigie schedule export plan.xlsx`",
)
app.add_typer(schedule_feed.app, name="feed")

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]
JobName = Annotated[str, typer.Argument(help="The job's key (VG-…), asset, or asset#mode.")]
Why = Annotated[str, typer.Option("--why", help="The reason, kept in the event log.")]
Who = Annotated[str, typer.Option("--who", help="Who says so (default: your login).")]
Replan = Annotated[bool, typer.Option("--replan/--no-replan", help="Plan anew at once.")]


@app.command("plan")
def plan_command(
    ctx: typer.Context,
    as_json: AsJson = False,
    greedy: Annotated[bool, typer.Option("--greedy", help="Without the optimiser.")] = False,
    seconds: Annotated[float | None, typer.Option(help="Time limit of the solver.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show, but do not store.")] = False,
) -> None:
    """Choose a slot for each repair from the latest risks, and store the plan.

    Example: `vigie schedule plan --json | jq .gap`
    """
    context = get_context(ctx)
    changes: dict[str, Any] = {}
    if greedy:
        changes["optimise"] = False
    if seconds is not None:
        changes["time_limit_s"] = seconds
    _show(context, _replan(context, changes, dry_run=dry_run), as_json)


@app.command()
def show(
    ctx: typer.Context,
    as_json: AsJson = False,
    job: Annotated[str, typer.Option(help="One job by key or asset, in full.")] = "",
    gantt: Annotated[Path | None, typer.Option(help="Write a Gantt picture (.png) here.")] = None,
) -> None:
    """Show the plan in force.

    Example: `vigie schedule show --gantt plan.png`
    """
    context = get_context(ctx)
    current = _current(context)
    if gantt is not None:
        from serve.schedule.gantt import draw_gantt

        gantt.write_bytes(draw_gantt(current, context.plant))
        typer.echo(f"wrote {gantt}", err=True)
    if job:
        _show_job(context, current, job, as_json)
        return
    _show(context, current, as_json)


@app.command()
def pin(
    ctx: typer.Context,
    job: JobName,
    start: Annotated[str, typer.Argument(help="Start: 2026-04-01T08:00 is local to the site.")],
    crew: Annotated[str, typer.Option(help="The crew (default: any that can).")] = "",
    why: Why = "",
    who: Who = "",
    replan: Replan = True,
) -> None:
    """Fix a job's start; the plan is made around it.

    Example: `vigie schedule pin lyon/l1/pump-3 2026-04-01T08:00 --crew mechanics --why "crane is here"`
    """
    from serve.schedule import pin as pin_job

    def act(context: Context, store: Any, found: PlannedJob) -> None:
        moment = _local_moment(context, found, start)
        names = [c.name for c in context.plant.crews]
        if crew and crew not in names:
            raise DataError(
                f"there is no crew {crew[:60]!r}.", fix=f"There are: {', '.join(names)}."
            )
        pin_job(
            store, found, moment, context.clock.now_ms(), crew=crew, who=who or login(), why=why
        )

    _wish(ctx, job, act, replan=replan)


@app.command()
def unpin(
    ctx: typer.Context, job: JobName, why: Why = "", who: Who = "", replan: Replan = True
) -> None:
    """Let Vigie choose the slot of a pinned or rejected job again.

    Example: `vigie schedule unpin lyon/l1/pump-3`
    """
    from serve.schedule import unpin as unpin_job

    def act(context: Context, store: Any, found: PlannedJob) -> None:
        unpin_job(store, found, context.clock.now_ms(), who=who or login(), why=why)

    _wish(ctx, job, act, replan=replan)


@app.command()
def reject(
    ctx: typer.Context,
    job: JobName,
    until: Annotated[
        str, typer.Option(help="Not before then, e.g. 2026-04-15 (default: a week).")
    ] = "",
    why: Why = "",
    who: Who = "",
    replan: Replan = True,
) -> None:
    """Keep a job out of the plan for a while.

    Example: `vigie schedule reject lyon/l1/pump-3 --until 2026-04-15 --why "audit week"`
    """
    from serve.schedule import reject as reject_job

    def act(context: Context, store: Any, found: PlannedJob) -> None:
        now_ms = context.clock.now_ms()
        end = parse_moment(until, now_ms) if until else None
        end_ms = end or now_ms + round(context.settings.schedule.reject_d * DAY_MS)
        reject_job(store, found, end_ms, now_ms, who=who or login(), why=why)

    _wish(ctx, job, act, replan=replan)


@app.command()
def export(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="plan.csv, plan.xlsx, plan.ics, plan.png or plan.json")
    ],
    profile: Annotated[
        str, typer.Option(help="CSV for: vigie, atlas, maximo, sap, fiix.")
    ] = "vigie",
    language: Annotated[str | None, typer.Option(help="en, fr or de.")] = None,
    separator: Annotated[
        str | None, typer.Option(help="CSV separator (tab for a tabulator).")
    ] = None,
    encoding: Annotated[str | None, typer.Option(help="utf-8-sig, utf-8, cp1252, utf-16.")] = None,
    date_format: Annotated[str | None, typer.Option(help="For instance %d/%m/%Y %H:%M.")] = None,
) -> None:
    """Write the plan for another program; the file's ending decides the format.

    Writing it again gives the same keys: an import updates instead of doubling.

    Example: `vigie schedule export orders.csv --profile atlas --language fr`
    """
    context = get_context(ctx)
    settings = _export_settings(
        context, language=language, separator={"tab": "\t"}.get(separator or "", separator),
        encoding=encoding, date_format=date_format,
    )  # fmt: skip
    file.write_bytes(_render(context, _current(context), file.suffix.lower(), profile, settings))
    typer.echo(f"wrote {file}", err=True)


def _replan(context: Context, changes: dict[str, Any], *, dry_run: bool = False) -> Plan:
    from serve.schedule import make_plan

    settings = context.settings.schedule.model_copy(update=changes)
    store = context.open_store()
    try:
        return make_plan(
            store, context.plant, settings, context.clock.now_ms(), who="vigie", keep=not dry_run
        )
    finally:
        store.close()


def _current(context: Context) -> Plan:
    from serve.schedule import load_plan

    store = context.open_store()
    try:
        current = load_plan(store, context.clock.now_ms())
    finally:
        store.close()
    if current is None:
        raise DataError("there is no plan yet.", fix="Run vigie schedule plan first.")
    return current


def _wish(ctx: typer.Context, name: str, act: Any, *, replan: bool) -> None:
    from serve.schedule.persist import find_job, load_plan

    context = get_context(ctx)
    store = context.open_store()
    try:
        act(context, store, find_job(load_plan(store, context.clock.now_ms()), name))
    finally:
        store.close()
    if replan:
        _show(context, _replan(context, {}), as_json=False)


def _local_moment(context: Context, job: PlannedJob, text: str) -> int:
    """Read a start; without a zone it is local time of the job's site."""
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise DataError(
            f"{text[:40]!r} is not a time.", fix="Write it like 2026-04-01T08:00."
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=context.plant.timezone(job.asset.site))
    return from_iso(moment.isoformat())


def _export_settings(context: Context, **given: Any) -> Any:
    from pydantic import ValidationError

    from plant.config_errors import config_error
    from serve.exports import ExportSettings

    update = {name: value for name, value in given.items() if value is not None}
    try:
        return ExportSettings.model_validate(context.settings.exports.model_dump() | update)
    except ValidationError as error:
        raise config_error("options", error) from error


def _render(context: Context, current: Plan, ending: str, profile: str, settings: Any) -> bytes:
    from serve.exports import PROFILES, write_csv, write_ics, write_xlsx

    if ending == ".csv":
        if profile not in PROFILES:
            raise DataError(
                f"{profile[:40]!r} is not a profile.", fix=f"Use {', '.join(PROFILES)}."
            )
        return write_csv(current, context.plant, profile, settings)
    if ending == ".xlsx":
        return write_xlsx(current, context.plant, settings.language)
    if ending == ".ics":
        return write_ics(current, context.plant, settings.language)
    if ending == ".png":
        from serve.schedule.gantt import draw_gantt

        return draw_gantt(current, context.plant, settings.language)
    if ending == ".json":
        import orjson

        from serve.schedule import plan_to_dict

        return orjson.dumps(plan_to_dict(current), option=orjson.OPT_INDENT_2)
    raise DataError(
        f"{ending or 'no ending'!r} is not a format.", fix="Use .csv .xlsx .ics .png .json."
    )


def _echo_json(value: Any) -> None:
    import orjson

    typer.echo(orjson.dumps(value))


def _show(context: Context, current: Plan, as_json: bool) -> None:
    from serve.schedule import plan_to_dict
    from serve.schedule.words import sentence

    if as_json:
        whole = plan_to_dict(current)
        for job, row in zip(current.jobs, whole["jobs"], strict=True):
            row["why"] = sentence(job, context.plant)
        _echo_json(whole)
        return
    from rich.console import Console

    from vigie.tables import plan_table

    console = Console()
    console.print(plan_table(current, context.plant))
    gap = f"{100 * current.gap:.2f} %" if current.gap < 1 else "unknown"
    console.print(
        f"Expected cost {current.cost:,.0f} {current.currency}, within {gap} of the best possible "
        f"({current.method}, {current.seconds:.1f} s; greedy: {current.greedy_cost:,.0f}).",
        highlight=False,
    )
    for part, count in current.orders.items():
        console.print(f"Order now: {count} × {part}", markup=False)
    for note in (*current.notes, *current.violations):
        console.print(f"Note: {note}", markup=False)


def _show_job(context: Context, current: Plan, name: str, as_json: bool) -> None:
    from serve.schedule.persist import find_job
    from serve.schedule.plan import job_to_dict
    from serve.schedule.words import sentence

    job = find_job(current, name)
    why = sentence(job, context.plant)
    if as_json:
        _echo_json(job_to_dict(job) | {"why": why})
        return
    typer.echo(f"{job.key}  {job.asset}  {job.label}: {job.action}\n{why}\n{job.evidence}".rstrip())

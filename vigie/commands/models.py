"""`vigie models`: the models there are, which one speaks, and how good each is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plant.times import to_iso
from vigie.context import Context, get_context
from vigie.people import login

if TYPE_CHECKING:
    from features.regime import RegimeModel
    from models.bundle import Bundle
    from models.registry import Registry

app = typer.Typer(
    no_args_is_help=True,
    help="Models: list, show, compare, promote, roll back, report.\n\nExample: `vigie models list`",
)
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


def _registry(context: Context) -> Registry:
    from models.registry import Registry

    return Registry(context.data_dir / "models")


def _check_kind(registry: Registry, kind: str | None) -> None:
    """Refuse a kind that has no model, where others have: it is mistyped."""
    from plant.errors import DataError

    kinds = registry.kinds()
    if kind is not None and kinds and kind not in kinds:
        raise DataError(f"there is no model of kind {kind!r} (there are: {', '.join(kinds)}).")


@app.command("list")
def list_models(
    ctx: typer.Context,
    kind: Annotated[str | None, typer.Option("--kind", "-k", help="Only this kind.")] = None,
    as_json: AsJson = False,
) -> None:
    """List all models, oldest first; the champion of each kind is marked.

    Example: `vigie models list --kind pump`
    """
    registry = _registry(get_context(ctx))
    _check_kind(registry, kind)
    entries = registry.list(kind)
    rows = [
        {
            "kind": e.kind,
            "model_id": e.model_id,
            "champion": e.champion,
            "trained": to_iso(e.trained_ms),
            "failures": e.lineage.get("failures"),
            "window": e.has_window,
            "metrics": e.lineage.get("metrics", {}),
            "damaged": e.lineage.get("damaged", ""),
        }
        for e in entries
    ]
    if as_json:
        _json_lines(rows)
        return
    from rich.console import Console
    from rich.table import Column, Table

    whole = Column("model", no_wrap=True)  # every other command asks for it
    table = Table("", whole, "trained", "failures", "skill", "C", "coverage", title="Models")
    for row in rows:
        m = row["metrics"]
        table.add_row(
            "★" if row["champion"] else "",
            row["model_id"],
            row["trained"][:16],
            str(row["failures"]),
            _number(m.get("skill")),
            _number(m.get("c_index")),
            row["damaged"]
            or ("no window" if not row["window"] else _number(m.get("window_coverage"))),
        )
    Console().print(table if rows else "No model yet: run `vigie train`.")


@app.command()
def show(
    ctx: typer.Context,
    model_id: Annotated[str, typer.Argument(help="The id or its beginning.")],
    as_json: AsJson = False,
) -> None:
    """Show where a model comes from: data, events, settings, figures, what drives it.

    Example: `vigie models show pump-20260131`
    """
    import orjson

    from models.explain import importance

    registry = _registry(get_context(ctx))
    bundle = registry.load(*registry.find(model_id))
    shown = {
        "kind": bundle.kind,
        "model_id": bundle.model_id,
        "champion": registry.champion_id(bundle.kind) == bundle.model_id,
        "trained": to_iso(bundle.trained_ms),
        "fingerprint": bundle.fingerprint,
        "why_no_window": bundle.why_no_window,
        "modes": None
        if bundle.modes is None
        else dict(zip(bundle.modes.codes, bundle.modes.shares, strict=True)),
        "signals": importance(bundle),
        "lineage": dict(bundle.lineage),
    }
    if as_json:
        typer.echo(orjson.dumps(shown))
        return
    from rich.console import Console

    Console().print_json(orjson.dumps(shown).decode())


@app.command()
def compare(
    ctx: typer.Context,
    challenger: Annotated[str, typer.Argument(help="The id of the newer model, or its beginning.")],
    champion: Annotated[
        str | None, typer.Argument(help="Against this one; default: the champion of its kind.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="The newest days to judge on.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Compare two models on the newest period, machine by machine and slice by slice.

    Example: `vigie models compare pump-20260228`
    """
    from models.challenge import challenge
    from plant.errors import ModelError

    context = get_context(ctx)
    registry = _registry(context)
    new = registry.load(*registry.find(challenger))
    old = (
        registry.champion(new.kind) if champion is None else registry.load(*registry.find(champion))
    )
    if old is None or old.model_id == new.model_id:
        raise ModelError(
            "there is no other model to compare it with.", fix="See `vigie models list`."
        )
    store = context.open_store()
    try:
        result = challenge(
            old,
            new,
            store,
            context.plant,
            context.settings.features,
            context.settings.model,
            context.clock.now_ms(),
            days,
        )
    finally:
        store.close()
    if as_json:
        _json_lines([{"champion": old.model_id, "challenger": new.model_id} | result.to_dict()])
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "slice", "machines", "champion", "challenger", "gain", "95 %", "", title="Log loss"
    )
    for s in (result.overall, *result.slices):
        interval = f"[{s.low:.4f}, {s.high:.4f}]"
        table.add_row(
            s.name,
            str(s.machines),
            f"{s.champion:.4f}",
            f"{s.challenger:.4f}",
            f"{s.gain:.4f}",
            interval,
            s.verdict,
            end_section=s is result.overall,
        )
    console = Console()
    console.print(table)
    console.print(result.reason(), markup=False)


@app.command()
def promote(
    ctx: typer.Context, model_id: Annotated[str, typer.Argument(help="The id or its beginning.")]
) -> None:
    """Make a model the champion of its kind, in one step; running services take it up by themselves.

    Example: `vigie models promote pump-20260228`
    """
    context = get_context(ctx)
    registry = _registry(context)
    kind, full = registry.find(model_id)
    registry.promote(kind, full, context.clock.now_ms(), who=login(), why="by hand")
    _log_by_hand(context, kind, full, "promoted by hand")
    typer.echo(f"{full} is now the champion of {kind}.")


@app.command()
def rollback(
    ctx: typer.Context, kind: Annotated[str, typer.Argument(help="The kind of machine.")]
) -> None:
    """Go back to the champion before.

    Example: `vigie models rollback pump`
    """
    context = get_context(ctx)
    full = _registry(context).rollback(kind)
    _log_by_hand(context, kind, full, "rolled back to by hand")
    typer.echo(f"{full} is the champion of {kind} again.")


def _log_by_hand(context: Context, kind: str, model_id: str, why: str) -> None:
    """Write a person's decision to the audit trail."""
    from models.challenge import log_decision

    store = context.open_store()
    try:
        log_decision(
            store,
            kind,
            model_id,
            promoted=True,
            why=why,
            now_ms=context.clock.now_ms(),
            who=login(),
        )
    finally:
        store.close()


@app.command()
def watch(
    ctx: typer.Context,
    kind: Annotated[str | None, typer.Option("--kind", "-k", help="Only this kind.")] = None,
    days: Annotated[float, typer.Option(min=1, help="The newest days that are compared.")] = 14.0,
    as_json: AsJson = False,
) -> None:
    """Look for drift since training, count what is new, and say whether to train again.

    The finding is written to the event log. A scheduled job may train on it:
    `vigie models watch --json | jq -es 'any(.due)' && vigie train`

    Example: `vigie models watch --kind pump`
    """
    from rich.console import Console

    from models.pipeline import read_history
    from models.watch import log_watch
    from models.watch import watch as look

    context = get_context(ctx)
    registry = _registry(context)
    _check_kind(registry, kind)
    now_ms = context.clock.now_ms()
    store = context.open_store()
    found = []
    try:
        for one in registry.kinds() if kind is None else [kind]:
            bundle = registry.champion(one)
            if bundle is None:
                continue
            with Console(stderr=True).status(f"watching {one}"):
                history = read_history(
                    store,
                    context.plant,
                    context.settings.features,
                    now_ms,
                    state_file=context.data_dir / "features" / "train.json",
                    regimes=registry_regimes(bundle),
                )
                found.append(look(bundle, history, context.settings.model, now_ms, days))
                log_watch(store, found[-1], now_ms)
    finally:
        store.close()
    if as_json:
        _json_lines([w.to_dict() for w in found])
        return
    console = Console()
    for w in found:
        console.print(f"[bold]{w.kind}[/bold] {w.model_id}: {w.finding}")
        for d in w.drifts[:8]:
            mark = "drifted" if d.drifted else "same"
            console.print(f"  {d.what:>28}  distance {d.distance:.2f}  p {d.p_value:.3f}  {mark}")
    if not found:
        console.print("No model to watch yet: run `vigie train`.")


@app.command()
def report(
    ctx: typer.Context,
    model_id: Annotated[str, typer.Argument(help="The id or its beginning.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path(
        "model.html"
    ),
) -> None:
    """Write one HTML file with pictures: calibration, lead time, cost, curves, drivers, slices.

    It backtests the model's kind on the store's history, which takes as long as some trainings.

    Example: `vigie models report pump-20260131 -o pump.html`
    """
    from rich.console import Console

    from models.evaluate import backtest
    from models.pipeline import late_rows, read_history
    from models.report import write_report
    from plant.errors import DataError

    context = get_context(ctx)
    registry = _registry(context)
    bundle = registry.load(*registry.find(model_id))
    store = context.open_store()
    stderr = Console(stderr=True)
    try:
        with stderr.status("reading the history"):
            history = read_history(
                store,
                context.plant,
                context.settings.features,
                int(bundle.lineage["data_to_ms"]) + 1,
                state_file=context.data_dir / "features" / "train.json",
                regimes=registry_regimes(bundle),
            )
            table = history.of_kind(bundle.kind)
        with stderr.status("replaying the past"):
            past, lacking = None, ""
            try:
                past = backtest(
                    table,
                    history.events,
                    context.plant,
                    context.settings.model,
                    late=lambda cut_ms: late_rows(
                        history, store, context.plant, context.settings.model, bundle.kind, cut_ms
                    ),
                )
            except DataError as error:
                lacking = f"No calibration, lead time, cost or slices: {error}"
        write_report(out, bundle, table, context.plant, past, lacking)
    finally:
        store.close()
    typer.echo(f"{out} written. {lacking}".strip())


def registry_regimes(bundle: Bundle) -> dict[str, RegimeModel]:
    """Return the regimes a model was trained with, so that its rows can be made again."""
    import json

    from features.regime import RegimeModel

    return {bundle.kind: RegimeModel.from_json(json.loads(bundle.regime))} if bundle.regime else {}


def _json_lines(rows: list[dict[str, Any]]) -> None:
    import orjson

    for row in rows:
        typer.echo(orjson.dumps(row))


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "–"

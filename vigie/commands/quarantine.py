"""`vigie quarantine`: messages that could not be read, kept as they came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vigie.context import Context, get_context

if TYPE_CHECKING:
    from store.quarantine import Quarantine, Quarantined

app = typer.Typer(
    no_args_is_help=True, help="Messages that could not be read: list, show, replay, purge."
)
JsonFlag = Annotated[bool, typer.Option("--json", help="JSON for machines.")]
ReasonOption = Annotated[str | None, typer.Option(help="Only messages refused for this reason.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    reason: ReasonOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Most messages to show, the newest last.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """List what lies in quarantine, and the counts by reason since the beginning.

    Example: `vigie quarantine list --reason signal_name`
    """
    import orjson

    ever: dict[str, int] = {}
    waiting: dict[str, int] = {}
    items: list[tuple[str, Quarantined]] = []
    for name, quarantine in _all(get_context(ctx)):
        for total, part in ((ever, quarantine.counts()), (waiting, quarantine.waiting())):
            for code, number in part.items():
                total[code] = total.get(code, 0) + number
        items += [(f"{name}:{item.id}", item) for item in _newest(quarantine, reason, limit)]
    items = sorted(items, key=lambda pair: pair[1].received_ms)[-limit:]
    if as_json:
        shown = [_as_dict(key, item) for key, item in items]
        typer.echo(orjson.dumps({"ever": ever, "waiting": waiting, "messages": shown}))
        return
    _print_list(ever, waiting, items)


def _newest(quarantine: Quarantine, reason: str | None, limit: int) -> list[Quarantined]:
    found: list[Quarantined] = []
    after = 0
    while page := quarantine.items(reason=reason, after=after, limit=1_000):
        after = page[-1].id
        found = (found + page)[-limit:]
    return found


def _print_list(
    ever: dict[str, int], waiting: dict[str, int], items: list[tuple[str, Quarantined]]
) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from plant.times import to_iso

    console = Console()
    if not ever:
        console.print("Nothing was ever refused.")
        return
    counts = Table("reason", "waiting", "ever", title="Refused messages")
    for code, number in sorted(ever.items(), key=lambda pair: -pair[1]):
        counts.add_row(escape(code), f"{waiting.get(code, 0):,}", f"{number:,}")
    console.print(counts)
    table = Table("id", "received", "reason", "topic", "bytes", "problem")
    for key, item in items:
        received = to_iso(item.received_ms)
        topic = escape(item.topic_text[:60])
        size = item.size if item.size >= 0 else len(item.payload)
        table.add_row(
            key, received, escape(item.reason), topic, f"{size:,}", escape(item.message[:80])
        )
    if items:
        console.print(table)


@app.command()
def show(
    ctx: typer.Context,
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it: ingest-0:17.")],
    raw: Annotated[bool, typer.Option("--raw", help="Only the payload's bytes.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show one message whole: topic, reason, and the payload as it came.

    Example: `vigie quarantine show ingest-0:17 --raw > payload.bin`
    """
    import sys

    import orjson
    from rich.console import Console
    from rich.markup import escape

    from plant.errors import DataError
    from plant.times import to_iso

    name, _, number = identity.rpartition(":")
    found = next((q for journal, q in _all(get_context(ctx)) if journal == name), None)
    item = found.get(int(number)) if found is not None and number.isdigit() else None
    if item is None:
        raise DataError(
            f"there is no message {identity!r} in quarantine.",
            fix="`vigie quarantine list` shows the ids.",
        )
    if raw:
        sys.stdout.buffer.write(item.payload)
    elif as_json:
        typer.echo(orjson.dumps(_as_dict(identity, item, whole=True)))
    else:
        console = Console()
        console.print(f"topic     {escape(item.topic_text)}")
        console.print(f"received  {to_iso(item.received_ms)} from {item.origin}")
        console.print(f"reason    {escape(item.reason)}: {escape(item.message)}")
        kept = "" if item.complete else f" (the first {len(item.payload):,} of {item.size:,} bytes)"
        console.print(f"payload{kept}")
        console.print(escape(item.payload.decode("utf-8", "backslashreplace")), soft_wrap=True)


@app.command()
def replay(
    ctx: typer.Context,
    reason: ReasonOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Read the waiting messages again with today's settings; those that can be read are stored.

    Example: `vigie quarantine replay --reason topic` after adding a mapping
    """
    from collections import Counter

    import orjson

    from ingest.replay import ReplayCount
    from ingest.replay import replay as replay_journal
    from ingest.router import Router
    from plant.topics import Topics
    from store.integrity import open_journal

    context = get_context(ctx)
    router = Router(Topics(context.plant.root), context.settings.ingest)
    total = ReplayCount()
    refused: Counter[str] = Counter()
    for _, quarantine in _all(context):
        journal = open_journal(
            quarantine.path,
            context.clock,
            quarantine_budget_bytes=context.settings.ingest.quarantine_mb << 20,
        )
        try:
            part = replay_journal(
                journal, router, context.clock.now_ms(), reason=reason, dry_run=dry_run
            )
        finally:
            journal.close()
        for name in ("messages", "readings", "events", "repeated", "not_tried"):
            setattr(total, name, getattr(total, name) + getattr(part, name))
        refused.update(part.refused)
    store = context.settings.store
    resent = 0
    if store.kind == "influx" and reason in {None, "influx_refused"} and not dry_run:
        from store.resend import resend

        resent = resend(store.influx, context.data_dir, context.clock).taken
        total.not_tried -= resent
    if as_json:
        figures = {
            name: getattr(total, name)
            for name in ("messages", "readings", "events", "repeated", "not_tried")
        } | {"resent": resent}
        typer.echo(orjson.dumps({**figures, "refused": dict(refused)}))
        return
    verb = "would be" if dry_run else "were"
    typer.echo(
        f"{total.messages:,} messages {verb} read: {total.readings:,} readings, {total.events:,} events."
    )
    if resent:
        typer.echo(f"{resent:>10,} points that InfluxDB had refused are stored now")
    for code, number in refused.most_common():
        typer.echo(f"{number:>10,} are still refused: {code}")
    if total.not_tried:
        typer.echo(
            f"{total.not_tried:>10,} cannot be replayed (not kept whole, or refused by InfluxDB)"
        )


@app.command()
def purge(
    ctx: typer.Context,
    reason: ReasonOption = None,
    before: Annotated[
        str, typer.Option(help="Only messages received before: 2026-11-22, now or -7d.")
    ] = "now",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove messages for good; the counts by reason stay.

    Example: `vigie quarantine purge --reason json --before -30d --yes`
    """
    from plant.times import parse_moment

    context = get_context(ctx)
    before_ms = parse_moment(before, context.clock.now_ms())
    if not yes:
        typer.confirm("Remove these messages for good?", abort=True)
    removed = sum(q.purge(reason=reason, before_ms=before_ms) for _, q in _all(context))
    typer.echo(f"{removed:,} messages removed.")


def _all(context: Context) -> list[tuple[str, Quarantine]]:
    from store.quarantine import Quarantine
    from store.schema import journal_files

    return [(file.stem, Quarantine(file)) for file in journal_files(context.data_dir)]


def _as_dict(key: str, item: Quarantined, *, whole: bool = False) -> dict[str, Any]:
    from plant.times import to_iso

    payload = item.payload if whole else item.payload[:200]
    return {
        "id": key,
        "received": to_iso(item.received_ms),
        "origin": item.origin,
        "topic": item.topic_text,
        "reason": item.reason,
        "problem": item.message,
        "bytes": item.size if item.size >= 0 else len(item.payload),
        "payload": payload.decode("utf-8", "backslashreplace"),
    }

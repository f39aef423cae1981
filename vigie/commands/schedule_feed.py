"""`vigie schedule feed`: the plan as a calendar that people subscribe to, behind tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from plant.times import to_iso
from vigie.context import Context, get_context

if TYPE_CHECKING:
    from serve.exports import Tokens

app = typer.Typer(
    no_args_is_help=True, help="The plan as a calendar to subscribe to, behind revocable tokens."
)
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]


@app.command("serve")
def serve(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Default: 8765.")] = None,
) -> None:
    """Serve the calendar until interrupted.

    Example: `vigie schedule feed serve --port 8765`
    """
    from serve.exports import Feed, write_ics
    from serve.schedule import load_plan

    context = get_context(ctx)
    settings = context.settings.exports

    def calendar() -> bytes | None:
        store = context.open_store()
        try:
            current = load_plan(store, context.clock.now_ms())
        finally:
            store.close()
        return None if current is None else write_ics(current, context.plant, settings.language)

    server = Feed(
        calendar,
        _tokens(context),
        host or settings.feed_host,
        settings.feed_port if port is None else port,
        context.plant.name,
    )
    typer.echo("Serving on http://{}:{}/calendar/<token>.ics".format(*server.address), err=True)
    try:
        server.run()
    finally:
        server.stop()


@app.command("new")
def new_token(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Whom or what it is for.")],
    as_json: AsJson = False,
) -> None:
    """Make a token and print its address once; only a digest of it is kept.

    Example: `vigie schedule feed new "wall screen"`
    """
    context = get_context(ctx)
    token, secret = _tokens(context).new(name, context.clock.now_ms())
    settings = context.settings.exports
    url = f"http://{settings.feed_host}:{settings.feed_port}/calendar/{secret}.ics"
    if as_json:
        _echo_json({"id": token.id, "name": token.name, "secret": secret, "url": url})
        return
    typer.echo(f"{token.id}  {token.name}\n{url}")


@app.command("tokens")
def list_tokens(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the tokens, without their secrets.

    Example: `vigie schedule feed tokens`
    """
    tokens = _tokens(get_context(ctx)).all()
    if as_json:
        _echo_json([{"id": t.id, "name": t.name, "made": to_iso(t.made_ms)} for t in tokens])
        return
    for token in tokens:
        typer.echo(f"{token.id}  {to_iso(token.made_ms)}  {token.name}")


@app.command("revoke")
def revoke(
    ctx: typer.Context, token: Annotated[str, typer.Argument(help="The token's id.")]
) -> None:
    """Take a token back: its address stops working at once.

    Example: `vigie schedule feed revoke 3f2a91c0`
    """
    revoked = _tokens(get_context(ctx)).revoke(token)
    typer.echo(f"revoked {revoked.id}  {revoked.name}")


def _tokens(context: Context) -> Tokens:
    from serve.exports import Tokens

    return Tokens(context.data_dir / "feed-tokens.json")


def _echo_json(value: Any) -> None:
    import orjson

    typer.echo(orjson.dumps(value))

"""`vigie init`: make the store ready."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from plant.errors import ConfigError
from vigie.context import get_context

if TYPE_CHECKING:
    from store.influx_setup import BucketReport

_DAY_S = 86_400


def command(
    ctx: typer.Context,
    store: Annotated[
        str, typer.Option(help="sqlite or influx; default: [store] kind of the settings.")
    ] = "",
    write_token: Annotated[
        Path | None,
        typer.Option(
            help="Make a token that may only read and write Vigie's buckets, and write it here."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """Make the store ready: its files, or InfluxDB's buckets with their retention rules.

    For InfluxDB it needs, this once, a token that may manage buckets (in VIGIE_INFLUX_TOKEN, or as
    [store.influx] token_file). `--write-token` then makes the smaller one that Vigie should run with.
    Running it again changes nothing that is as it should be.

    Example: `VIGIE_INFLUX_TOKEN=… vigie init --store influx --write-token /etc/vigie/influx.token`
    """
    context = get_context(ctx)
    kind = _kind(store or context.settings.store.kind)
    if kind == "sqlite":
        settings = context.settings.store.model_copy(update={"kind": "sqlite"})
        from store.factory import open_store

        opened = open_store(settings, context.data_dir, context.clock)
        try:
            opened.check()
        finally:
            opened.close()
        _say(as_json, {"store": "sqlite", "folder": str(context.data_dir)})
        return
    from store.influx_setup import ensure_buckets, least_token

    influx = context.settings.store.influx
    reports = ensure_buckets(influx, context.settings.store.retention)
    for report in reports:
        _say_bucket(as_json, report)
    if write_token is not None:
        _write_secret(write_token, least_token(influx))
        _say(as_json, {"token_file": str(write_token), "may": "read and write these buckets only"})
    elif not as_json:
        typer.echo(
            "Run Vigie with a token that can do no more: `vigie init --store influx --write-token FILE`, "
            'then set [store.influx] token_file = "FILE".',
            err=True,
        )


def _kind(text: str) -> Literal["sqlite", "influx"]:
    if text == "sqlite":
        return "sqlite"
    if text == "influx":
        return "influx"
    raise ConfigError(
        "command line", "", "--store", f"{text!r} is not a store.", fix="Use sqlite or influx."
    )


def _write_secret(file: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    import os

    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), 0o600)
            stream.write(text + "\n")
    except OSError as error:
        raise ConfigError(
            str(file),
            "",
            "",
            f"the token cannot be written ({error.strerror}).",
            fix="Check the path.",
        ) from error


def _say_bucket(as_json: bool, report: BucketReport) -> None:
    from dataclasses import asdict

    if as_json:
        _say(as_json, asdict(report))
        return
    kept = f"{report.keep_s / _DAY_S:g} days" if report.keep_s else "for ever"
    typer.echo(f"{report.action:8} bucket {report.name}: {report.holds}, kept {kept}")


def _say(as_json: bool, fields: dict[str, object]) -> None:
    if as_json:
        import orjson

        typer.echo(orjson.dumps(fields))
    else:
        typer.echo("ready    " + ", ".join(f"{name} {value}" for name, value in fields.items()))

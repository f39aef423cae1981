"""`vigie doctor`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vigie.context import get_context

_MARKS = {"ok": "[green]ok[/]", "warn": "[yellow]look[/]", "fail": "[red]FAIL[/]"}


def command(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per check.")] = False,
) -> None:
    """Check settings, plant, disk, broker, store, clock, model and permissions; say what to mend.

    Exits with 1 when a check fails; a warning alone exits with 0.

    Example: `vigie --config vigie.toml doctor`
    """
    from vigie.checks import examine

    failed = False
    if as_json:
        import orjson

        for finding in examine(get_context(ctx)):
            failed |= finding.verdict == "fail"
            typer.echo(orjson.dumps(asdict(finding)))
    else:
        from rich.console import Console
        from rich.markup import escape

        console = Console(soft_wrap=True)
        for finding in examine(get_context(ctx)):
            failed |= finding.verdict == "fail"
            console.print(
                f"{_MARKS[finding.verdict]:>4}  {finding.check:12} {escape(finding.message)}"
            )
            if finding.fix:
                console.print(f"      {'':12} → {escape(finding.fix)}")
    if failed:
        raise typer.Exit(1)

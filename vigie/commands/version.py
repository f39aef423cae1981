"""`vigie version`."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Annotated

import typer


def command(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Print the versions of Vigie and of what it stands on.

    Example: `vigie version --json`
    """
    names = ("vigie", "lightgbm", "paho-mqtt", "influxdb-client", "numpy", "pandas")
    versions = {name: version(name) for name in names} | {"python": platform.python_version()}
    if as_json:
        import orjson

        typer.echo(orjson.dumps(versions))
        return
    for name, number in versions.items():
        typer.echo(f"{name:16} {number}")

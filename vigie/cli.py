"""The `vigie` command: where the parts meet a person."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from plant.errors import DataError, VigieError
from vigie import commands
from vigie.context import Context
from vigie.logs import configure_logs

app = typer.Typer(
    name="vigie",
    help="Predictive maintenance for production lines: from MQTT readings to failure windows.\n\n"
    "Start with `vigie demo`. For a real plant: write plant.toml, then `vigie doctor`, `vigie run`.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=True,
)


@app.callback()
def _main(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Settings (default: ./vigie.toml).")
    ] = None,
    plant: Annotated[
        Path | None, typer.Option("--plant", "-p", help="The plant (default: ./plant.toml).")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Data folder; overrides data_dir of the settings.")
    ] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "warning",
    log_json: Annotated[bool, typer.Option(help="Logs as JSON lines.")] = False,
    debug: Annotated[bool, typer.Option(help="Show the traceback of an error.")] = False,
) -> None:
    configure_logs(log_level, as_json=log_json)
    ctx.obj = Context(config_file=config, plant_file=plant, data_override=data)


commands.mount(app)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; an error is one sentence on stderr and its own exit code.

    What is mistyped, Ctrl-C and a command's own exit code are typer's to handle; it exits even when all
    went well, and this returns then.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        app(args=arguments)
    except VigieError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        sys.stderr.write(f"vigie: {error}\n")
        raise SystemExit(error.exit_code) from None
    except OSError as error:  # a file named on the command line; parts of Vigie say their own
        if error.filename is None or "--debug" in arguments:
            raise
        sys.stderr.write(f"vigie: {error.filename} cannot be used: {error.strerror}.\n")
        raise SystemExit(DataError.exit_code) from None
    except SystemExit as ended:
        if ended.code:
            raise

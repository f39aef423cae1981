"""One file per command group of `vigie`; this list is where they are mounted."""

from __future__ import annotations

import importlib
import pkgutil

import typer

#: name on the command line → module here; the module has `app` (a group) or `command` (a single one).
#: A second name of a module is understood and not listed.
COMMANDS: tuple[tuple[str, str], ...] = (
    ("demo", "demo"),
    ("run", "run"),
    ("doctor", "doctor"),
    ("init", "init"),
    ("ingest", "ingest"),
    ("quarantine", "quarantine"),
    ("features", "features"),
    ("train", "train"),
    ("evaluate", "evaluate"),
    ("models", "models"),
    ("model", "models"),
    ("score", "score"),
    ("alarms", "alarms"),
    ("schedule", "schedule"),
    ("events", "events"),
    ("kpi", "kpi"),
    ("simulate", "simulate"),
    ("replay", "replay"),
    ("assets", "assets"),
    ("retention", "retention"),
    ("version", "version"),
)


def mount(app: typer.Typer) -> None:
    """Add every command to `app`."""
    present = {module.name for module in pkgutil.iter_modules(__path__)}
    for name, module_name in COMMANDS:
        if module_name not in present:
            continue
        module = importlib.import_module(f"vigie.commands.{module_name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name, hidden=name != module_name)
        else:
            app.command(name)(module.command)

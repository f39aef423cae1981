"""Figures for managers, from events and never from guesses.

    report = compute(store, plant, KpiSettings(), start_ms, stop_ms, by="line")
    report.groups[0].kpi("mtbf_h").text

The arithmetic is imported when it is first asked for: settings are read by every command.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from serve.kpi.settings import KpiSettings

if TYPE_CHECKING:
    from serve.kpi.count import Group, Report, compute, rows
    from serve.kpi.figure import Kpi

__all__ = ["Group", "Kpi", "KpiSettings", "Report", "compute", "rows"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "figure" if name == "Kpi" else "count"
    return getattr(import_module(f"{__name__}.{home}"), name)

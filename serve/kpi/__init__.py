"""Figures for managers, from events and never from guesses.

report = compute(store, plant, KpiSettings(), start_ms, stop_ms, by="line")
report.groups[0].kpi("mtbf_h").text
"""

from serve.kpi.compute import Group, Report, compute, rows
from serve.kpi.figure import Kpi
from serve.kpi.settings import KpiSettings

__all__ = ["Group", "Kpi", "KpiSettings", "Report", "compute", "rows"]

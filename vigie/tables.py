"""Tables for the terminal that more than one command prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from serve.schedule.words import percent, sentence, when

if TYPE_CHECKING:
    from plant.config import Plant
    from serve.schedule import Plan


def plan_table(plan: Plan, plant: Plant) -> Table:
    """Return the plan's open jobs as a table, in the order in which they start."""
    table = Table("start", "asset", "repair", "crew", "P(fail)", "why", title="Maintenance plan")
    for job in plan.jobs:
        if not job.open:
            continue
        zone = plant.timezone(job.asset.site)
        start = when(job.start_ms, zone, "en") if job.start_ms is not None else "later"
        mark = " (simulated)" if job.simulated else ""
        table.add_row(
            start + (" *" if job.state == "pinned" else ""),
            escape(str(job.asset)) + mark,
            escape(job.label),
            escape(job.crew),
            percent(job.p_fail_before, "en"),
            escape(sentence(job, plant)),
        )
    return table

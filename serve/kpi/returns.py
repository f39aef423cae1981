"""Return on investment: what foresight saved, what it cost, and every input it was computed from."""

from __future__ import annotations

from plant.config import ModeSpec
from plant.times import DAY_MS
from serve.kpi.figure import Kpi
from serve.kpi.foresight import Stories
from serve.kpi.scope import Scope
from serve.kpi.stats import poisson


def return_on_investment(scope: Scope, stories: Stories) -> tuple[Kpi, dict[str, float]]:
    """(benefit − cost) / cost, and every input it was computed from.

    Example: 3 prevented failures at 12,000 unplanned against 2,000 planned, of which 70 % would have
    failed: 0.7 · 3 · 12,000 − 3 · 2,000 = 19,200; cost 5,000 + 2 · 200 = 5,400: ROI 2.56.
    """
    inputs = scope.settings.roi
    saved = spent = 0.0
    for story in stories.prevented:
        spec = scope.plant.kind_spec(story.asset).modes.get(story.mode) or ModeSpec(label="")
        rate = scope.plant.line_spec(story.asset).stoppage_cost_per_h
        saved += inputs.would_have_failed * (
            spec.unplanned_cost + spec.corrective_duration_h * rate
        )
        spent += spec.planned_cost + spec.duration_h * rate
    years = (scope.stop_ms - scope.start_ms) / (365.25 * DAY_MS)
    running = inputs.running_cost_per_year * years
    checks = len(stories.wrong) * inputs.check_cost
    benefit, cost = saved - spent, running + checks
    shown = {
        "prevented_failures": float(len(stories.prevented)),
        "would_have_failed": inputs.would_have_failed,
        "avoided_unplanned_cost": saved,
        "planned_repairs_cost": spent,
        "false_alarms": float(len(stories.wrong)),
        "check_cost": inputs.check_cost,
        "running_cost_per_year": inputs.running_cost_per_year,
        "years": years,
        "benefit": benefit,
        "cost": cost,
    }
    count = len(stories.prevented)
    low_n, high_n = poisson(count, 1.0, scope.settings.confidence)
    each = benefit / count if count else 0.0
    kpi = Kpi(
        name="roi",
        label="Return on investment",
        value=(benefit - cost) / cost if cost > 0 else None,
        unit="",
        n=count,
        n_of="prevented failures",
        formula="(avoided unplanned cost − planned repairs − cost) / cost, cost = running + checks",
        source="ROI = (gain − cost) / cost; inputs shown",
        low=(each * low_n - cost) / cost if cost > 0 and count else None,
        high=(each * high_n - cost) / cost if cost > 0 and count else None,
        method="exact Poisson on the prevented failures",
        enough=count >= scope.settings.min_events,
        better="high",
    )
    return kpi, shown

"""Alarms, automation and return: what foresight was worth, from events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plant.event import Event
from plant.times import DAY_MS
from serve.kpi.alarms import AlarmStory, FailureStory, alarm_stories, failure_stories
from serve.kpi.figure import Kpi
from serve.kpi.scope import Scope
from serve.kpi.stats import interval, mean_rows, median_rows, poisson, wilson

OWN = "Vigie, docs/kpi.md"
YEAR_H = 8_766.0


@dataclass(frozen=True, slots=True)
class Stories:
    """The alarms raised and the failures that happened in a scope's period."""

    alarms: tuple[AlarmStory, ...]
    failures: tuple[FailureStory, ...]

    @property
    def right(self) -> list[AlarmStory]:
        """Alarms that came true."""
        return [a for a in self.alarms if a.outcome == "right"]

    @property
    def wrong(self) -> list[AlarmStory]:
        """False alarms."""
        return [a for a in self.alarms if a.outcome == "wrong"]

    @property
    def prevented(self) -> list[AlarmStory]:
        """Alarms on which a part was found degraded and renewed before it failed."""
        return [a for a in self.alarms if a.prevented]


def stories_of(scope: Scope) -> Stories:
    """Judge all alarms and failures of a scope."""
    alarms: list[AlarmStory] = []
    failures: list[FailureStory] = []
    for machine in scope.machines:
        alarms += [
            story
            for story in alarm_stories(machine.events, scope.settings, scope.now_ms)
            if scope.start_ms <= story.raised_ms < scope.stop_ms
            and scope.mode in {None, story.mode}
        ]
        failures += [
            story
            for story in failure_stories(
                machine.events, scope.settings, scope.start_ms, scope.stop_ms
            )
            if scope.mode in {None, story.mode}
        ]
    return Stories(tuple(alarms), tuple(failures))


def precision(scope: Scope, stories: Stories) -> Kpi:
    """Share of settled alarms that were right. Example: 8 right, 2 wrong: 0.8 (0.490 to 0.943)."""
    right, n = len(stories.right), len(stories.right) + len(stories.wrong)
    return _share(
        scope,
        "alarm_precision",
        "Alarm precision",
        right,
        n,
        "settled alarms",
        "right alarms / (right + false alarms)",
        _undecided(stories),
    )


def recall(scope: Scope, stories: Stories) -> Kpi:
    """Share of failures that were seen in time, prevented ones included.

    Example: 3 failures seen in time, 5 prevented, 2 unseen: 8/10 = 0.8.
    """
    in_time = sum(
        f.lead_h is not None and f.lead_h >= scope.settings.min_lead_h for f in stories.failures
    )
    caught = in_time + len(stories.prevented)
    n = len(stories.failures) + len(stories.prevented)
    formula = "(failures with an alarm in time + prevented) / (all failures + prevented)"
    return _share(scope, "alarm_recall", "Alarm recall", caught, n, "failures", formula, "")


def false_alarms(scope: Scope, stories: Stories) -> Kpi:
    """Return false alarms per machine-year. Example: 3 in 6 machine-years: 0.5 (0.103 to 1.461)."""
    years = scope.calendar_h / YEAR_H
    count = len(stories.wrong)
    low, high = poisson(count, years, scope.settings.confidence)
    return Kpi(
        name="false_alarms_per_machine_year",
        label="False alarms per machine-year",
        value=count / years if years > 0 else None,
        unit="1/a",
        n=count,
        n_of=f"false alarms in {years:.2f} machine-years",
        formula="false alarms / machine-years observed",
        source=OWN,
        low=low,
        high=high,
        method="exact Poisson (Garwood 1936)",
        enough=years >= 1 or count >= scope.settings.min_events,
        better="low",
    )


def lead_time(scope: Scope, stories: Stories) -> Kpi:
    """Median hours between the first alarm and the failure. Example: 10, 30, 50 h: 30 h."""
    leads = [f.lead_h for f in stories.failures if f.lead_h is not None]
    low, high = interval(leads, median_rows, scope.settings)
    unseen = len(stories.failures) - len(leads)
    return Kpi(
        name="lead_time_h",
        label="Lead time, median",
        value=_median(leads),
        unit="h",
        n=len(leads),
        n_of="failures with an alarm",
        formula="median of (failure − first alarm for it since the last repair)",
        source=OWN,
        low=low,
        high=high,
        method="bootstrap of the median",
        enough=len(leads) >= scope.settings.min_events,
        note=f"{unseen} failure(s) without an alarm are not in it" if unseen else "",
        better="high",
    )


def automation(scope: Scope) -> Kpi:
    """Share of planned work orders that came from risk to schedule without a hand on them.

    Example: 6 jobs planned by Vigie, 1 of them pinned by hand, and 2 planned repairs that no job
    of Vigie's asked for: 5/8 = 0.625.
    """
    planned: set[str] = set()
    touched: set[str] = set()
    by_hand = 0
    for machine in scope.machines:
        for event in machine.events:
            if not scope.start_ms <= event.ts_ms < scope.stop_ms or scope.mode not in {
                None,
                event.mode,
            }:
                continue
            if event.kind == "schedule":
                action = event.detail.get("action")
                if action in {"pin", "reject", "unpin"}:
                    touched.add(str(event.detail.get("job")))
                elif action == "job" and event.detail["job"].get("start"):
                    planned.add(event.key)
            elif event.kind == "maintenance" and event.planned is True:
                by_hand += not _asked_for(event, machine.events)
    n = len(planned) + by_hand
    formula = "jobs planned and never pinned, moved or rejected by hand / all planned work orders"
    return _share(
        scope,
        "automation_rate",
        "Automation rate",
        len(planned - touched),
        n,
        "work orders",
        formula,
        "",
    )


def time_to_value(scope: Scope, stories: Stories) -> Kpi:
    """Days from a machine's first reading to the first right alarm. Example: 1 and 3 May: 2 days."""
    waits = []
    for machine in scope.machines:
        first = min((a.raised_ms for a in stories.right if a.asset == machine.asset), default=None)
        if first is not None and machine.first_reading_ms is not None:
            waits.append((first - machine.first_reading_ms) / DAY_MS)
    low, high = interval(waits, median_rows, scope.settings)
    return Kpi(
        name="time_to_value_d",
        label="Time to value, median",
        value=_median(waits),
        unit="d",
        n=len(waits),
        n_of="machines with a right alarm",
        formula="median of (first right alarm − first reading)",
        source=OWN,
        low=low,
        high=high,
        method="bootstrap of the median",
        enough=len(waits) >= scope.settings.min_events,
        better="low",
    )


def freshness(scope: Scope) -> Kpi:
    """Vigie's own service level: share of machine time with a risk that was still valid."""
    known = [(m.fresh_h, scope.hours_of(m)) for m in scope.machines if m.fresh_h is not None]
    hours = sum(h for _, h in known)
    shares = [fresh / h for fresh, h in known if h > 0]
    low, high = interval(shares, mean_rows, scope.settings)
    return Kpi(
        name="sla_fresh",
        label="Service level of Vigie",
        value=sum(f for f, _ in known) / hours if hours > 0 else None,
        unit="",
        n=len(shares),
        n_of="machines",
        formula="hours with a risk not past its valid_until / observed hours",
        source=OWN,
        low=low,
        high=high,
        method="bootstrap over machines",
        enough=len(shares) >= scope.settings.min_events,
        better="high",
    )


def _asked_for(done: Event, events: Sequence[Event]) -> bool:
    """Tell whether a planned repair answers a job of Vigie's: by its key, or planned within a week."""
    if done.detail.get("job"):
        return True
    week = 7 * DAY_MS
    return any(
        e.kind == "schedule"
        and e.detail.get("action") == "job"
        and e.mode in {"", done.mode, *done.scope}
        and done.ts_ms - 5 * week <= e.ts_ms <= done.ts_ms
        for e in events
    )


def _share(
    scope: Scope, name: str, label: str, right: int, n: int, n_of: str, formula: str, note: str
) -> Kpi:
    low, high = wilson(right, n, scope.settings.confidence)
    return Kpi(
        name=name,
        label=label,
        value=right / n if n else None,
        unit="",
        n=n,
        n_of=n_of,
        formula=formula,
        source=OWN,
        low=low if n else None,
        high=high if n else None,
        method="Wilson 1927",
        enough=n >= scope.settings.min_events,
        note=note,
        better="high",
    )


def _undecided(stories: Stories) -> str:
    waiting = len(stories.alarms) - len(stories.right) - len(stories.wrong)
    return f"{waiting} alarm(s) not settled yet" if waiting else ""


def _median(values: Sequence[float]) -> float | None:
    if not values:
        return None
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2

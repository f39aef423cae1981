"""Availability and reliability: each formula once, with its standard's name."""

from __future__ import annotations

from dataclasses import replace

from serve.kpi.figure import Kpi
from serve.kpi.scope import Scope
from serve.kpi.stats import interval, mean_rows, poisson


def stoppage(scope: Scope) -> list[Kpi]:
    """Planned and unplanned stoppage hours: exact sums, so no interval."""
    planned, unplanned = scope.stopped_h()
    n = sum(len(m.stops) for m in scope.machines)
    open_ones = sum(not s.ended for m in scope.machines for s in m.stops)
    note = f"{open_ones} stoppage(s) not ended: counted up to the period's end" if open_ones else ""
    return [
        Kpi(
            name=f"stoppage_{word}_h",
            label=f"Stoppage, {word}",
            value=hours,
            unit="h",
            n=n,
            n_of="stoppages",
            formula="sum of machine hours between stop and start",
            source="EN 13306:2017, down time",
            method="exact sum",
            note=note,
            better="low",
        )
        for word, hours in (("planned", planned), ("unplanned", unplanned))
    ]


def availability(scope: Scope) -> Kpi:
    """Operational availability: up time / (up time + down time), planned stops included.

    Worked example: 1,000 h, 20 h planned and 30 h unplanned stoppage: (1000 − 50)/1000 = 0.95.
    """
    planned, unplanned = scope.stopped_h()
    hours = scope.calendar_h
    up = [
        (scope.hours_of(m) - sum(_down(scope, i))) / scope.hours_of(m)
        for i, m in enumerate(scope.machines)
        if scope.hours_of(m) > 0
    ]
    low, high = interval(up, mean_rows, scope.settings)
    return Kpi(
        name="availability",
        label="Availability",
        value=None if hours <= 0 else (hours - planned - unplanned) / hours,
        unit="",
        n=len(up),
        n_of="machines",
        formula="(observed hours − planned − unplanned stoppage) / observed hours",
        source="IEC 60050-192:2015, 192-08-06 operational availability",
        low=low,
        high=high,
        method="bootstrap over machines",
        enough=len(up) >= scope.settings.min_events,
        better="high",
    )


def oee_availability(scope: Scope) -> Kpi:
    """OEE's availability: actual production time / planned busy time.

    Worked example: 168 h, 48 h weekend break, 4 h planned and 6 h unplanned stoppage outside it:
    busy 168 − 48 − 4 = 116; (116 − 6)/116 = 0.948. Stoppage inside a break costs no production.
    """
    rates, busy, lost = [], 0.0, 0.0
    for machine in scope.machines:
        mine, stopped = scope.busy_h(machine)
        if mine > 0:
            busy, lost = busy + mine, lost + stopped
            rates.append((mine - stopped) / mine)
    low, high = interval(rates, mean_rows, scope.settings)
    return Kpi(
        name="oee_availability",
        label="OEE, availability part",
        value=None if busy <= 0 else (busy - lost) / busy,
        unit="",
        n=len(rates),
        n_of="machines",
        formula="(busy − unplanned stoppage) / busy, busy = observed − planned breaks − planned stops",
        source="ISO 22400-2:2014, availability A = APT / PBT",
        low=low,
        high=high,
        method="bootstrap over machines",
        enough=len(rates) >= scope.settings.min_events,
        better="high",
    )


def mtbf(scope: Scope) -> Kpi:
    """Mean operating time between failures: operating hours / failures.

    Worked example: 10,000 operating hours, 4 failures: 2,500 h; exact 95 %: 10000/10.242 = 976 to
    10000/1.0899 = 9,175.
    """
    failures = len(scope.failures())
    operating = scope.calendar_h - sum(scope.stopped_h())
    low_rate, high_rate = poisson(failures, operating, scope.settings.confidence)
    return Kpi(
        name="mtbf_h",
        label="Mean time between failures",
        value=operating / failures if failures else None,
        unit="h",
        n=failures,
        n_of="failures",
        formula="operating hours / failures",
        source="EN 15341:2019; IEC 60050-192, 192-05-13 mean operating time between failures",
        low=1 / high_rate if high_rate > 0 else None,
        high=1 / low_rate if low_rate > 0 else float("inf"),
        method="exact Poisson (Garwood 1936)",
        enough=failures >= scope.settings.min_events,
        note="" if failures else "no failure: only the lower limit is known",
        better="high",
    )


def mttr(scope: Scope) -> Kpi:
    """Mean time to restoration: hours from failure to running again, mean over failures.

    Worked example: repairs of 2, 4 and 9 h: 5 h.
    """
    hours = [stop.hours for stop in scope.repairs()]
    low, high = interval(hours, mean_rows, scope.settings)
    missing = len(scope.failures()) - len(hours)
    return Kpi(
        name="mttr_h",
        label="Mean time to restoration",
        value=sum(hours) / len(hours) if hours else None,
        unit="h",
        n=len(hours),
        n_of="restorations",
        formula="sum of hours from failure to running again / failures",
        source="IEC 60050-192:2015, 192-07-23 mean time to restoration",
        low=low,
        high=high,
        method="bootstrap over restorations",
        enough=len(hours) >= scope.settings.min_events,
        note=f"{missing} failure(s) without a known end" if missing > 0 else "",
        better="low",
    )


def _down(scope: Scope, index: int) -> tuple[float, float]:
    return replace(scope, machines=(scope.machines[index],)).stopped_h()

"""All figures of a period, for the whole plant or by site, line, kind or mode."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from plant.asset import AssetPath
from plant.config import Plant
from plant.event import Event
from plant.times import DAY_MS, to_iso
from serve.kpi import foresight, formulas
from serve.kpi.figure import Kpi
from serve.kpi.foresight import Stories, stories_of
from serve.kpi.returns import return_on_investment
from serve.kpi.scope import Machine, Scope, make_machine
from serve.kpi.settings import KpiSettings
from store.port import Store

By = Literal["", "site", "line", "kind", "mode"]
#: Events before the period that still matter: stoppages and alarms that began earlier.
LOOK_BACK_MS = 120 * DAY_MS


@dataclass(frozen=True, slots=True)
class Group:
    """The figures of one group of machines, and the inputs of its return on investment."""

    name: str
    machines: int
    kpis: tuple[Kpi, ...]
    roi_inputs: Mapping[str, float]
    stories: Stories

    def kpi(self, name: str) -> Kpi:
        """Return a figure by its name."""
        return next(kpi for kpi in self.kpis if kpi.name == name)


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a period [start, stop)."""

    plant: str
    currency: str
    start_ms: int
    stop_ms: int
    by: By
    groups: tuple[Group, ...]
    simulated: bool
    run_ids: tuple[str, ...]
    scopes: tuple[Scope, ...] = field(repr=False, default=())

    def to_dict(self) -> dict[str, Any]:
        """Write the report for JSON."""
        return {
            "plant": self.plant,
            "currency": self.currency,
            "from": to_iso(self.start_ms),
            "to": to_iso(self.stop_ms),
            "by": self.by or "plant",
            "simulated": self.simulated,
            "run_ids": list(self.run_ids),
            "groups": [
                {
                    "name": group.name,
                    "machines": group.machines,
                    "kpis": [kpi.to_dict() for kpi in group.kpis],
                    "roi_inputs": dict(group.roi_inputs),
                }
                for group in self.groups
            ],
        }


def compute(
    store: Store,
    plant: Plant,
    settings: KpiSettings,
    start_ms: int,
    stop_ms: int,
    *,
    by: By = "",
    now_ms: int | None = None,
) -> Report:
    """Return the figures from the store's events and risks in [start, stop)."""
    until = stop_ms if now_ms is None else max(stop_ms, now_ms)
    settle = stop_ms + round(settings.horizon_d * DAY_MS)
    events = store.read_events(start_ms - LOOK_BACK_MS, min(until + 1, settle))
    seen = {item.asset: item.first_ms for item in store.assets()}
    configured = [AssetPath.parse(spec.path) for spec in plant.assets]
    fresh = _fresh(store, start_ms, stop_ms)
    by_asset: dict[AssetPath, list[Event]] = defaultdict(list)
    for event in events:
        by_asset[event.asset].append(event)
    known = sorted({*configured, *seen, *(a for a in by_asset if a.site != "vigie")})
    machines = [
        make_machine(
            plant, asset, by_asset.get(asset, []), start_ms, stop_ms, seen.get(asset),
            fresh.get(asset, []) if asset in seen else None,
        )
        for asset in known
    ]  # fmt: skip
    whole = Scope("plant", tuple(machines), plant, settings, start_ms, stop_ms, min(until, settle))
    scopes = [whole, *_split(whole, by)]
    runs = sorted({e.run_id for e in events if e.run_id})
    return Report(
        plant=plant.name,
        currency=plant.currency,
        start_ms=start_ms,
        stop_ms=stop_ms,
        by=by,
        groups=tuple(figures(scope) for scope in scopes),
        simulated=any(e.simulated for e in events),
        run_ids=tuple(runs),
        scopes=tuple(scopes),
    )


def figures(scope: Scope) -> Group:
    """Return all figures of one scope."""
    stories = stories_of(scope)
    roi, inputs = return_on_investment(scope, stories)
    kpis = (
        *formulas.stoppage(scope),
        formulas.availability(scope),
        formulas.oee_availability(scope),
        formulas.mtbf(scope),
        formulas.mttr(scope),
        foresight.lead_time(scope, stories),
        foresight.precision(scope, stories),
        foresight.recall(scope, stories),
        foresight.false_alarms(scope, stories),
        foresight.automation(scope),
        foresight.time_to_value(scope, stories),
        foresight.freshness(scope),
        roi,
    )
    return Group(scope.name, len(scope.machines), kpis, inputs, stories)


def _split(whole: Scope, by: By) -> list[Scope]:
    if not by:
        return []
    if by == "mode":
        return _by_mode(whole)
    groups: dict[str, list[Machine]] = defaultdict(list)
    for machine in whole.machines:
        name = {
            "site": machine.asset.site,
            "line": machine.asset.line_path,
            "kind": machine.kind,
        }[by]
        groups[name].append(machine)
    return [replace(whole, name=name, machines=tuple(groups[name])) for name in sorted(groups)]


def _by_mode(whole: Scope) -> list[Scope]:
    """One scope per mode: all machines that can fail that way are its exposure."""
    modes: dict[str, list[Machine]] = defaultdict(list)
    for machine in whole.machines:
        codes = set(whole.plant.kind_spec(machine.asset).modes)
        codes |= {e.mode for e in machine.events if e.kind in {"failure", "alarm"} and e.mode}
        for code in codes:
            modes[code].append(machine)
    return [
        replace(whole, name=code, machines=tuple(modes[code]), mode=code) for code in sorted(modes)
    ]


def _fresh(store: Store, start_ms: int, stop_ms: int) -> dict[AssetPath, list[tuple[int, int]]]:
    """Return when each machine's risk was valid; a risk from before the period may reach into it."""
    spans: dict[AssetPath, list[tuple[int, int]]] = defaultdict(list)
    for risk in store.read_risks(start_ms - DAY_MS, stop_ms):
        spans[risk.asset].append((risk.ts_ms, risk.valid_until_ms))
    return spans


def rows(report: Report) -> Sequence[dict[str, Any]]:
    """Return one flat row per group and figure, for CSV."""
    return [
        {"group": group.name, **kpi.to_dict(), "text": kpi.text}
        for group in report.groups
        for kpi in group.kpis
    ]

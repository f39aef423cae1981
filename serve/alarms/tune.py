"""Choose the warning threshold from history, by what each one would have cost.

The alarm machine itself is run over the stored risks with each candidate, so delays and hysteresis count.
An alarm raised early enough turns an unplanned repair into a planned one; one raised too late or not at all
leaves it unplanned; one with nothing behind it costs an inspection. The cheapest threshold that
keeps every crew within its weekly budget wins (rationalisation after ISA-18.2, by expected cost).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from plant.asset import AssetPath
from plant.event import Event
from plant.risk import Risk
from plant.times import HOUR_MS
from serve.alarms import lapse, machine
from serve.alarms.book import WEEK_MS
from serve.alarms.rules import Rules
from serve.alarms.state import AssetAlarms, Transition
from serve.settings import Thresholds
from serve.work import Work, works

CANDIDATES = tuple(round(0.05 * n, 2) for n in range(1, 19))
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """What one threshold would have done.

    caught: failures alarmed at least the lead time before; late: alarmed, but later; missed: not.
    worst_week: the most alarms one crew would have had in 7 days, as a share of its budget.
    """

    threshold: float
    alarms: int
    caught: int
    late: int
    missed: int
    false: int
    worst_week: float
    lead_h: float | None
    cost: float

    @property
    def in_budget(self) -> bool:
        """Tell whether no crew would have had more than its budget."""
        return self.worst_week <= 1.0


def tune(
    risks: Mapping[AssetPath, Sequence[Risk]],
    events: Sequence[Event],
    rules: Rules,
    kind: str,
    *,
    candidates: Sequence[float] = CANDIDATES,
    within_h: float = 168.0,
    progress: Progress | None = None,
) -> list[Trial]:
    """Try each threshold on one kind's history.

    risks: of any machines, ascending in time. `within_h`: an alarm answers for failures so long after
    it.
    """
    mine = {asset: rows for asset, rows in risks.items() if rules.kind(asset) == kind}
    log: dict[AssetPath, list[Event]] = defaultdict(list)
    for event in events:
        log[event.asset].append(event)
    trials = []
    for number, threshold in enumerate(candidates):
        trial_rules = with_threshold(rules, kind, threshold)
        raised: list[Transition] = []
        tally = _Tally(rules, within_h)
        for asset, rows in mine.items():
            own = replay(rows, works(log[asset], rules.settings.maintenance_default_h), trial_rules)
            raised += own
            tally.judge(asset, own, log[asset], rows)
        trials.append(tally.trial(threshold, len(raised), _worst_week(raised, rules)))
        if progress is not None:
            progress(number + 1, len(candidates))
    return trials


def best(trials: Sequence[Trial]) -> Trial | None:
    """Return the cheapest trial within the budget, else the one nearest to it; None without any."""
    fitting = [trial for trial in trials if trial.in_budget]
    if fitting:
        return min(fitting, key=lambda trial: (trial.cost, -trial.threshold))
    return min(trials, key=lambda trial: (trial.worst_week, trial.cost), default=None)


def with_threshold(rules: Rules, kind: str, warning: float) -> Rules:
    """Return rules whose kind warns at another threshold."""
    severity = rules.settings.severity
    own = scaled(severity.of_kind(kind), warning)
    changed = severity.model_copy(update={"kinds": {**severity.kinds, kind: own}})
    return Rules(rules.plant, rules.settings.model_copy(update={"severity": changed}))


def scaled(thresholds: Thresholds, warning: float) -> Thresholds:
    """Return thresholds about another warning; the others keep their odds ratio to it."""

    def moved(p: float) -> float:
        odds = (
            p
            / (1 - p)
            * (warning / (1 - warning))
            / (thresholds.warning / (1 - thresholds.warning))
        )
        return round(odds / (1 + odds), 4)

    return Thresholds(
        advisory=min(moved(thresholds.advisory), warning),
        warning=warning,
        critical=max(moved(thresholds.critical), warning),
    )


def replay(rows: Sequence[Risk], done: Sequence[Work], rules: Rules) -> list[Transition]:
    """Run the alarm machine over one asset's history without a budget; return what it raised."""
    raised: list[Transition] = []
    state: AssetAlarms | None = None
    waiting = sorted(done, key=lambda work: work.end_ms)
    for risk in rows:
        state = state or AssetAlarms(risk.asset)
        while waiting and waiting[0].end_ms <= risk.ts_ms:
            work = waiting.pop(0)
            state, _ = lapse.renew(state, work.renewed or (), work.end_ms, work.end_ms, "repaired")
        if any(work.start_ms <= risk.ts_ms < work.end_ms for work in waiting):
            continue
        outcome = machine.observe(state, risk, rules)
        state = outcome.state
        if outcome.wish is not None:
            state, step = machine.grant(state, outcome.wish)
            raised.append(step)
    return raised


class _Tally:
    """Counts and costs of one threshold."""

    def __init__(self, rules: Rules, within_h: float) -> None:
        self._rules = rules
        self._within_ms = round(within_h * HOUR_MS)
        self._lead_ms = round(rules.settings.severity.lead_time_h * HOUR_MS)
        self._counts = {"caught": 0, "late": 0, "missed": 0, "false": 0}
        self._leads: list[float] = []
        self._cost = 0.0

    def judge(
        self,
        asset: AssetPath,
        raised: Sequence[Transition],
        log: Sequence[Event],
        rows: Sequence[Risk],
    ) -> None:
        """Count one asset's alarms against its failures. Failures outside the rows are left out."""
        if not rows:
            return
        failures = [
            e for e in log if e.kind == "failure" and rows[0].ts_ms < e.ts_ms <= rows[-1].ts_ms
        ]
        answered: set[int] = set()
        for failure in failures:
            alarms = [
                i
                for i, step in enumerate(raised)
                if failure.ts_ms - self._within_ms <= step.ts_ms < failure.ts_ms
            ]
            answered.update(alarms)
            lead_ms = failure.ts_ms - raised[alarms[0]].ts_ms if alarms else 0
            spec = self._rules.mode_spec(asset, failure.mode)
            stoppage = self._rules.plant.line_spec(asset).stoppage_cost_per_h
            if alarms:
                self._leads.append(lead_ms / HOUR_MS)
            if alarms and lead_ms >= self._lead_ms:
                self._counts["caught"] += 1
                self._cost += spec.planned_cost + stoppage * spec.duration_h
            else:
                self._counts["late" if alarms else "missed"] += 1
                self._cost += spec.unplanned_cost + stoppage * spec.corrective_duration_h
        for i, step in enumerate(raised):
            if i not in answered and not self._is_open(step, rows) and not self._found(step, log):
                self._counts["false"] += 1
                self._cost += self._rules.settings.alarms.inspection_cost

    def trial(self, threshold: float, alarms: int, worst_week: float) -> Trial:
        """Return the sum."""
        return Trial(
            threshold=threshold,
            alarms=alarms,
            worst_week=worst_week,
            lead_h=median(self._leads) if self._leads else None,
            cost=self._cost,
            **self._counts,
        )

    def _is_open(self, step: Transition, rows: Sequence[Risk]) -> bool:
        """Tell whether the history ends too early to judge an alarm."""
        return step.ts_ms + self._within_ms > rows[-1].ts_ms

    def _found(self, step: Transition, log: Sequence[Event]) -> bool:
        """Tell whether a repair found the part degraded: the alarm was right, and nothing failed."""
        return any(
            e.kind in {"maintenance", "inspection"}
            and e.found in {"degraded", "failed"}
            and step.ts_ms <= e.ts_ms <= step.ts_ms + self._within_ms
            for e in log
        )


def _worst_week(raised: Sequence[Transition], rules: Rules) -> float:
    """Return the fullest 7 days of any crew, as a share of its budget."""
    by_crew: dict[str, list[int]] = defaultdict(list)
    for step in raised:
        by_crew[step.alarm.crew].append(step.ts_ms)
    worst = 0.0
    for crew, times in by_crew.items():
        times.sort()
        first = 0
        for last, ts in enumerate(times):
            while times[first] <= ts - WEEK_MS:
                first += 1
            worst = max(worst, (last - first + 1) / rules.budget(crew))
    return worst

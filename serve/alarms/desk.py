"""The alarm desk: assessments and people's actions go in, transitions come out.

The service, MQTT and the command line all use this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from plant.asset import AssetPath
from plant.errors import DataError
from plant.risk import Risk
from serve.alarms import machine, operator
from serve.alarms.book import WEEK_MS, AlarmBook, Change
from serve.alarms.machine import Wish
from serve.alarms.rules import Rules
from serve.alarms.state import AssetAlarms, Transition, gravest
from serve.work import Work


class AlarmDesk:
    """Moves the alarms in the book by the rules."""

    def __init__(self, book: AlarmBook, rules: Rules) -> None:
        self.book = book
        self._rules = rules

    def advance(
        self, risks: Iterable[Risk], now_ms: int, done: Sequence[Work] = ()
    ) -> list[Transition]:
        """Take the newest assessments, finished work and the time; return what changed.

        Either all of it is in the book afterwards or, after an exception or a kill, none.
        """
        with self.book.change() as change:
            for work in done:
                if work.renewed is not None:
                    before = change.state(work.asset)
                    after, steps = machine.renew(before, work.renewed, work.end_ms, "repaired")
                    if after is not before:
                        change.put(after, steps)
            wishes: list[Wish] = []
            for risk in risks:
                before = change.state(risk.asset)
                outcome = machine.observe(before, risk, self._rules)
                if outcome.state is not before:
                    change.put(outcome.state, outcome.transitions)
                if outcome.wish is not None:
                    wishes.append(outcome.wish)
            self._admit(change, wishes)
            for state in list(change.states()):
                after, steps = machine.elapse(state, now_ms, self._rules)
                if steps:
                    change.put(after, steps)
        return change.transitions

    def acknowledge(self, alarm_id: str, now_ms: int, who: str, why: str = "") -> list[Transition]:
        """Somebody has seen it. Raises DataError when it is not open."""
        return self._act(
            alarm_id, lambda state, full: operator.acknowledge(state, full, now_ms, who, why)
        )

    def shelve(
        self, alarm_id: str, until_ms: int, now_ms: int, who: str, why: str = ""
    ) -> list[Transition]:
        """Put it aside until a moment. Raises DataError."""
        return self._act(
            alarm_id,
            lambda state, full: operator.shelve(
                state, full, until_ms, now_ms, who, why, self._rules
            ),
        )

    def unshelve(self, alarm_id: str, now_ms: int, who: str, why: str = "") -> list[Transition]:
        """Take it back before its time. Raises DataError."""
        return self._act(
            alarm_id, lambda state, full: operator.unshelve(state, full, now_ms, who, why)
        )

    def alarm_ids(self) -> dict[AssetPath, str]:
        """Return the id of each asset's gravest open alarm."""
        found: dict[AssetPath, str] = {}
        for asset, state in self.book.states().items():
            alarm = gravest(state.alarms)
            if alarm is not None:
                found[asset] = alarm.id
        return found

    def _act(
        self,
        alarm_id: str,
        act: Callable[[AssetAlarms, str], tuple[AssetAlarms, Transition | None]],
    ) -> list[Transition]:
        alarm = self.book.find(alarm_id)
        with self.book.change() as change:
            state, step = act(change.state(alarm.asset), alarm.id)
            if step is not None:
                change.put(state, [step])
        return change.transitions

    def _admit(self, change: Change, wishes: list[Wish]) -> None:
        """Grant the wishes within each crew's budget: critical ones first and always, then by loss.

        The rest of the budget goes to what is worst, not to what is first: while many machines hover
        about the threshold, a wish must be among the worst of the crew's week; the part reserved for
        critical alarms is open only to a wish that is worse than all others of that week.
        """
        if not wishes:
            return
        now_ms = max(wish.risk.ts_ms for wish in wishes)
        used = change.raised_in(now_ms - WEEK_MS + 1, now_ms + 1)
        ranks = change.ranks({(w.crew, w.asset): w.loss for w in wishes}, now_ms, WEEK_MS)
        for wish in sorted(wishes, key=lambda w: (w.severity != "critical", -w.loss, str(w.asset))):
            state = change.state(wish.asset)
            spent = used.get(wish.crew, 0)
            if wish.severity == "critical" or self._has_room(
                wish.crew, spent, ranks[wish.crew, wish.asset]
            ):
                used[wish.crew] = spent + 1
                state, step = machine.grant(state, wish)
                change.put(state, [step])
            else:
                budget = self._rules.budget(wish.crew)
                why = f"held back: {spent} alarms in 7 days, the budget is {budget:g}"
                state, held = machine.hold(state, wish, why)
                if held is not None:
                    change.put(state, [held])

    def _has_room(self, crew: str, spent: int, rank: int) -> bool:
        """Tell whether a crew can take one more alarm; `rank` counts the worse wishes of its week."""
        budget = self._rules.budget(crew)
        common = budget * (1.0 - self._rules.settings.alarms.critical_reserve)
        if spent + 1 <= common:
            return rank < common
        return spent + 1 <= budget and rank == 0


def check_who(who: str) -> str:
    """Return the name of who acts; an audit trail without names is none. Raises DataError."""
    name = operator.clean_text(who)
    if not name:
        raise DataError("an action needs to say who acts.", fix='Add "who".')
    return name

"""The alarm desk: assessments and people's actions go in, transitions come out.

The service, MQTT and the command line all use this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from plant.asset import AssetPath
from plant.errors import DataError
from plant.risk import Risk
from serve.alarms import lapse, machine, operator
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
                    after, steps = lapse.renew(
                        before, work.renewed, work.end_ms, now_ms, "repaired"
                    )
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
                after, steps = lapse.elapse(state, now_ms, self._rules)
                if steps:
                    change.put(after, steps)
        return change.transitions

    def acknowledge(self, alarm_id: str, now_ms: int, who: str, why: str = "") -> list[Transition]:
        """Somebody has seen it. Raises DataError when it is not open."""
        name = check_who(who)
        return self._act(
            alarm_id, lambda state, full: operator.acknowledge(state, full, now_ms, name, why)
        )

    def shelve(
        self, alarm_id: str, until_ms: int, now_ms: int, who: str, why: str = ""
    ) -> list[Transition]:
        """Put it aside until a moment. Raises DataError."""
        name = check_who(who)
        return self._act(
            alarm_id,
            lambda state, full: operator.shelve(
                state, full, until_ms, now_ms, name, why, self._rules
            ),
        )

    def unshelve(self, alarm_id: str, now_ms: int, who: str, why: str = "") -> list[Transition]:
        """Take it back before its time. Raises DataError."""
        name = check_who(who)
        return self._act(
            alarm_id, lambda state, full: operator.unshelve(state, full, now_ms, name, why)
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
        """Grant the wishes within each crew's budget: critical ones first and always, then by loss."""
        if not wishes:
            return
        now_ms = max(wish.risk.ts_ms for wish in wishes)
        given = change.raised_in(now_ms - WEEK_MS + 1, now_ms + 1)
        wishing = change.note_wishes({(w.crew, w.asset) for w in wishes}, now_ms, WEEK_MS)
        for wish in sorted(wishes, key=lambda w: (w.severity != "critical", -w.loss, str(w.asset))):
            state = change.state(wish.asset)
            count, last_ms = given.get(wish.crew, (0, 0))
            if wish.severity == "critical" or self._has_room(
                wish, count, now_ms - last_ms, wishing[wish.crew]
            ):
                given[wish.crew] = (count + 1, now_ms)
                state, step = machine.grant(state, wish)
                change.put(state, [step])
            else:
                budget = self._rules.budget(wish.crew)
                why = f"held back: {count} alarms in 7 days, the budget is {budget:g}"
                state, held = machine.hold(state, wish, why)
                if held is not None:
                    change.put(state, [held])

    def _has_room(self, wish: Wish, count: int, since_last_ms: int, wishing: int) -> bool:
        """Tell whether a crew can take one more alarm that is not critical.

        A part of the budget is kept for critical conditions and for those that are clear.
        When more machines wished for an alarm in a week than there is room for, the rest is spread
        over the week, one at a time to the worst: noise about a threshold cannot use it up before
        a machine that really fails comes along.
        """
        budget = self._rules.budget(wish.crew)
        if wish.clear:
            return count + 1 <= budget
        room = budget * (1.0 - self._rules.settings.alarms.critical_reserve)
        if count + 1 > room:
            return False
        return wishing <= room or since_last_ms >= WEEK_MS / room


def check_who(who: str) -> str:
    """Return the name of who acts; an audit trail without names is none. Raises DataError."""
    name = operator.clean_text(who)
    if not name:
        raise DataError("an action needs to say who acts.", fix='Add "who".')
    return name

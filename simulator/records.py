"""The maintenance log as people keep it, and the log as it truly was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from plant.asset import AssetPath
from plant.event import Event
from plant.times import HOUR_MS
from simulator.rng import keyed
from simulator.settings import RecordSettings


@dataclass(frozen=True, slots=True)
class TrueEvent:
    """What really happened: a failure with its cause, or a repair with the state it left.

    cause: wear, shock, induced (by an earlier repair) or script; `wear` is the damage of every mode.
    """

    asset: AssetPath
    ts_ms: int
    kind: str
    mode: str
    cause: str
    wear: dict[str, float]


class Logbook:
    """Keeps both logs in time order. Errors of the written log are drawn per record."""

    def __init__(self, settings: RecordSettings, seed: int, run_id: str) -> None:
        self._settings, self._seed, self.run_id = settings, seed, run_id
        self._number = 0
        self.events: list[Event] = []
        self.truth: list[TrueEvent] = []

    def write(self, event: Event, modes: Sequence[str] = ()) -> None:
        """Write an event down as people would: now and then not, wrong, or late."""
        number = self._number
        self._number += 1
        event = replace(event, simulated=True, run_id=self.run_id, key=f"sim-{number}")
        s = self._settings
        if s.missing or s.wrong_mode or s.found_unknown or s.late:
            draws = keyed(self._seed, "records", number).random(5)
            if draws[0] < s.missing:
                return
            others = [mode for mode in modes if mode != event.mode]
            if event.mode and others and draws[1] < s.wrong_mode:
                wrong = others[int(draws[4] * len(others))]
                event = replace(event, mode=wrong, scope=(wrong,) if event.scope else ())
            if draws[2] < s.found_unknown:
                event = replace(event, found="unknown")
            if draws[3] < s.late:
                event = replace(event, ts_ms=event.ts_ms + int(draws[4] * 4 * HOUR_MS))
        self.events.append(event)

    def true(self, event: TrueEvent) -> None:
        """Note what really happened."""
        self.truth.append(event)

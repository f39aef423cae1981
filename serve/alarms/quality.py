"""How good the alarms were: precision, recall, lead time, each with its n and its interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from plant.asset import AssetPath
from plant.event import Event
from plant.times import to_iso
from serve.kpi.alarms import alarm_stories, failure_stories
from serve.kpi.settings import KpiSettings
from serve.kpi.stats import wilson
from serve.wording import number

_FEW = 5


@dataclass(frozen=True, slots=True)
class Share:
    """A share of n with its 95 % interval (Wilson 1927); None without any."""

    right: int
    n: int
    low: float | None
    high: float | None

    @property
    def value(self) -> float | None:
        """Return the share."""
        return self.right / self.n if self.n else None

    def text(self) -> str:
        """Write it for people."""
        if self.value is None or self.low is None or self.high is None:
            return "not known yet (n = 0)"
        few = "; too few to rely on" if self.n < _FEW else ""
        interval = f"95 % interval {self.low:.0%} to {self.high:.0%}"
        return f"{self.value:.0%} ({self.right} of {self.n}, {interval}{few})"


@dataclass(frozen=True, slots=True)
class Quality:
    """Precision: right alarms among the settled ones; recall: failures alarmed before, or prevented."""

    start_ms: int
    stop_ms: int
    alarms: int
    judged_by_people: int
    undecided: int
    precision: Share
    recall: Share
    lead_h: float | None

    def to_dict(self) -> dict[str, Any]:
        """Write it for JSON."""
        found = asdict(self) | {"from": to_iso(self.start_ms), "to": to_iso(self.stop_ms)}
        found["precision"]["value"] = self.precision.value
        found["recall"]["value"] = self.recall.value
        del found["start_ms"], found["stop_ms"]
        return found

    def sentences(self) -> list[str]:
        """Write it for people."""
        lead = "not known yet" if self.lead_h is None else f"{number(self.lead_h)} h"
        return [
            f"{self.alarms} alarms from {to_iso(self.start_ms)} to {to_iso(self.stop_ms)}; people judged"
            f" {self.judged_by_people} of them, {self.undecided} are undecided.",
            f"Precision: {self.precision.text()}.",
            f"Recall: {self.recall.text()}.",
            f"Lead time, median: {lead}.",
        ]


def quality_of(
    events: Sequence[Event], start_ms: int, stop_ms: int, settings: KpiSettings | None = None
) -> Quality:
    """Judge the alarms raised in [start, stop): people's feedback first, else what happened."""
    settings = settings or KpiSettings()
    log: dict[AssetPath, list[Event]] = defaultdict(list)
    for event in sorted(events, key=lambda e: e.ts_ms):
        log[event.asset].append(event)
    stories = [s for mine in log.values() for s in alarm_stories(mine, settings, stop_ms)]
    failures = [
        s for mine in log.values() for s in failure_stories(mine, settings, start_ms, stop_ms)
    ]
    right = sum(s.outcome == "right" for s in stories)
    settled = sum(s.outcome != "undecided" for s in stories)
    prevented = sum(s.prevented for s in stories)
    leads = [s.lead_h for s in failures if s.lead_h is not None]
    return Quality(
        start_ms=start_ms,
        stop_ms=stop_ms,
        alarms=len(stories),
        judged_by_people=sum(s.because == "feedback" for s in stories),
        undecided=len(stories) - settled,
        precision=_share(right, settled),
        recall=_share(len(leads) + prevented, len(failures) + prevented),
        lead_h=median(leads) if leads else None,
    )


def _share(right: int, n: int) -> Share:
    if not n:
        return Share(0, 0, None, None)
    low, high = wilson(right, n)
    return Share(right, n, low, high)

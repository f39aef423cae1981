"""Which machines are being worked on, and which work is done: read off the event log. Pure.

A failure, a stop that names a failure mode or a maintenance event takes a machine out; its next
`start` brings it back. Some plants log maintenance when it begins, some when it is done, and some never
log a start: without one, maintenance lasts its `duration_h` and anything else `default_h`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from plant.asset import AssetPath
from plant.event import Event
from plant.times import HOUR_MS

#: The kinds to read for this module, in the order they count at one moment.
KINDS = ("failure", "stop", "maintenance", "start")
_ORDER = {kind: order for order, kind in enumerate(KINDS)}


@dataclass(frozen=True, slots=True)
class Work:
    """One time out of service. `renewed`: the modes it renewed (empty: all); None: not known."""

    asset: AssetPath
    start_ms: int
    end_ms: int
    renewed: tuple[str, ...] | None


def works(events: Iterable[Event], default_h: float) -> list[Work]:
    """Return the work in the log, ascending by start within each machine."""
    by_asset: dict[AssetPath, list[Event]] = {}
    for event in events:
        if event.kind in _ORDER and not (event.kind == "stop" and not event.mode):
            by_asset.setdefault(event.asset, []).append(event)
    found: list[Work] = []
    for mine in by_asset.values():
        found += _of_asset(sorted(mine, key=lambda e: (e.ts_ms, _ORDER[e.kind])), default_h)
    return found


def _of_asset(events: list[Event], default_h: float) -> list[Work]:
    """events: of one machine, ascending in time."""
    found: list[Work] = []
    current: Work | None = None
    for event in events:
        if current is not None and event.ts_ms > current.end_ms:
            found.append(current)
            current = None
        if event.kind == "start":
            if current is not None:
                mended = current.renewed if current.renewed is not None else ()
                found.append(replace(current, end_ms=event.ts_ms, renewed=mended))
                current = None
            continue
        hours = event.duration_h if event.kind == "maintenance" else None
        end_ms = event.ts_ms + round((default_h if hours is None else hours) * HOUR_MS)
        if current is None:
            current = Work(event.asset, event.ts_ms, end_ms, None)
        if event.kind == "maintenance":
            modes = event.scope or ((event.mode,) if event.mode else ())
            current = replace(current, end_ms=end_ms, renewed=modes)
        else:
            current = replace(current, end_ms=max(current.end_ms, end_ms))
    return found if current is None else [*found, current]


def under_work(found: Iterable[Work], now_ms: int) -> dict[AssetPath, Work]:
    """Return the machines that are out of service now."""
    return {work.asset: work for work in found if work.start_ms <= now_ms < work.end_ms}


def finished(found: Iterable[Work], after_ms: int, now_ms: int) -> list[Work]:
    """Return the work that ended in (after, now]."""
    return [work for work in found if after_ms < work.end_ms <= now_ms]

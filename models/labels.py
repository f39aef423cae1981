"""What happened after each feature row: one pure function from the event log to labels.

| what the log says                        | label of the rows before it                                  |
|------------------------------------------|--------------------------------------------------------------|
| failure                                  | observed at the failure, with its mode                       |
| maintenance, found failed                | observed at the repair (unless a logged failure explains it) |
| maintenance, found degraded              | failure-equivalent, `degraded_residual_h` after the repair   |
| maintenance, found sound                 | right-censored twice that after the repair                   |
| maintenance, found unknown               | right-censored at the repair, unless training can infer it   |
| inspection, found failed                 | observed at the inspection                                   |
| inspection with any other finding        | nothing: the machine goes on as it was                       |
| nothing more (decommissioned, or today)  | right-censored at the last row                               |
| a gap in telemetry                       | nothing: the log speaks through the gap                      |

Any maintenance ends what rows before it can know, whichever modes it renewed: what would have
happened without it was never seen. With overlapping modes the first to end the life is the label.
Rows while the machine is down have no label: from a failure to its first start or to the repair of what
failed, at most `repair_within_h` later. Until then it cannot fail again: more failures, and repairs of
other modes, belong to that stoppage. A failure before the first row begins one too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.feedback import with_feedback
from models.settings import ModelSettings
from plant.event import Event
from plant.times import HOUR_MS

EndReason = Literal["failed", "degraded", "sound", "unknown", "open"]


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a machine between two renewals, epoch ms.

    Rows in [start_ms, stop_ms) belong to it. `event_ms` is when it failed, would have failed (found
    degraded) or is known to have lasted until; `mode` what failed, empty where not recorded; `rows` how
    many feature rows with a label it has.
    """

    asset: str
    start_ms: int
    stop_ms: int
    event_ms: int
    reason: EndReason
    mode: str
    rows: int = 0

    @property
    def observed(self) -> bool:
        """Tell whether the life ended by a failure or its equivalent."""
        return self.reason in {"failed", "degraded"}


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """One label per feature row, in the table's order.

    ttf_h: float64[n] hours to the failure (or its equivalent), else to the end of the observation;
    seen_h: float64[n] hours that were really watched (shorter than ttf_h where a finding speaks);
    observed: bool[n] ended by a failure or its equivalent; mode: str[n] its mode; valid: bool[n] may
    train; life: int64[n] index into `lives` (-1: none).
    """

    ttf_h: NDArray[np.float64]
    seen_h: NDArray[np.float64]
    observed: NDArray[np.bool_]
    mode: NDArray[np.str_]
    valid: NDArray[np.bool_]
    life: NDArray[np.int64]
    lives: tuple[Life, ...]

    def as_watched(self) -> Labels:
        """Return the labels as if no repair had found anything: censored when it was made."""
        blank = tuple(
            life if life.reason in {"failed", "open"} else replace(life, reason="unknown")
            for life in self.lives
        )
        return replace(self, lives=blank)

    def failures(self) -> int:
        """Return the number of lives that have rows and ended by a failure or its equivalent."""
        return sum(life.observed for life in self._with_rows())

    def failures_by_mode(self) -> dict[str, int]:
        """Return the failures of every mode; an unrecorded mode is counted under the empty name."""
        counts: dict[str, int] = {}
        for life in self._with_rows():
            if life.observed:
                counts[life.mode] = counts.get(life.mode, 0) + 1
        return dict(sorted(counts.items()))

    def reasons(self) -> dict[str, int]:
        """Return how many lives with rows ended for each reason."""
        counts: dict[str, int] = {}
        for life in self._with_rows():
            counts[life.reason] = counts.get(life.reason, 0) + 1
        return dict(sorted(counts.items()))

    def _with_rows(self) -> list[Life]:
        return [life for life in self.lives if life.rows]


def lives_of(
    asset: str,
    events: Sequence[Event],
    first_ms: int,
    last_ms: int,
    settings: ModelSettings,
) -> list[Life]:
    """Cut one machine's log into lives. `first_ms`, `last_ms`: its first and last feature row.

    Between two lives the machine was down. `events` are of this machine, in any order.
    """
    lives: list[Life] = []
    start = first_ms
    unmended: list[Event] = []  # failures whose repair is still to come
    # At one moment a failure comes first and a repair last: it may be that failure's.
    log = sorted(events, key=lambda e: (e.ts_ms, e.kind != "failure", e.kind == "maintenance"))
    for i, event in enumerate(log):
        reason = _reason(event)
        if reason is None:
            continue
        mended = [f for f in unmended if _mends(event, f, settings)]
        unmended = [f for f in unmended if f not in mended]
        # A repair of what failed ends that stoppage; while down, or before the first row, nothing lived.
        if not mended and event.ts_ms >= start:
            event_ms = event.ts_ms + round(after_h(reason, settings) * HOUR_MS)
            lives.append(Life(asset, start, event.ts_ms, event_ms, reason, _mode(event)))
            start = event.ts_ms + 1
        if event.kind == "maintenance":  # logged when it is done
            start = max(start, event.ts_ms)
            continue
        # A failure's stoppage begins with it; even one before the first row may last into the rows.
        unmended.append(event)
        down_ms = round((event.duration_h or 0.0) * HOUR_MS)
        start = max(start, event.ts_ms + down_ms, _back_ms(event, log[i + 1 :], settings))
    if last_ms >= start:
        lives.append(Life(asset, start, last_ms + 1, last_ms, "open", ""))
    return lives


def after_h(reason: str, settings: ModelSettings) -> float:
    """Return the hours past a repair that its finding speaks for.

    "Degraded" means: it would have failed within twice the mean residual; "sound": not within that.
    Reading only the first would make all other repairs look like machines that live no longer.
    """
    residual = settings.degraded_residual_h
    return {"degraded": residual, "sound": 2 * residual}.get(reason, 0.0)


def _mode(event: Event) -> str:
    """Return the mode an event is about; empty when it is not recorded or there are several."""
    return event.mode or (event.scope[0] if len(event.scope) == 1 else "")


def _mends(event: Event, failure: Event, settings: ModelSettings) -> bool:
    """Tell whether an event is the repair of an earlier failure: soon enough, and of what failed."""
    mode = _mode(failure)
    return (
        event.kind == "maintenance"
        and event.ts_ms - failure.ts_ms <= settings.repair_within_h * HOUR_MS
        and (not mode or not event.scope or mode in event.scope)
    )


def _back_ms(failure: Event, later: Iterable[Event], settings: ModelSettings) -> int:
    """Return when a machine that failed ran again: at its first start or the repair of what failed.

    A log that tells of neither soon enough says nothing of a stoppage. `later`: in order of time.
    """
    for event in later:
        if event.ts_ms - failure.ts_ms > settings.repair_within_h * HOUR_MS:
            break
        if event.kind == "start" or _mends(event, failure, settings):
            return event.ts_ms
    return failure.ts_ms


def _reason(event: Event) -> EndReason | None:
    """Say how an event ends a life; None when it does not."""
    if event.kind == "failure" or (event.kind == "inspection" and event.found == "failed"):
        return "failed"
    if event.kind == "maintenance":
        reasons: dict[str, EndReason] = {
            "failed": "failed",
            "degraded": "degraded",
            "sound": "sound",
        }
        return reasons.get(event.found, "unknown")
    return None


def label_rows(
    assets: NDArray[np.object_],
    ts_ms: NDArray[np.int64],
    events: Iterable[Event],
    settings: ModelSettings,
    as_of_ms: int | None = None,
) -> Labels:
    """Label feature rows from the log.

    assets: object[n] and ts_ms: int64[n] of the rows, any order. With `as_of_ms` nothing after that
    moment is used, as if it were today: later rows are not valid, later events unknown.
    """
    n = len(ts_ms)
    ttf = np.full(n, np.nan)
    observed = np.zeros(n, dtype=bool)
    seen = np.full(n, np.nan)
    life_of = np.full(n, -1, dtype=np.int64)
    lives: list[Life] = []
    log: dict[str, list[Event]] = {}
    for event in events:
        if as_of_ms is None or event.ts_ms < as_of_ms:
            log.setdefault(str(event.asset), []).append(event)
    known = np.ones(n, dtype=bool) if as_of_ms is None else ts_ms < as_of_ms
    code, names = pd.factorize(assets[known], sort=True)
    code, names = pd.factorize(assets[known], sort=True)
    order = np.flatnonzero(known)[np.argsort(code, kind="stable")]
    rows_of = np.split(order, np.cumsum(np.bincount(code))[:-1]) if len(order) else []
    for asset, rows in zip(names, rows_of, strict=True):
        t = ts_ms[rows]
        for life in lives_of(
            str(asset), with_feedback(log.get(str(asset), [])), int(t.min()), int(t.max()), settings
        ):
            mine = rows[(t >= life.start_ms) & (t < life.stop_ms)]
            life_of[mine] = len(lives)
            ttf[mine] = (life.event_ms - ts_ms[mine]) / HOUR_MS
            observed[mine] = life.observed
            seen[mine] = (min(life.stop_ms, life.event_ms) - ts_ms[mine]) / HOUR_MS
            lives.append(replace(life, rows=int(np.count_nonzero(ttf[mine] > 0))))
    modes = np.array([life.mode for life in lives] or [""])
    mode = np.where(observed, modes[life_of], "")
    valid = (life_of >= 0) & (np.nan_to_num(ttf, nan=-1.0) > 0)
    return Labels(ttf, seen, observed, mode, valid, life_of, tuple(lives))

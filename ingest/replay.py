"""Bring quarantined messages in after what refused them was mended (a mapping, a clock, a setting)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ingest.router import Router
from plant.errors import PayloadError
from store.journal import Batch, Journal
from store.quarantine import Quarantine, Quarantined

_PAGE = 1_000


@dataclass(slots=True)
class ReplayCount:
    """What became of the messages: stored (readings and events), still refused by reason, not tried.

    Not tried are payloads too large to have been kept whole, and points that a store refused.
    """

    messages: int = 0
    readings: int = 0
    events: int = 0
    repeated: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    not_tried: int = 0


def replay(
    journal: Journal,
    router: Router,
    now_ms: int,
    *,
    reason: str | None = None,
    dry_run: bool = False,
) -> ReplayCount:
    """Read every waiting message again; those that can be read are stored and leave the quarantine.

    A message is read as of `now_ms`, except that one without a time stamp keeps its arrival.
    """
    quarantine = Quarantine(journal.path)
    count = ReplayCount()
    after = 0
    while items := quarantine.items(reason=reason, after=after, limit=_PAGE):
        after = items[-1].id
        batch = Batch(received_ms=now_ms)
        done = [item.id for item in items if _add(batch, item, router, now_ms, count)]
        if done and not dry_run:
            stored = journal.commit(batch)
            count.repeated += stored.repeated + stored.events_repeated
            quarantine.remove(done)
    return count


def _add(batch: Batch, item: Quarantined, router: Router, now_ms: int, count: ReplayCount) -> bool:
    if item.origin != "mqtt" or not item.complete:
        count.not_tried += 1
        return False
    try:
        read = router.decoder(item.topic)
        decoded = read(item.payload, now_ms)
        if decoded.untimed:
            decoded = read(item.payload, item.received_ms)
        if decoded.problem is not None:
            raise decoded.problem
        if decoded.waveforms:
            raise PayloadError("waveform", "waveforms are read by `vigie run` only.")  # noqa: TRY301 - one place counts
    except PayloadError as error:
        count.refused[error.reason] += 1
        return False
    count.messages += 1
    count.readings += len(decoded.readings)
    count.events += len(decoded.events)
    batch.readings.extend(decoded.readings)
    batch.events.extend(decoded.events)
    return True

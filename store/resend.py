"""Offering InfluxDB again the points that it refused, after what refused them was mended."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from plant.clock import Clock
from plant.errors import StoreError
from store import schema
from store.delivery import Delivery, Stopped
from store.forwarder import REASON, TOPIC_PREFIX
from store.influx_client import InfluxConnection
from store.quarantine import Quarantine, Quarantined
from store.settings import InfluxSettings

_PAGE = 1_000


@dataclass(slots=True)
class ResendCount:
    """Points that InfluxDB took now (or that are older than it keeps), and those still refused."""

    taken: int = 0
    refused: int = 0


def resend(settings: InfluxSettings, data_dir: Path, clock: Clock) -> ResendCount:
    """Send every refused point again; those taken leave the quarantine.

    A point goes in as it was, also over a correction that came later. Raises StoreError when
    InfluxDB cannot be reached: then nothing was removed that was not sent.
    """
    count = ResendCount()
    stopping = threading.Event()

    def give_up(_seconds: float) -> bool:
        stopping.set()
        return True

    connection = InfluxConnection(settings)
    try:
        delivery = Delivery(connection, clock, stopping, pause=give_up)
        for path in schema.journal_files(data_dir):
            _resend_journal(Quarantine(path), settings, delivery, count)
    except Stopped:
        raise StoreError(delivery.health.error) from None
    finally:
        connection.close()
    return count


def _resend_journal(
    quarantine: Quarantine, settings: InfluxSettings, delivery: Delivery, count: ResendCount
) -> None:
    after = 0
    while items := quarantine.items(reason=REASON, after=after, limit=_PAGE):
        after = items[-1].id
        by_bucket: dict[str, list[Quarantined]] = {}
        for item in items:
            bucket = item.topic_text.removeprefix(TOPIC_PREFIX)
            by_bucket.setdefault(bucket, []).append(item)
        for bucket, members in by_bucket.items():
            precision = "ms" if bucket == settings.raw_bucket else "ns"
            lines = [item.payload.decode("utf-8", "surrogatepass") for item in members]
            outcome = delivery.send(bucket, lines, precision)
            still = {line for line, _ in outcome.refused}
            taken = [
                item.id for item, line in zip(members, lines, strict=True) if line not in still
            ]
            quarantine.remove(taken)
            count.taken += len(taken)
            count.refused += len(members) - len(taken)

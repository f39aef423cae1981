"""Workers that are no more: what the broker still keeps for them must not wait for ever.

After `workers` was lowered, the sessions of the workers beyond it still have their shared subscription: the
broker goes on dealing messages to them. So each is taken over once, its queue stored, its session ended.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import structlog

from ingest.settings import BrokerSettings, IngestSettings
from ingest.subscriber import Subscriber
from plant.clock import Clock
from plant.config import Plant
from store.integrity import open_journal
from store.schema import journal_files

_log = structlog.get_logger(__name__)
_QUIET_S = 1.0
_CONNECT_S = 15.0
_RETIRED = ".retired"


def retire_workers(
    broker: BrokerSettings, settings: IngestSettings, plant: Plant, data_dir: Path, clock: Clock
) -> int:
    """End the sessions of workers beyond `settings.workers`; return how many messages they still had.

    Raises BrokerError or StoreError; nothing is acknowledged then, and the next start tries again.
    """
    taken = 0
    for file in journal_files(data_dir):
        match = re.fullmatch(r"ingest-(\d+)", file.stem)
        mark = file.with_name(file.name + _RETIRED)
        if match is None or broker.protocol != "5":
            continue
        worker = int(match[1])
        if worker < settings.workers:
            mark.unlink(missing_ok=True)
        elif not mark.exists():
            taken += _retire(worker, file, broker, settings, plant, clock)
            mark.touch()
    return taken


def _retire(
    worker: int,
    file: Path,
    broker: BrokerSettings,
    settings: IngestSettings,
    plant: Plant,
    clock: Clock,
) -> int:
    journal = open_journal(file, clock)
    try:
        subscriber = Subscriber(
            broker, settings, plant, journal, clock, worker=worker, retiring=True
        )
        subscriber.start(wait_s=_CONNECT_S)
        before = -1
        while subscriber.stats().received != before or subscriber.stats().pending:
            before = subscriber.stats().received
            time.sleep(_QUIET_S)
        subscriber.stop()
        _log.info("ingest.worker_retired", worker=worker, messages=before)
        return before
    finally:
        journal.close()

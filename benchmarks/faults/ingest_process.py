"""Ingest alone, until its standard input closes: the process that the faults kill and freeze."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ingest.settings import BrokerSettings, IngestSettings
from ingest.subscriber import Subscriber
from plant.clock import SystemClock
from plant.config import Plant
from store.integrity import open_journal
from store.schema import journal_path
from vigie.logs import configure_logs

if __name__ == "__main__":
    configure_logs("error")
    spec = json.loads(sys.argv[1])
    journal = open_journal(journal_path(Path(spec["data_dir"])), SystemClock())
    broker = BrokerSettings(port=spec["port"], client_id="fault", keepalive_s=10)
    subscriber = Subscriber(
        broker, IngestSettings(**spec["settings"]), Plant(), journal, SystemClock()
    )
    subscriber.start(wait_s=60)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    subscriber.stop()
    journal.close()

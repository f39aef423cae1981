"""Several ingest processes that share the load: one Python process uses one core.

Each worker has its own MQTT session and its own journal; the broker deals the messages out to them
(MQTT 5 shared subscription). The same works over several hosts: see docs/ingest.md.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import structlog

from ingest.client import unreachable
from ingest.collector import spare_collector
from ingest.settings import BrokerSettings, IngestSettings
from ingest.stats import IngestStats
from ingest.subscriber import Subscriber
from ingest.waveform import WaveformFactory
from plant.clock import SystemClock
from plant.config import Plant
from plant.errors import BrokerError, ConfigError
from store.integrity import open_journal
from store.schema import journal_path

_log = structlog.get_logger(__name__)
_REPORT_S = 0.1
_SUMMED = (
    "received", "received_bytes", "stored", "repeated", "conflicting", "stale", "events", "ignored",
    "acknowledged", "commits", "messages_per_s", "pending",
)  # fmt: skip


def worker_journal(data_dir: Path, worker: int) -> Path:
    """Where the journal of a worker lives."""
    return journal_path(data_dir, f"ingest-{worker}")


def merged(parts: Sequence[IngestStats]) -> IngestStats:
    """Return the figures of several workers as one: sums, the worst, or any."""
    if not parts:
        return IngestStats()
    rejected: Counter[str] = Counter()
    skew: dict[str, int] = {}
    for part in parts:
        rejected.update(part.rejected)
        skew.update(part.clock_skew_ms)
    lags = [part.lag_ms for part in parts if part.lag_ms is not None]
    moments = [part.last_received_ms for part in parts if part.last_received_ms is not None]
    return replace(
        parts[0],
        **{name: sum(getattr(part, name) for part in parts) for name in _SUMMED},
        rejected=dict(rejected),
        clock_skew_ms=skew,
        commit_ms=max(part.commit_ms for part in parts),
        lag_ms=max(lags, default=None),
        last_received_ms=max(moments, default=None),
        connected=all(part.connected for part in parts),
        epoch=max(part.epoch for part in parts),
        blocked=next((part.blocked for part in parts if part.blocked), ""),
        error=next((part.error for part in parts if part.error), ""),
    )


class Workers:
    """`settings.workers` processes behind the calls of a Subscriber: start, stop, stats.

    A worker that dies is started again; it goes on where its session at the broker stands.
    """

    def __init__(
        self,
        broker: BrokerSettings,
        settings: IngestSettings,
        plant: Plant,
        data_dir: Path,
        *,
        waveform_factory: WaveformFactory | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """`prepare` runs first in each process (to set up logging); it must be picklable, as the factory."""
        if settings.workers > 1 and broker.protocol != "5":
            raise ConfigError(
                "vigie.toml",
                "ingest",
                "workers",
                "more than one needs MQTT 5 (shared subscriptions).",
                fix='Set workers = 1, or protocol = "5" in [broker].',
            )
        self._broker = broker
        self._arguments = (broker, settings, plant, data_dir, waveform_factory, prepare)
        self._context = multiprocessing.get_context("spawn")
        self._processes: dict[int, tuple[SpawnProcess, Connection]] = {}
        self._stats: dict[int, IngestStats] = {}
        self._count = settings.workers
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, wait_s: float = 0.0) -> None:
        """Start all workers. With `wait_s`, raises BrokerError unless all have subscribed by then."""
        for worker in range(self._count):
            self._spawn(worker)
        self._thread = threading.Thread(target=self._listen, name="vigie-workers", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + wait_s
        while wait_s and not self.stats().connected:
            if time.monotonic() > deadline:
                reason = self.stats().error or "no answer"
                self.stop()
                raise unreachable(self._broker, reason)
            time.sleep(0.05)

    def stop(self) -> None:
        """Let every worker commit, acknowledge, disconnect and end."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        for process, pipe in self._processes.values():
            with contextlib.suppress(OSError):
                pipe.send("stop")
            process.join(30)
            if process.is_alive():
                process.kill()
                process.join()
            self._drain(pipe, process.name)
            pipe.close()
            process.close()
        self._processes.clear()

    def stats(self) -> IngestStats:
        """Return the figures of all workers together, a fraction of a second old."""
        parts = list(self._stats.values())
        whole = merged(parts)
        return whole if len(parts) == self._count else replace(whole, connected=False)

    def _spawn(self, worker: int) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_work, args=(worker, theirs, *self._arguments), name=str(worker), daemon=True
        )
        process.start()
        theirs.close()
        self._processes[worker] = (process, ours)

    def _listen(self) -> None:
        while not self._stopping.wait(0.1):
            for worker, (process, pipe) in list(self._processes.items()):
                self._drain(pipe, str(worker))
                if not process.is_alive() and not self._stopping.is_set():
                    _log.error("ingest.worker_restarted", worker=worker, exit=process.exitcode)
                    pipe.close()
                    process.close()
                    self._spawn(worker)

    def _drain(self, pipe: Connection, worker: str) -> None:
        with contextlib.suppress(OSError, EOFError):
            while pipe.poll():
                self._stats[int(worker)] = pipe.recv()


def _work(
    worker: int,
    pipe: Connection,
    broker: BrokerSettings,
    settings: IngestSettings,
    plant: Plant,
    data_dir: Path,
    waveform_factory: WaveformFactory | None,
    prepare: Callable[[], None] | None,
) -> None:
    """Run one worker until told to stop, or until the parent is gone (its end of the pipe closes)."""
    if prepare is not None:
        prepare()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    spare_collector()
    journal = open_journal(
        worker_journal(data_dir, worker),
        SystemClock(),
        quarantine_budget_bytes=settings.quarantine_mb << 20,
    )
    subscriber = Subscriber(
        broker,
        settings,
        plant,
        journal,
        SystemClock(),
        worker=worker,
        waveform_factory=waveform_factory,
    )
    try:
        with contextlib.suppress(
            BrokerError
        ):  # it goes on trying; the parent reads why in the figures
            subscriber.start()
        with contextlib.suppress(OSError, EOFError):
            while not pipe.poll(_REPORT_S):
                pipe.send(subscriber.stats())
    finally:
        subscriber.stop()
        with contextlib.suppress(OSError):
            pipe.send(subscriber.stats())
        journal.close()

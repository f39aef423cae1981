"""Vigie at work: ingest, forwarder, features, scoring and publishing wired into one process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from features.job import FeatureJob
from ingest.collector import spare_collector
from ingest.health import health_figures, health_problem
from ingest.retire import retire_workers
from ingest.subscriber import Subscriber
from ingest.waveform import NewestValue, WaveformReader
from ingest.workers import Workers
from models.registry import Registry
from plant.config import Plant
from plant.errors import StoreError, VigieError
from serve.publisher import Publisher
from serve.service import Service
from store.factory import open_forwarder
from store.forwarder import Forwarder
from store.integrity import open_journal
from store.port import Store
from store.schema import journal_path
from vigie.context import Context
from vigie.logs import configure_logs
from vigie.mqtt import connected

_CONNECT_WAIT_S = 15.0


@dataclass(frozen=True, slots=True)
class Intake:
    """The first half at work: broker → journal → store. `settle` waits until it has caught up."""

    subscriber: Subscriber | Workers
    forwarder: Forwarder | None

    def health(self) -> tuple[dict[str, Any], str]:
        """Return the figures for the health message, and what is wrong, if anything."""
        stats = self.subscriber.stats()
        parts: dict[str, Any] = {"ingest": health_figures(stats)}
        problem = health_problem(stats)
        if self.forwarder is not None:
            forward = self.forwarder.stats()
            parts["forwarder"] = asdict(forward)
            problem = problem or (f"InfluxDB: {forward.error}" if forward.error else "")
        return parts, problem

    def settle(self, received: int, timeout_s: float = 120.0) -> None:
        """Wait until so many messages were received and all of them can be read from the store.

        Raises VigieError when that takes too long.
        """
        deadline = time.monotonic() + timeout_s
        while (stats := self.subscriber.stats()).received < received or stats.pending:
            if time.monotonic() > deadline:
                raise VigieError(
                    f"only {stats.received:,} of {received:,} messages have arrived"
                    f" ({stats.error or stats.blocked or 'no error'}).",
                    fix="Look at the broker's queue limits and run `vigie doctor`.",
                )
            time.sleep(0.001)
        left_s = max(deadline - time.monotonic(), 1.0)
        if self.forwarder is not None and not self.forwarder.drain(left_s):
            error = self.forwarder.stats().error or "it is too slow"
            raise StoreError(f"InfluxDB did not take the readings in time ({error}).")


@contextmanager
def open_intake(context: Context) -> Iterator[Intake]:
    """Take readings from the broker into the store until the end of the block.

    With `ingest.workers` above 1 the work is shared among processes, each with its own journal.
    Raises BrokerError at once when the broker is not there or refuses us.
    """
    settings = context.settings
    with connected(settings.broker, "probe"):
        pass
    context.data_dir.mkdir(parents=True, exist_ok=True)
    retire_workers(settings.broker, settings.ingest, context.plant, context.data_dir, context.clock)
    with ExitStack() as stack:
        forwarder = open_forwarder(settings.store, context.data_dir, context.clock)
        if forwarder is not None:
            stack.callback(forwarder.close)
        subscriber = _subscriber(context, stack, forwarder)
        if forwarder is not None:
            forwarder.start()
        stack.callback(subscriber.stop)
        spare_collector()
        subscriber.start(wait_s=_CONNECT_WAIT_S)
        yield Intake(subscriber, forwarder)


def _subscriber(
    context: Context, stack: ExitStack, forwarder: Forwarder | None
) -> Subscriber | Workers:
    settings = context.settings
    if settings.ingest.workers > 1:
        return Workers(
            settings.broker,
            settings.ingest,
            context.plant,
            context.data_dir,
            waveform_factory=read_waveforms,
            prepare=configure_logs,
        )
    journal = open_journal(
        journal_path(context.data_dir),
        context.clock,
        quarantine_budget_bytes=settings.ingest.quarantine_mb << 20,
    )
    stack.callback(journal.close)
    if forwarder is not None:
        journal.tail = forwarder.tail_of(journal.path)
    return Subscriber(
        settings.broker,
        settings.ingest,
        context.plant,
        journal,
        context.clock,
        waveform_factory=read_waveforms,
    )


def read_waveforms(plant: Plant, newest: NewestValue) -> WaveformReader:
    """Return what makes numbers of waveforms, in the process that takes them."""
    from features.waveform import WaveformFeatures  # noqa: PLC0415 - SciPy waits until one may come

    return WaveformFeatures(plant, newest)


@contextmanager
def open_service(context: Context, store: Store) -> Iterator[Service]:
    """Yield the second half, store → features → risks → broker: call its `step`, or `run`."""
    settings = context.settings
    context.data_dir.mkdir(parents=True, exist_ok=True)
    job = FeatureJob(
        store,
        context.plant,
        settings.features,
        state_file=context.data_dir / "features" / "state.json",
    )
    publisher = Publisher(settings.broker, context.data_dir / "outbox.db", settings.serve.publish)
    service = Service(
        store,
        job,
        registry(context),
        publisher,
        context.plant,
        settings.serve,
        context.clock,
        alarms_path=context.data_dir / "alarms.db",
        model_settings=settings.model,
    )
    try:
        publisher.start(wait_s=_CONNECT_WAIT_S)
        yield service
    finally:
        service.close()


def registry(context: Context) -> Registry:
    """Return the models of this data folder."""
    return Registry(context.data_dir / "models")

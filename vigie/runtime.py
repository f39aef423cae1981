"""Vigie at work: ingest, forwarder, features, scoring and publishing wired into one process."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from features.job import FeatureJob
from ingest.subscriber import Subscriber
from models.registry import Registry
from plant.errors import StoreError, VigieError
from serve.publisher import Publisher
from serve.service import Service, StepResult
from store.factory import open_forwarder
from store.journal import Journal
from store.port import Store
from store.schema import journal_path
from vigie.context import Context

_CONNECT_WAIT_S = 15.0


class Intake:
    """The first half: broker → journal → store. A context manager; `settle` waits for the rest."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        context.data_dir.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(journal_path(context.data_dir))
        self.subscriber = Subscriber(
            settings.broker, settings.ingest, context.plant, self.journal, context.clock
        )
        self.forwarder = open_forwarder(settings.store, context.data_dir, context.clock)

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

    def __enter__(self) -> Self:
        self.subscriber.start(wait_s=_CONNECT_WAIT_S)
        if self.forwarder is not None:
            self.forwarder.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.subscriber.stop()
        if self.forwarder is not None:
            self.forwarder.close()
        self.journal.close()


class Outlook:
    """The second half: store → features → risks → broker. A context manager; call `step`."""

    def __init__(self, context: Context, store: Store) -> None:
        settings = context.settings
        job = FeatureJob(
            store,
            context.plant,
            settings.features,
            state_file=context.data_dir / "features" / "state.json",
        )
        self._publisher = Publisher(
            settings.broker, context.data_dir / "outbox.db", settings.serve.publish
        )
        self.service = Service(
            store,
            job,
            registry(context),
            self._publisher,
            context.plant,
            settings.serve,
            context.clock,
            alarms_path=context.data_dir / "alarms.db",
            model_settings=settings.model,
        )

    def step(self, now_ms: int) -> StepResult:
        """Judge every machine as of `now_ms` and tell the plant."""
        return self.service.step(now_ms)

    def published(self, timeout_s: float = 30.0) -> bool:
        """Wait until the broker has everything; tell whether it has."""
        return self._publisher.wait_idle(timeout_s)

    def __enter__(self) -> Self:
        self._publisher.start(wait_s=_CONNECT_WAIT_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.service.close()


def registry(context: Context) -> Registry:
    """Return the models of this data folder."""
    return Registry(context.data_dir / "models")

"""Which topic filters a worker subscribes and leaves when it connects. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ingest.router import Router
from ingest.settings import IngestSettings


@dataclass(frozen=True, slots=True)
class Plan:
    """Topic filters to subscribe, and those that a kept session may still hold and must not."""

    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()


def plan(
    router: Router, settings: IngestSettings, worker: int, *, shares: bool, retiring: bool
) -> Plan:
    """Return what worker number `worker` takes. `shares`: the protocol has shared subscriptions.

    A session that was shared before, or was not, would bring everything twice. Messages that must
    all reach one process go to worker 0. Who is retiring only takes what the broker kept for it.
    """
    plain, stateful = router.subscriptions(), router.stateful_subscriptions()
    if not shares:
        return Plan(subscribe=(*plain, *stateful))
    shared = tuple(f"$share/{settings.share_group}/{topic}" for topic in plain)
    if retiring:
        return Plan(unsubscribe=(*plain, *shared, *stateful))
    wanted, unwanted = (plain, shared) if settings.workers == 1 else (shared, plain)
    return Plan((*wanted, *stateful) if worker == 0 else wanted, unwanted)

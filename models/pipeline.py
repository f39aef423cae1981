"""From the store to models: regimes, feature rows, labels, training, one bundle per kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from features.job import FeatureJob
from features.regime import RegimeModel
from features.rollup import from_block
from features.settings import FeatureSettings
from features.table import FeatureTable
from models.bundle import Bundle
from models.midlife import late_copies
from models.registry import Registry
from models.settings import ModelSettings
from models.train import train
from plant.config import Plant
from plant.errors import DataError
from plant.event import Event
from store.port import Store

#: Called with what is being done and the share that is done, 0 to 1.
Tell = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """What a plant's past gives to learn from: rows of all kinds, the log, the fitted regimes."""

    table: FeatureTable
    events: list[Event]
    regimes: dict[str, RegimeModel]
    job: FeatureJob

    def of_kind(self, kind: str) -> FeatureTable:
        """Return one kind's rows in its own columns."""
        return self.table.of_kind(kind, self.job.catalogue(kind))


def read_history(
    store: Store,
    plant: Plant,
    features: FeatureSettings,
    stop_ms: int,
    *,
    state_file: Path | None = None,
    tell: Tell | None = None,
    start_ms: int = 0,
    learn_share: float = 1.0,
    regimes: dict[str, RegimeModel] | None = None,
) -> History:
    """Fit regimes on what lies before `stop_ms` and make the rows before it.

    learn_share: fit the regimes on this first share of the history only, so that a backtest of the
    rest sees nothing of itself. regimes: use these instead of fitting any.
    Raises DataError when the store holds nothing yet.
    """
    say = tell or _silent
    job = FeatureJob(store, plant, features, state_file=state_file)
    say("rolling up and learning regimes", 0.0)
    if regimes is None:
        first_ms = min((seen.first_ms for seen in store.assets()), default=0)
        regimes = job.fit_regimes(round(first_ms + learn_share * (stop_ms - first_ms)))
    job.use_regimes(regimes)
    table = job.backfill(
        start_ms, stop_ms, progress=lambda done, of, what: say(f"features: {what}", done / of)
    )
    if not len(table):
        raise DataError(
            "the store holds no readings to learn from.", fix="Run `vigie ingest` first."
        )
    return History(table, store.read_events(0, stop_ms), regimes, job)


def train_from_store(
    store: Store,
    plant: Plant,
    features: FeatureSettings,
    settings: ModelSettings,
    *,
    now_ms: int,
    kinds: Sequence[str] | None = None,
    as_of_ms: int | None = None,
    state_file: Path | None = None,
    tell: Tell | None = None,
) -> Iterator[Bundle]:
    """Train every kind in the store (or the named ones); nothing at or after `as_of_ms` is used.

    A kind that cannot be trained costs no other that came before it. Raises DataError.
    """
    say = tell or _silent
    stop_ms = min(now_ms, as_of_ms) if as_of_ms is not None else now_ms
    history = read_history(
        store, plant, features, stop_ms, state_file=state_file, tell=lambda s, x: say(s, 0.5 * x)
    )
    present = sorted({str(kind) for kind in history.table.kinds})
    wanted = list(kinds) if kinds else present
    for kind in wanted:
        if kind not in present:
            known = ", ".join(present)
            raise DataError(f"there are no readings of kind {kind!r} (there are: {known}).")
    for number, kind in enumerate(wanted):
        base = 0.5 + 0.5 * number / len(wanted)
        yield train_kind(
            history,
            store,
            plant,
            settings,
            kind,
            now_ms=now_ms,
            stop_ms=stop_ms,
            tell=lambda s, x, k=kind, b=base: say(f"{k}: {s}", b + 0.5 * x / len(wanted)),  # type: ignore[misc] # loop values bound as defaults
        )


def train_kind(
    history: History,
    store: Store,
    plant: Plant,
    settings: ModelSettings,
    kind: str,
    *,
    now_ms: int,
    stop_ms: int,
    tell: Tell | None = None,
) -> Bundle:
    """Train one kind on a history that was read before."""
    regime = history.regimes.get(kind)
    return train(
        history.of_kind(kind),
        history.events,
        plant,
        settings,
        now_ms=now_ms,
        kind=kind,
        as_of_ms=stop_ms,
        regime_json="" if regime is None else json.dumps(regime.to_json(), sort_keys=True),
        midlife=late_rows(history, store, plant, settings, kind, stop_ms),
        progress=tell,
    )


def late_rows(
    history: History, store: Store, plant: Plant, settings: ModelSettings, kind: str, stop_ms: int
) -> FeatureTable | None:
    """Return rows of one kind's machines as if connected in mid-life, made of what lies before `stop_ms`.

    None when `midlife_share` asks for none, or nothing can be cut.
    """
    if settings.midlife_share <= 0:
        return None
    plan = history.job.plan(kind)
    bucket_ms = plan.settings.bucket_ms
    assets = sorted({str(a) for a in history.of_kind(kind).assets})
    paths = [e.asset for e in store.assets() if str(e.asset) in assets]
    rolled = (
        (asset, from_block(plan, store.read_rollups(asset, bucket_ms, 0, stop_ms)))
        for asset in paths
    )
    known = [e for e in history.events if e.ts_ms < stop_ms]
    return late_copies(
        plan, plant, store, rolled, known, stop_ms,
        copies=settings.midlife_copies, seed=settings.seed,
    )  # fmt: skip


def champion_regimes(registry: Registry) -> dict[str, RegimeModel]:
    """Return the regimes of the champions, for a features job that is to feed them.

    Raises ModelError when a champion is damaged.
    """
    found = {}
    for kind in registry.kinds():
        bundle = registry.champion(kind)
        if bundle is not None and bundle.regime:
            found[kind] = RegimeModel.from_json(json.loads(bundle.regime))
    return found


def _silent(_what: str, _share: float) -> None:
    pass

"""The job: roll up what arrived, keep the rollups in the store, give the rows.

`tick` is the live side, `backfill` the historical one; both build rows with the same engine from the
same rollups, so they agree bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from features.assemble import FAR_MS, join_rows, no_rows, renewals_of
from features.backfill import as_known_at, reader, segments, settled_ms
from features.catalogue import Catalogue
from features.engine import ALIGN, AssetEngine, Rows, TooOld, silent_row
from features.fit import fit_from_rollups
from features.partition import (
    RollTask,
    RowTask,
    StoreAddress,
    by_days,
    roll_buckets,
    run_roll,
    run_rows,
)
from features.plan import KindPlan, make_plan
from features.regime import RegimeModel
from features.renewal import RENEWING, Renewals
from features.roller import Roller
from features.rollup import Rolled, from_block
from features.settings import FeatureSettings
from features.sources import Extent
from features.table import FeatureTable
from features.workers import Here, Workers
from plant.asset import AssetPath
from plant.config import KindSpec, Plant
from plant.errors import DataError
from plant.event import Event
from plant.times import DAY_MS
from store.port import Store

#: Without workers a partition is this many days: fewer round trips to the store.
DAYS_HERE = 10
#: Called with (done, total) partitions and what was done last.
Progress = Callable[[int, int, str], None]


class FeatureJob:
    """Feature rows of a plant, live and historical.

    regimes: fitted models by kind (without one, the excess of a signal is the signal itself).
    state_file: where the job keeps how far it has read the store's changes; without it a new job
    reads them from the beginning, which gives the same rows but takes longer.
    address: how Dask workers find the store; needed only with workers in other processes.
    """

    def __init__(
        self,
        store: Store,
        plant: Plant,
        settings: FeatureSettings | None = None,
        *,
        regimes: Mapping[str, RegimeModel] | None = None,
        state_file: Path | None = None,
        address: StoreAddress | None = None,
    ) -> None:
        self.store = store
        self.plant = plant
        self.settings = settings or FeatureSettings()
        self._address = address
        self._regimes = dict(regimes or {})
        self._plans: dict[str, KindPlan] = {}
        self._engines: dict[AssetPath, AssetEngine] = {}
        self._renewals: dict[AssetPath, Renewals] = {}
        self._extents: dict[AssetPath, Extent] = {}
        self._last: dict[AssetPath, tuple[int, Rows]] = {}
        self._closed: dict[AssetPath, list[Rolled]] = {}
        self._roller = Roller(store, self.settings.bucket_ms, state_file)

    # ---- what the rows look like

    def use_regimes(self, regimes: Mapping[str, RegimeModel]) -> None:
        """Go on with other fitted models, as after a promotion."""
        self._regimes = dict(regimes)
        self._plans.clear()
        self._engines.clear()
        self._last.clear()

    def plan(self, kind: str) -> KindPlan:
        """Return how rows of a kind are made."""
        if kind not in self._plans:
            spec = self.plant.kinds.get(kind)
            signals: set[str] = set()
            if spec is None or not spec.signals:
                for extent in self._extents.values():
                    if self.plant.kind_of(extent.asset) == kind:
                        signals |= set(extent.signals)
            from_config = spec if spec is not None else KindSpec()
            self._plans[kind] = make_plan(
                kind, from_config, self.settings, self._regimes.get(kind), tuple(sorted(signals))
            )
        return self._plans[kind]

    def catalogue(self, kind: str) -> Catalogue:
        """Return the columns of a kind."""
        self._see_assets()
        return self.plan(kind).catalogue

    def kinds(self) -> list[str]:
        """Return the kinds that have sent something."""
        self._see_assets()
        return sorted({self.plant.kind_of(asset) for asset in self._extents})

    # ---- live

    def tick(self, now_ms: int) -> FeatureTable:
        """Return the newest closed grid row of every asset heard of so far.

        A row at t is closed when now is at least t + lateness. Rolls up what arrived since the last
        tick and writes it to the store.
        """
        row = self._row(now_ms)
        self.close_buckets(now_ms)
        self._see_events(row * self.settings.bucket_ms)
        parts: list[tuple[AssetPath, KindPlan, Rows]] = []
        for asset in sorted(self._extents):
            plan = self.plan(self.plant.kind_of(asset))
            parts.append((asset, plan, self._newest_row(asset, plan, row)))
        return join_rows(parts)

    def close_buckets(self, now_ms: int) -> None:
        """Roll up what is closed by now and write it to the store; `tick` does it by itself."""
        row = self._row(now_ms)
        self._roller.take_changes()
        self._see_assets()
        for asset, rolled in self._roll_closed(row).items():
            self._closed.setdefault(asset, []).append(rolled)
        self._roller.save()

    def _row(self, now_ms: int) -> int:
        """Return the number of the newest grid row that is closed, counted in buckets."""
        settings = self.settings
        return (
            (now_ms - settings.lateness_ms) // settings.grid * (settings.grid // settings.bucket_ms)
        )

    def _newest_row(self, asset: AssetPath, plan: KindPlan, row: int) -> Rows:
        last = self._last.get(asset)
        if last is not None and last[0] == row:
            return last[1]  # what arrived since then is seen by the next row
        bucket_ms = self.settings.bucket_ms
        silent = row - self._extents[asset].last_ms // bucket_ms
        if silent > self.settings.forget_buckets:
            self._engines.pop(asset, None)
            return silent_row(plan, row, self._extents[asset].last_ms, self._renewals[asset])
        engine = self._engines.get(asset)
        try:
            if engine is not None and engine.base + engine.head < row:
                for rolled in self._closed.pop(asset, []):
                    engine.load(rolled)
            else:
                engine = None
        except TooOld:
            engine = None
        if engine is None:
            self._closed.pop(asset, None)  # the store has it
            engine = self._build_engine(asset, plan, row)
            if engine is None:
                return no_rows(plan)
            self._engines[asset] = engine
        rows = engine.advance(row, row, self._renewals[asset])
        engine.trim()
        self._last[asset] = (row, rows)
        return rows

    def _build_engine(self, asset: AssetPath, plan: KindPlan, row: int) -> AssetEngine | None:
        rolled = self._stored(asset, plan, row)
        rolled, changing = as_known_at(plan, rolled, row, reader(self.store, asset))
        if not len(rolled[0]):
            return None
        self._roller.wait(asset, changing)
        rolled = segments(plan, rolled)[-1]
        first = int(rolled[0][0])
        engine = AssetEngine(plan, first, row - first + 2 * ALIGN)
        engine.load(rolled)
        return engine

    def _stored(self, asset: AssetPath, plan: KindPlan, stop_bucket: int) -> Rolled:
        bucket_ms = self.settings.bucket_ms
        return from_block(
            plan, self.store.read_rollups(asset, bucket_ms, 0, stop_bucket * bucket_ms)
        )

    # ---- readings to rollups

    def _see_assets(self) -> None:
        for seen in self.store.assets():
            known = self._extents.get(seen.asset)
            if known is None or not set(seen.signals) <= set(known.signals):
                kind = self.plant.kind_of(seen.asset)
                if not self.plant.kinds.get(kind, KindSpec()).signals:
                    self._forget_kind(kind)  # its columns are what its machines send
            self._extents[seen.asset] = Extent(
                seen.asset, seen.first_ms, seen.last_ms, seen.signals
            )

    def _forget_kind(self, kind: str) -> None:
        self._plans.pop(kind, None)
        for asset in [a for a in self._engines if self.plant.kind_of(a) == kind]:
            del self._engines[asset]
            self._last.pop(asset, None)

    def _see_events(self, stop_ms: int) -> None:
        """Read repairs and failures; an engine that has passed a new one goes back to it."""
        events = self._events(stop_ms + 1)
        for asset in self._extents:
            found = self._find_renewals(asset, events.get(asset, []))
            before = self._renewals.get(asset)
            self._renewals[asset] = found
            first = None if before is None else before.first_difference(found)
            if asset in self._engines and first is not None:
                try:
                    self._engines[asset].rewind_to_renewal(-(-first // self.settings.bucket_ms))
                except TooOld:
                    del self._engines[asset]

    def _events(self, stop_ms: int) -> dict[AssetPath, list[Event]]:
        by_asset: dict[AssetPath, list[Event]] = {}
        for event in self.store.read_events(0, stop_ms, kinds=RENEWING):
            by_asset.setdefault(event.asset, []).append(event)
        return by_asset

    def _find_renewals(self, asset: AssetPath, events: Sequence[Event]) -> Renewals:
        return renewals_of(self.plant, asset, events, self.plan(self.plant.kind_of(asset)))

    def _roll_closed(self, row: int) -> dict[AssetPath, Rolled]:
        """Roll up the touched buckets that are closed; return them as known at `row`."""
        cutoff = row * self.settings.bucket_ms + self.settings.lateness_ms
        changed: dict[AssetPath, Rolled] = {}
        for asset in list(self._roller.pending):
            due = self._roller.due(asset, row)
            if not due or asset not in self._extents:
                continue
            plan = self.plan(self.plant.kind_of(asset))
            rolled = roll_buckets(plan, self.store, asset, due)
            old = due[0] < row - DAY_MS // self.settings.bucket_ms
            rolled = self._roller.write(plan, asset, rolled, expired=old)
            self._roller.done(asset, due)
            self._roller.wait(asset, rolled[0][settled_ms(rolled[1]) > cutoff].tolist())
            changed[asset], _ = as_known_at(plan, rolled, row, reader(self.store, asset))
        return changed

    # ---- history

    def roll_up(self, workers: Workers | None = None, progress: Progress | None = None) -> int:
        """Bring all rollups up to date with what has arrived; return how many partitions it took.

        A partition is one asset and day, or ten days where there are no workers to feed. Killed at
        any moment and run again, it goes on from where it was; run twice, it changes nothing.
        """
        self._roller.take_changes()
        self._see_assets()
        source = self._source(workers)
        days = 1 if workers is not None else DAYS_HERE
        tasks = [
            RollTask(asset, self.plan(self.plant.kind_of(asset)), buckets, source)
            for asset in sorted(self._roller.pending)
            if asset in self._extents
            for buckets in by_days(self._roller.due(asset, FAR_MS), self.settings.bucket_ms, days)
        ]
        for done, (task, rolled) in enumerate((workers or Here()).run(run_roll, tasks)):
            self._roller.write(task.plan, task.asset, rolled)
            self._roller.done(task.asset, task.buckets)
            self._engines.pop(task.asset, None)
            self._roller.save(now=False)
            if progress is not None:
                progress(done + 1, len(tasks), str(task.asset))
        self._roller.save()
        return len(tasks)

    def _source(self, workers: Workers | None) -> Store | StoreAddress:
        """Return what a partition reads from: this store, or how to find it from elsewhere."""
        if workers is None or isinstance(workers, Here):
            return self.store
        if self._address is None:
            raise DataError("workers in other processes need the address of the store.")
        return self._address

    def backfill(
        self,
        start_ms: int,
        stop_ms: int,
        assets: Iterable[AssetPath] | None = None,
        progress: Progress | None = None,
        workers: Workers | None = None,
    ) -> FeatureTable:
        """Return the rows at grid times in `[start_ms, stop_ms)`; rolls up first what is not yet.

        An asset has rows while it sends; where it was silent for an hour there is none.
        Raises DataError for an asset that never sent a reading.
        """
        parts = self.backfill_parts(start_ms, stop_ms, assets, progress, workers)
        return join_rows(sorted(parts, key=lambda part: part[0]))

    def backfill_parts(
        self,
        start_ms: int,
        stop_ms: int,
        assets: Iterable[AssetPath] | None = None,
        progress: Progress | None = None,
        workers: Workers | None = None,
    ) -> Iterator[tuple[AssetPath, KindPlan, Rows]]:
        """Yield what `backfill` returns asset by asset, for histories bigger than memory."""
        self.roll_up(workers, progress)
        chosen = sorted(self._extents if assets is None else assets)
        events = self._events(stop_ms)
        tasks = []
        store = self._source(workers)
        for asset in chosen:
            if asset not in self._extents:
                raise DataError(f"{asset} has never sent a reading.", fix="See `vigie assets`.")
            renewals = self._find_renewals(asset, events.get(asset, []))
            plan = self.plan(self.plant.kind_of(asset))
            tasks.append(RowTask(asset, plan, renewals, start_ms, stop_ms, store))
        for done, (task, rows) in enumerate((workers or Here()).run(run_rows, tasks)):
            if progress is not None:
                progress(done + 1, len(tasks), f"rows of {task.asset}")
            yield task.asset, task.plan, rows

    def fit_regimes(self, stop_ms: int) -> dict[str, RegimeModel]:
        """Learn each kind's regimes from the rollups before `stop_ms`; healthy is the start of a life."""
        self.roll_up()
        events = self._events(stop_ms)
        fitted = {}
        for kind in self.kinds():
            plan = self.plan(kind)
            parts = [
                (
                    self._stored(asset, plan, stop_ms // self.settings.bucket_ms),
                    self._find_renewals(asset, events.get(asset, [])),
                )
                for asset in sorted(self._extents)
                if self.plant.kind_of(asset) == kind
            ]
            model = fit_from_rollups(plan, parts)
            if model is not None:
                fitted[kind] = model
        return fitted

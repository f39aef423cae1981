"""The job: roll up what arrived, keep the rollups in the store, give the rows.

`tick` is the live side, `backfill` the historical one; both build rows with the same engine from the
same rollups, so they agree bit for bit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from features.assemble import FAR_MS, join_rows, no_rows, renewals_of
from features.backfill import as_known_at, reader, rows_of_asset, settled_ms
from features.catalogue import Catalogue
from features.engine import AssetEngine, Rows, TooOld
from features.fit import fit_from_rollups
from features.plan import KindPlan, make_plan
from features.regime import RegimeModel
from features.renewal import RENEWING, Renewals
from features.rollup import Rolled, from_block, roll, to_block
from features.settings import FeatureSettings
from features.sources import Extent
from features.table import FeatureTable
from plant.asset import AssetPath
from plant.config import KindSpec, Plant
from plant.errors import DataError
from plant.event import Event
from plant.times import DAY_MS
from store.port import ReadingBlock, Store

#: Called with (done, total) and what was done last.
Progress = Callable[[int, int, str], None]


class FeatureJob:
    """Feature rows of a plant, live and historical.

    regimes: fitted models by kind (without one, the excess of a signal is the signal itself).
    state_file: where the job keeps how far it has read the store's changes; without it a new job
    reads them from the beginning, which gives the same rows but takes longer.
    """

    def __init__(
        self,
        store: Store,
        plant: Plant,
        settings: FeatureSettings | None = None,
        *,
        regimes: Mapping[str, RegimeModel] | None = None,
        state_file: Path | None = None,
    ) -> None:
        self.store = store
        self.plant = plant
        self.settings = settings or FeatureSettings()
        self._regimes = dict(regimes or {})
        self._state_file = state_file
        self._plans: dict[str, KindPlan] = {}
        self._engines: dict[AssetPath, AssetEngine] = {}
        self._renewals: dict[AssetPath, Renewals] = {}
        self._cursor = ""
        self._pending: dict[AssetPath, set[int]] = {}
        self._extents: dict[AssetPath, Extent] = {}
        self._load_state()

    # ---- what the rows look like

    def use_regimes(self, regimes: Mapping[str, RegimeModel]) -> None:
        """Go on with other fitted models, as after a promotion."""
        self._regimes = dict(regimes)
        self._plans.clear()
        self._engines.clear()

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
        settings = self.settings
        row = (
            (now_ms - settings.lateness_ms) // settings.grid * (settings.grid // settings.bucket_ms)
        )
        self._take_changes()
        self._see_assets()
        changed = self._roll_pending(row)
        self._save_state()
        self._see_events(row * settings.bucket_ms)
        parts: list[tuple[AssetPath, KindPlan, Rows]] = []
        for asset in sorted(self._extents):
            plan = self.plan(self.plant.kind_of(asset))
            parts.append((asset, plan, self._newest_row(asset, plan, row, changed.get(asset))))
        return join_rows(parts)

    def _newest_row(
        self, asset: AssetPath, plan: KindPlan, row: int, changed: Rolled | None
    ) -> Rows:
        engine = self._engines.get(asset)
        try:
            if engine is not None and engine.base + engine.head < row:
                if changed is not None:
                    engine.load(changed)
            elif engine is not None:
                engine = None  # asked again for a row it has already passed
        except TooOld:
            engine = None
        if engine is None:
            engine = self._build_engine(asset, plan, row)
            if engine is None:
                return no_rows(plan)
            self._engines[asset] = engine
        rows = engine.advance(row, row, self._renewals[asset])
        engine.trim()
        return rows

    def _build_engine(self, asset: AssetPath, plan: KindPlan, row: int) -> AssetEngine | None:
        rolled = self._stored(asset, plan, row)
        rolled, changing = as_known_at(plan, rolled, row, reader(self.store, asset))
        if not len(rolled[0]):
            return None
        self._pending.setdefault(asset, set()).update(changing)
        first = int(rolled[0][0])
        engine = AssetEngine(plan, first, row - first + 1024)
        engine.load(rolled)
        return engine

    def _stored(self, asset: AssetPath, plan: KindPlan, stop_bucket: int) -> Rolled:
        bucket_ms = self.settings.bucket_ms
        return from_block(
            plan, self.store.read_rollups(asset, bucket_ms, 0, stop_bucket * bucket_ms)
        )

    # ---- readings to rollups

    def _take_changes(self) -> None:
        bucket_ms = self.settings.bucket_ms
        while True:
            changes = self.store.changes(self._cursor)
            for change in changes.items:
                self._pending.setdefault(change.asset, set()).add(change.ts_ms // bucket_ms)
            if changes.cursor == self._cursor or not changes.items:
                self._cursor = changes.cursor
                return
            self._cursor = changes.cursor

    def _see_assets(self) -> None:
        for seen in self.store.assets():
            known = self._extents.get(seen.asset)
            if known is not None and not set(seen.signals) <= set(known.signals):
                self._plans.pop(self.plant.kind_of(seen.asset), None)
                self._engines.pop(seen.asset, None)
            self._extents[seen.asset] = Extent(
                seen.asset, seen.first_ms, seen.last_ms, seen.signals
            )

    def _see_events(self, stop_ms: int) -> None:
        """Read repairs and failures; an engine that has passed a new one goes back to it."""
        by_asset: dict[AssetPath, list[Event]] = {}
        for event in self.store.read_events(0, stop_ms + 1, kinds=RENEWING):
            by_asset.setdefault(event.asset, []).append(event)
        for asset in self._extents:
            found = self._find_renewals(asset, by_asset.get(asset, []))
            before = self._renewals.get(asset)
            self._renewals[asset] = found
            if asset in self._engines and before is not None:
                first = _first_difference(before, found)
                if first is not None:
                    try:
                        bucket = -(-first // self.settings.bucket_ms)
                        self._engines[asset].rewind_to_renewal(bucket)
                    except TooOld:
                        del self._engines[asset]

    def _find_renewals(self, asset: AssetPath, events: Sequence[Event]) -> Renewals:
        return renewals_of(self.plant, asset, events, self.plan(self.plant.kind_of(asset)))

    def _roll_pending(self, row: int) -> dict[AssetPath, Rolled]:
        """Roll up the touched buckets that are closed; return them as known at `row`."""
        bucket_ms, lateness = self.settings.bucket_ms, self.settings.lateness_ms
        cutoff = row * bucket_ms + lateness
        changed: dict[AssetPath, Rolled] = {}
        for asset, pending in self._pending.items():
            due = sorted(bucket for bucket in pending if bucket < row)
            if not due or asset not in self._extents:
                continue
            plan = self.plan(self.plant.kind_of(asset))
            read = reader(self.store, asset)
            rolled = _roll_buckets(plan, read, due, bucket_ms)
            self.store.write_rollups(to_block(plan, asset, rolled))
            pending.difference_update(due)
            pending.update(rolled[0][settled_ms(rolled[1]) > cutoff].tolist())
            changed[asset], _ = as_known_at(plan, rolled, row, read)
        return changed

    # ---- history

    def backfill(
        self,
        start_ms: int,
        stop_ms: int,
        assets: Iterable[AssetPath] | None = None,
        progress: Progress | None = None,
    ) -> FeatureTable:
        """Return the rows at grid times in `[start_ms, stop_ms)`; rolls up first what is not yet.

        An asset has rows while it sends; where it was silent for an hour there is none.
        """
        self._take_changes()
        self._see_assets()
        self._roll_pending(FAR_MS // self.settings.bucket_ms)
        self._save_state()
        chosen = sorted(self._extents if assets is None else assets)
        events = self.store.read_events(0, stop_ms, kinds=RENEWING)
        parts: list[tuple[AssetPath, KindPlan, Rows]] = []
        for done, asset in enumerate(chosen):
            if asset not in self._extents:
                raise DataError(f"{asset} has never sent a reading.", fix="See `vigie assets`.")
            plan = self.plan(self.plant.kind_of(asset))
            renewals = self._find_renewals(asset, [e for e in events if e.asset == asset])
            rolled = self._stored(asset, plan, -(-stop_ms // self.settings.bucket_ms))
            rows = rows_of_asset(
                plan, rolled, renewals, reader(self.store, asset), start_ms, stop_ms
            )
            parts.append((asset, plan, rows))
            if progress is not None:
                progress(done + 1, len(chosen), str(asset))
        return join_rows(parts)

    def fit_regimes(self, stop_ms: int) -> dict[str, RegimeModel]:
        """Learn each kind's regimes from the rollups before `stop_ms`; healthy is the start of a life."""
        self._take_changes()
        self._see_assets()
        self._roll_pending(FAR_MS // self.settings.bucket_ms)
        events = self.store.read_events(0, stop_ms, kinds=RENEWING)
        fitted = {}
        for kind in self.kinds():
            plan = self.plan(kind)
            parts = []
            for asset in sorted(self._extents):
                if self.plant.kind_of(asset) == kind:
                    rolled = self._stored(asset, plan, stop_ms // self.settings.bucket_ms)
                    renewals = self._find_renewals(asset, [e for e in events if e.asset == asset])
                    parts.append((rolled, renewals))
            model = fit_from_rollups(plan, parts)
            if model is not None:
                fitted[kind] = model
        return fitted

    # ---- restart

    def _load_state(self) -> None:
        if self._state_file is None or not self._state_file.exists():
            return
        try:
            body = json.loads(self._state_file.read_text(encoding="utf-8"))
            if body["bucket_ms"] != self.settings.bucket_ms:
                return
            pending = {AssetPath.parse(name): set(b) for name, b in body["pending"].items()}
        except (ValueError, KeyError, TypeError, DataError):
            return  # damaged: reading the changes from the beginning gives the same rows
        self._cursor, self._pending = body["cursor"], pending

    def _save_state(self) -> None:
        """Keep how far changes were taken in; written after the rollups, so nothing is skipped."""
        if self._state_file is None:
            return
        body = {
            "bucket_ms": self.settings.bucket_ms,
            "cursor": self._cursor,
            "pending": {str(asset): sorted(b) for asset, b in self._pending.items() if b},
        }
        self._state_file.parent.mkdir(parents=True, exist_ok=True)
        part = self._state_file.with_name(self._state_file.name + ".part")
        part.write_text(json.dumps(body), encoding="utf-8")
        part.replace(self._state_file)


def _first_difference(before: Renewals, after: Renewals) -> int | None:
    """Return the time of the first renewal in which two lists differ."""
    for index in range(max(len(before.ts_ms), len(after.ts_ms))):
        if index >= len(before.ts_ms):
            return int(after.ts_ms[index])
        if index >= len(after.ts_ms):
            return int(before.ts_ms[index])
        same = (
            before.ts_ms[index] == after.ts_ms[index]
            and before.whole[index] == after.whole[index]
            and np.array_equal(before.signals[index], after.signals[index])
        )
        if not same:
            return int(min(before.ts_ms[index], after.ts_ms[index]))
    return None


def _roll_buckets(
    plan: KindPlan, read: Callable[[int, int], ReadingBlock], due: Sequence[int], bucket_ms: int
) -> Rolled:
    """Roll up the given buckets, reading neighbours together, a day at most at a time."""
    most = max(1, DAY_MS // bucket_ms)
    parts: list[Rolled] = []
    first = 0
    for index in range(1, len(due) + 1):
        ends = index == len(due) or due[index] != due[index - 1] + 1
        if ends or due[index] - due[first] >= most:
            block = read(due[first] * bucket_ms, (due[index - 1] + 1) * bucket_ms)
            parts.append(roll(plan, block))
            first = index
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

"""One machine's past in memory, ready to give the next row; late buckets rewind it a little.

Backfill and live ticks use the same engine, the same kernels, the same order. A row is a function of
the rollups as they were known at its time, so replaying from any snapshot gives the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from features.kernel_digest import DIGEST_STATE, PREVIOUS, digest
from features.kernel_walk import (
    ASSET_STATE,
    DEVIATED,
    SEEN,
    SERIES_STATE,
    fresh_series,
    walk,
)
from features.kernel_window import LIGHT, TOP, grow, grow_light
from features.plan import KindPlan
from features.renewal import Renewals
from features.rollup import Rolled
from features.stats import NODE, K
from plant.times import HOUR_MS

ALIGN = 1 << TOP
#: A snapshot every so many buckets; live keeps this many of them: late readings of two days and more
#: are worked in from memory, older ones by reading the store again.
EVERY = 96
KEPT = 4


class TooOld(Exception):  # noqa: N818 - a signal to the job, not an error for people
    """A bucket older than what the engine remembers changed: it must be rebuilt from the store."""


@dataclass(slots=True)
class _State:
    """What is carried from bucket to bucket (see the kernels)."""

    digest: NDArray[np.float64]
    held: NDArray[np.float64]
    asset: NDArray[np.float64]
    sums: NDArray[np.float64]
    series: NDArray[np.float64]
    ordered: NDArray[np.float64]

    def copy(self) -> _State:
        return _State(*(getattr(self, part.name).copy() for part in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of one asset: grid times int64[n], X float64[n, F], fault codes uint8[n, S]."""

    ts_ms: NDArray[np.int64]
    X: NDArray[np.float64]
    faults: NDArray[np.uint8]


class AssetEngine:
    """The rollups of one asset from `first_bucket` on, the tree above them, and the state at its head."""

    def __init__(self, plan: KindPlan, first_bucket: int, capacity: int = 2 * ALIGN) -> None:
        self.plan = plan
        self.base = first_bucket // ALIGN * ALIGN
        self._allocate(max(1, -(-capacity // ALIGN)) * ALIGN)
        self.head = 0
        self._trimmed = False
        self._state = self._fresh()
        self._snapshots: list[tuple[int, _State]] = [(0, self._state.copy())]

    def _allocate(self, leaves: int) -> None:
        columns, series = len(self.plan.columns), len(self.plan.series)
        self.leaves = leaves
        self._R = np.full((leaves, columns, K), np.nan)
        self._tree = np.zeros((2 * leaves, columns, NODE))
        self._excess = np.zeros((2 * leaves, series, LIGHT))
        self._faults = np.zeros((leaves, columns), dtype=np.uint8)
        self._regimes = np.full(leaves, np.nan)

    def _fresh(self) -> _State:
        plan = self.plan
        room = max(1, round(plan.settings.baseline_h / plan.settings.bucket_h))
        state = _State(
            digest=np.zeros((len(plan.columns), DIGEST_STATE)),
            held=np.full(len(plan.operating), np.nan),
            asset=np.zeros(ASSET_STATE),
            sums=np.zeros((len(plan.columns), 3)),
            series=np.zeros((len(plan.series), SERIES_STATE + 2 * len(plan.keeps))),
            ordered=np.zeros((len(plan.series), room)),
        )
        state.digest[:, PREVIOUS] = np.nan
        state.asset[SEEN] = state.asset[DEVIATED] = -1.0
        for series in state.series:
            fresh_series(series, 0)
        return state

    def load(self, rolled: Rolled) -> None:
        """Put rollups in, replacing what was there; rewinds when some are behind the head.

        Raises TooOld when one lies before what the engine remembers.
        """
        buckets, values = rolled
        if not len(buckets):
            return
        local = buckets - self.base
        if local.min() < self._snapshots[0][0]:
            raise TooOld
        if local.max() >= self.leaves:
            self._make_room(int(local.max()) + 1)
        self._R[local] = values
        self.rewind(int(local.min()))

    def rewind(self, local: int) -> None:
        """Go back so that bucket `local` (counted from `base`) is worked through again."""
        if local >= self.head:
            return
        while len(self._snapshots) > 1 and self._snapshots[-1][0] > local:
            self._snapshots.pop()
        at, state = self._snapshots[-1]
        if at > local:
            raise TooOld
        self.head, self._state = at, state.copy()

    def rewind_to_renewal(self, bucket: int) -> None:
        """Go back so that a renewal that begins with absolute `bucket` is applied again."""
        local = bucket - 1 - self.base
        if local < self._snapshots[0][0] and not self._trimmed:
            local = 0  # it lies before the first reading
        self.rewind(local)

    def advance(
        self,
        stop_bucket: int,
        rows_from: int,
        renewals: Renewals,
        *,
        grid: int = 1,
        fresh_only: int = 0,
    ) -> Rows:
        """Work through all buckets before `stop_bucket` and return the rows from `rows_from` on.

        Bucket numbers are absolute; a row at bucket number e stands for the time e * bucket_ms.
        """
        plan, state = self.plan, self._state
        stop = stop_bucket - self.base
        if stop > self.leaves:
            self._make_room(stop)
        room = max(0, (stop_bucket - max(rows_from, self.base + self.head + 1)) // grid + 1)
        X = np.full((room, len(plan.catalogue)), np.nan)
        at = np.empty(room, dtype=np.int64)
        made = 0
        renew_at = renewals.buckets(plan.settings.bucket_ms)
        renew_series = self._renew_series(renewals)
        while self.head < stop:
            until = min(stop, (self.head // EVERY + 1) * EVERY)
            digest(
                self._R,
                self.head,
                until,
                plan.roles,
                state.digest,
                state.held,
                plan.rules,
                *plan.model,
                plan.settings.bucket_h,
                self._tree,
                self._excess,
                self._faults,
                self._regimes,
            )
            grow(self._tree, self.leaves, self.head, until, plan.settings.bucket_h)
            grow_light(self._excess, self.leaves, self.head, until, plan.settings.bucket_h)
            made += walk(
                self._R,
                self._tree,
                self._excess,
                self._regimes,
                self.head,
                until,
                self.base,
                self.leaves,
                plan.settings.bucket_h,
                plan.roles,
                state.asset,
                state.sums,
                state.series,
                state.ordered,
                renew_at,
                renewals.whole,
                renew_series,
                plan.reference,
                plan.dev_keep,
                plan.keeps,
                plan.settings.baseline_h / 3.0,
                plan.settings.min_duty,
                grid,
                rows_from,
                fresh_only,
                plan.asset_columns,
                plan.sum_columns,
                plan.series_columns,
                plan.windows,
                plan.begin,
                plan.stats,
                X[made:],
                at[made:],
            )
            self.head = until
            if until % EVERY == 0:
                self._snapshots.append((until, state.copy()))
        at, X = at[:made], X[:made]
        measured = len(plan.catalogue.measured)
        faults = self._faults[at - self.base - 1, :measured]
        ts_ms = at * plan.settings.bucket_ms
        write_ages(plan, ts_ms, X, renewals)
        self._write_connected(ts_ms, X)
        return Rows(ts_ms, X, faults)

    def _write_connected(self, ts_ms: NDArray[np.int64], X: NDArray[np.float64]) -> None:
        """Write the hours since the first reading."""
        catalogue = self.plan.catalogue
        first = self._state.asset[SEEN]
        hours = self.plan.settings.bucket_h
        age = ts_ms / self.plan.settings.bucket_ms * hours - first * hours
        X[:, catalogue.index("asset.connected.age")] = age

    def _renew_series(self, renewals: Renewals) -> NDArray[np.bool_]:
        """Return bool[n, series]: the components are renewed with any signal they mix."""
        extra = len(self.plan.series) - len(self.plan.conditions)
        any_signal = renewals.signals.any(axis=1) | renewals.whole
        return np.ascontiguousarray(
            np.hstack([renewals.signals, np.repeat(any_signal[:, None], extra, axis=1)])
        )

    def _make_room(self, needed: int) -> None:
        """Lay the arrays out for at least `needed` buckets from `base`."""
        leaves = -(-(needed + ALIGN) // ALIGN) * ALIGN
        self._move(self.base, leaves)

    def _move(self, base: int, leaves: int) -> None:
        shift = base - self.base
        R, tree, excess = self._R, self._tree, self._excess
        faults, regimes = self._faults, self._regimes
        old = self.leaves
        self._allocate(leaves)
        kept = min(old - shift, leaves)
        self._R[:kept] = R[shift : shift + kept]
        self._tree[:kept] = tree[shift : shift + kept]
        self._excess[:kept] = excess[shift : shift + kept]
        self._faults[:kept] = faults[shift : shift + kept]
        self._regimes[:kept] = regimes[shift : shift + kept]
        self.base = base
        self.head -= shift
        self._snapshots = [(at - shift, state) for at, state in self._snapshots if at >= shift]
        hours = self.plan.settings.bucket_h
        grow(self._tree, self.leaves, 0, max(self.head, 0), hours)
        grow_light(self._excess, self.leaves, 0, max(self.head, 0), hours)

    def trim(self) -> None:
        """Forget what no later row can need, except for a stretch that late readings may change."""
        self._snapshots = self._snapshots[-KEPT:]
        oldest = self._snapshots[0][0]
        spare = (oldest - self.plan.longest) // ALIGN * ALIGN
        if spare > 0:
            self._trimmed = True
            self._move(self.base + spare, self.leaves - spare)


def write_ages(
    plan: KindPlan, ts_ms: NDArray[np.int64], X: NDArray[np.float64], renewals: Renewals
) -> None:
    """Write the columns that depend on time and events alone."""
    X[:, plan.catalogue.index("asset.life.age")] = renewals.age_h(ts_ms)
    for mode in plan.kind.modes:
        X[:, plan.catalogue.index(f"asset.{mode}.age")] = renewals.age_h(ts_ms, mode)


def silent_row(plan: KindPlan, row: int, last_ms: int, renewals: Renewals) -> Rows:
    """Return the row of an asset that has been silent for very long: only ages are known."""
    ts_ms = np.array([row * plan.settings.bucket_ms])
    X = np.full((1, len(plan.catalogue)), np.nan)
    write_ages(plan, ts_ms, X, renewals)
    X[0, plan.catalogue.index("asset.silent.age")] = (ts_ms[0] - last_ms) / HOUR_MS
    return Rows(ts_ms, X, np.zeros((1, len(plan.catalogue.measured)), np.uint8))

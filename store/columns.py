"""Readings as columns: what a whole piece of the broker's stream held, with no object per reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plant.asset import AssetPath
from store.schema import NO_SEQ


class Sample(NamedTuple):
    """A reading that was checked as it was parsed: what a Reading says, without checking it again.

    Finite numbers, at least one, valid names. Making a Reading costs more than parsing its message.
    """

    asset: AssetPath
    ts_ms: int
    values: dict[str, float]
    seq: int | None
    received_ms: int | None
    simulated: bool = False
    run_id: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """n checked readings of the real plant that arrived at one moment, m values in all.

    assets, shapes: every machine and every order of names known; `asset` and `shape` (int64[n]) point
    into them. ts_ms, seq: int64[n] (`NO_SEQ`: none). first: int64[n], where a reading's values begin.
    values: float64[m], of each reading in the order of its sorted names. spans: int32[m, 2], where in
    `text` each number was written, in the order of its shape.
    """

    assets: Sequence[AssetPath]
    shapes: Sequence[tuple[str, ...]]
    asset: NDArray[np.int64]
    shape: NDArray[np.int64]
    ts_ms: NDArray[np.int64]
    seq: NDArray[np.int64]
    first: NDArray[np.int64]
    values: NDArray[np.float64]
    text: bytes
    spans: NDArray[np.int32]
    received_ms: int

    def __len__(self) -> int:
        return len(self.ts_ms)

    @property
    def size(self) -> int:
        """How many bytes it keeps in memory, but for `assets` and `shapes`."""
        arrays = (self.asset, self.shape, self.ts_ms, self.seq, self.first, self.values, self.spans)
        return len(self.text) + sum(array.nbytes for array in arrays)

    def sample(self, at: int) -> Sample:
        """Return one reading by itself."""
        names = sorted(self.shapes[self.shape[at]])
        first = int(self.first[at])
        values = self.values[first : first + len(names)].tolist()
        seq = int(self.seq[at])
        return Sample(
            self.assets[self.asset[at]],
            int(self.ts_ms[at]),
            dict(zip(names, values, strict=True)),
            None if seq == NO_SEQ else seq,
            self.received_ms,
        )

    def times_ms(self) -> dict[AssetPath, tuple[int, int]]:
        """Return the first and last time of each machine."""
        order = np.argsort(self.asset, kind="stable")
        asset, ts_ms = self.asset[order], self.ts_ms[order]
        begins = np.flatnonzero(np.diff(asset, prepend=-1))
        first, last = np.minimum.reduceat(ts_ms, begins), np.maximum.reduceat(ts_ms, begins)
        machines = [self.assets[at] for at in asset[begins].tolist()]
        return dict(zip(machines, zip(first.tolist(), last.tolist(), strict=True), strict=True))

    def newest(self) -> Iterator[Sample]:
        """Return the newest reading of each machine and order of names."""
        order = np.lexsort((self.ts_ms, self.shape, self.asset))
        asset, shape = self.asset[order], self.shape[order]
        last = np.flatnonzero(
            np.append((asset[1:] != asset[:-1]) | (shape[1:] != shape[:-1]), True)
        )
        return (self.sample(at) for at in order[last].tolist())

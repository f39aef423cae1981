"""From columns of readings to rows of the journal and to line protocol, in compiled loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plant.asset import AssetPath
from store.columns import Columns
from store.kernel_rows import SLACK, checksums, write_lines
from store.lines import RECEIVED, field_name, series
from store.schema import NO_SEQ

Row = tuple[Any, ...]
_MOST_NAMES = 100_000
_REAL_RUN = 0  # columns hold no simulated readings


def rows_of(
    columns: Columns,
    first_id: int,
    asset_id: Callable[[AssetPath], int],
    set_id: Callable[[tuple[str, ...]], int],
) -> list[Row]:
    """Return rows of the table `reading` with ids from `first_id` on."""
    n = len(columns)
    counts = _counts(columns)
    heads = np.empty((n, 7), np.int64)
    heads[:, 0] = np.arange(first_id, first_id + n)
    heads[:, 1] = _by_number(columns.asset, lambda at: asset_id(columns.assets[at]))
    heads[:, 2] = columns.ts_ms
    heads[:, 3] = _by_number(columns.shape, lambda at: set_id(columns.shapes[at]))
    heads[:, 4] = columns.seq
    heads[:, 5] = columns.received_ms
    heads[:, 6] = _REAL_RUN
    crc = checksums(heads.view(np.uint64), columns.values.view(np.uint64), columns.first, counts)
    # Not bytes: for each of them sqlite3 looks for an adapter, which takes a quarter of an insert's time.
    packed = bytearray(columns.values.astype("<f8", copy=False).data.cast("B"))
    starts = columns.first * 8
    stops = starts + counts * 8
    values = [packed[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]
    return list(
        zip(
            range(first_id, first_id + n),
            heads[:, 1].tolist(),
            heads[:, 2].tolist(),
            heads[:, 3].tolist(),
            heads[:, 4].tolist(),
            repeat(columns.received_ms, n),
            repeat(_REAL_RUN, n),
            values,
            crc.tolist(),
            strict=True,
        )
    )


class LineWriter:
    """Writes columns as line protocol, one line per reading, each machine's in its order."""

    def __init__(self) -> None:
        self._heads: dict[AssetPath, bytes] = {}
        self._fields: dict[tuple[str, ...], list[bytes]] = {}

    def lines(self, columns: Columns) -> bytes:
        """Return the lines, each ended; those of a machine together, which InfluxDB takes faster."""
        assets, head = np.unique(columns.asset, return_inverse=True)
        shapes, shape = np.unique(columns.shape, return_inverse=True)
        heads = [self._head(columns.assets[at]) for at in assets.tolist()]
        fields = [self._names(columns.shapes[at]) for at in shapes.tolist()]
        received = f",{RECEIVED}={columns.received_ms:d} ".encode()
        longest = max(map(len, heads)) + max(sum(map(len, names)) for names in fields)
        digits = int((columns.spans[:, 1] - columns.spans[:, 0]).sum())
        out = np.empty(digits + len(columns) * (longest + len(received) + 20) + SLACK, np.uint8)
        flat = [name for names in fields for name in names]
        size = write_lines(
            np.argsort(head, kind="stable"),
            np.frombuffer(columns.text, np.uint8),
            columns.spans,
            columns.first,
            columns.ts_ms,
            head,
            np.frombuffer(b"".join(heads), np.uint8),
            _ends(heads),
            shape,
            np.frombuffer(b"".join(flat), np.uint8),
            _ends(flat),
            _ends(fields),
            np.frombuffer(received, np.uint8),
            out,
        )
        return out[:size].tobytes()

    def _head(self, asset: AssetPath) -> bytes:
        found = self._heads.get(asset)
        if found is None:
            if len(self._heads) >= _MOST_NAMES:
                self._heads.clear()
            found = self._heads[asset] = series("reading", str(asset)).encode()
        return found

    def _names(self, names: tuple[str, ...]) -> list[bytes]:
        found = self._fields.get(names)
        if found is None:
            if len(self._fields) >= _MOST_NAMES:
                self._fields.clear()
            found = [f",{field_name(name)}=".encode() for name in names]
            found[0] = found[0][1:]
            self._fields[names] = found
        return found


def _counts(columns: Columns) -> NDArray[np.int64]:
    return np.diff(columns.first, append=len(columns.values))


def _by_number(numbers: NDArray[np.int64], value: Callable[[int], int]) -> NDArray[np.int64]:
    """Look up each number once, in the order in which they first come: names are interned in it."""
    distinct, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    found = np.empty(len(distinct), np.int64)
    for at in np.argsort(first).tolist():
        found[at] = value(int(distinct[at]))
    return found[inverse]


def _ends(parts: Sequence[bytes] | Sequence[list[bytes]]) -> NDArray[np.int64]:
    """Return where each part begins in their joining, and where the last ends: int64[n + 1]."""
    return np.cumsum([0, *map(len, parts)], dtype=np.int64)


def warm_up() -> None:
    """Compile the loops, or load them."""
    columns = Columns(
        assets=[AssetPath("warm", "up", "machine")],
        shapes=[("x",)],
        asset=np.zeros(1, np.int64),
        shape=np.zeros(1, np.int64),
        ts_ms=np.ones(1, np.int64),
        seq=np.full(1, NO_SEQ, np.int64),
        first=np.zeros(1, np.int64),
        values=np.ones(1),
        text=b"1",
        spans=np.array([[0, 1]], np.int32),
        received_ms=1,
    )
    rows_of(columns, 1, lambda _: 1, lambda _: 1)
    LineWriter().lines(columns)

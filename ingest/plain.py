"""Plain messages read by the compiled walk, of topics and names that were read the long way before."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
from numpy.typing import NDArray

from ingest.payload import EARLIEST_MS, LATEST_MS
from ingest.run import Run
from plant.asset import AssetPath
from plant.clock import Clock
from store.columns import Columns

if TYPE_CHECKING:
    from ingest.plain_kernel import Names

_log = structlog.get_logger(__name__)

#: Messages and values of one call; a piece that holds more takes several.
_MESSAGES, _VALUES = 8_192, 131_072
#: Kept in memory: a hostile publisher could invent topics for ever. What is beyond goes the long way.
_MOST_NAMES = 100_000


class PlainReader:
    """Reads runs of plain messages. One thread uses it; until `warm_up` has ended it reads nothing.

    latest: how far a time stamp may be ahead, ms; most_bytes: the longest payload.
    """

    def __init__(self, clock: Clock, ahead_ms: int, most_bytes: int) -> None:
        self._clock = clock
        self._ahead_ms = ahead_ms
        self._most_bytes = most_bytes
        self._loaded: Loaded | None = None
        self._loading: threading.Thread | None = None
        self._assets: list[AssetPath] = []
        self._names: list[tuple[str, ...]] = []
        self._places = Growing(np.int64)
        self._place_at = Growing(np.int64)
        self._place_at.add([0])

    # -- getting ready ----------------------------------------------------------------------

    def warm_up(self) -> None:
        """Load the kernels, compiling them the first time on a machine (some seconds)."""
        try:
            if self._loaded is None:
                loaded = _load()
                # Compiles, for an array as bytes give it: it may not be written to.
                self._walk(loaded, np.frombuffer(b"", np.uint8), 0, 0)
                self._loaded = loaded  # last: from now on the other thread uses it
        except Exception:  # no room for the cache, no compiler: the long way reads everything
            _log.exception("ingest.no_compiled_walk", fix="messages are read the slower way")

    def warm_up_beside(self) -> None:
        """Do the same in a thread, so that nobody waits."""
        if self._loading is None:
            self._loading = threading.Thread(
                target=self.warm_up, name="vigie-ingest-warm", daemon=True
            )
            self._loading.start()

    # -- learning ---------------------------------------------------------------------------

    def learn(self, topic: bytes, asset: AssetPath, names: tuple[str, ...]) -> None:
        """Remember what a message that was read the long way had: checked names, in its order."""
        if self._loaded is None:
            return
        if self._loaded.topics.add(topic):
            self._assets.append(asset)
        if self._loaded.shapes.add("".join(f"{name}," for name in names).encode()):
            self._names.append(names)
            self._places.add(np.argsort(np.argsort(names)).tolist())
            self._place_at.add([len(self._places)])

    # -- reading ----------------------------------------------------------------------------

    def read(self, piece: bytes, position: int) -> tuple[Run | None, int]:
        """Read plain messages from a position on; return them and where the first other packet begins."""
        loaded = self._loaded
        if loaded is None:
            return None, position
        now_ms = self._clock.now_ms()
        latest_ms = min(now_ms + self._ahead_ms, LATEST_MS)
        try:
            n, used, position = self._walk(
                loaded, np.frombuffer(piece, np.uint8), position, latest_ms
            )
        except Exception:  # a defect of ours: the long way reads what this could not
            _log.exception("ingest.compiled_walk_failed", fix="messages are read the slower way")
            self._loaded = None
            return None, position
        if not n:
            return None, position
        found = loaded.found
        columns = Columns(
            assets=self._assets,
            shapes=self._names,
            asset=found.topic[:n].copy(),
            shape=found.shape[:n].copy(),
            ts_ms=found.ts_ms[:n].copy(),
            seq=found.seq[:n].copy(),
            first=found.first[:n].copy(),
            values=found.values[:used].copy(),
            text=piece,
            spans=found.spans[:used].copy(),
            received_ms=now_ms,
        )
        run = Run(
            columns,
            loaded.topics.texts,
            found.mid[:n].copy(),
            found.payload[:n].copy(),
            found.end[:n].copy(),
        )
        return run, position

    def _walk(
        self, loaded: Loaded, piece: NDArray[np.uint8], position: int, latest_ms: int
    ) -> tuple[int, int, int]:
        n, used, position = loaded.kernel.walk(
            piece,
            position,
            EARLIEST_MS,
            latest_ms,
            self._most_bytes,
            loaded.topics.table,
            loaded.shapes.table,
            self._places.array,
            self._place_at.array,
            loaded.found,
            loaded.scratch,
        )
        return n, used, position


@dataclass(frozen=True, slots=True)
class Loaded:
    """What warming up makes: the compiled loops, the names they know, and the arrays they fill."""

    kernel: Any
    topics: Interned
    shapes: Interned
    found: Any
    scratch: Any


def _load() -> Loaded:
    from ingest import plain_kernel as kernel  # noqa: PLC0415 - numba takes a while to load
    from store import encode_columns  # noqa: PLC0415 - the same

    encode_columns.warm_up()
    values = np.empty(_VALUES)
    found = kernel.Found(
        topic=np.empty(_MESSAGES, np.int64),
        shape=np.empty(_MESSAGES, np.int64),
        ts_ms=np.empty(_MESSAGES, np.int64),
        seq=np.empty(_MESSAGES, np.int64),
        first=np.empty(_MESSAGES, np.int64),
        mid=np.empty(_MESSAGES, np.uint16),
        payload=np.empty(_MESSAGES, np.int64),
        end=np.empty(_MESSAGES, np.int64),
        values=values,
        bits=values.view(np.uint64),
        spans=np.empty((_VALUES, 2), np.int32),
    )
    values = np.empty(kernel.MOST_VALUES)
    names = np.empty(66 * kernel.MOST_VALUES, np.uint8)
    scratch = kernel.Scratch(values, values.view(np.uint64), names)
    loaded = Loaded(kernel, Interned(kernel), Interned(kernel), found, scratch)
    kernel.place_all(loaded.topics.table, 0)
    Interned(kernel).add(b"warm up")
    return loaded


class Growing:
    """An array that is added to; `array` has room behind what was added."""

    def __init__(self, kind: type[np.int64] | type[np.uint8]) -> None:
        self.array: NDArray[Any] = np.zeros(64, kind)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, values: list[int] | NDArray[Any]) -> None:
        """Append values, doubling the room when there is none."""
        end = self._length + len(values)
        if end > len(self.array):
            self.array = np.concatenate([self.array, np.zeros(end, self.array.dtype)])
        self.array[self._length : end] = values
        self._length = end


class Interned:
    """Byte strings with numbers, as the compiled walk looks them up."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self.texts: list[bytes] = []
        self._known: set[bytes] = set()
        self._slots = np.full(64, -1, np.int64)
        self._start = Growing(np.int64)
        self._start.add([0])
        self._data = Growing(np.uint8)
        self.table = self._table()

    def _table(self) -> Names:
        made: Names = self._kernel.Names(self._slots, self._start.array, self._data.array)
        return made

    def add(self, text: bytes) -> bool:
        """Add a string; tell whether it is new (and there was room for it)."""
        if text in self._known or len(self.texts) >= _MOST_NAMES:
            return False
        self._known.add(text)
        self.texts.append(text)
        self._data.add(np.frombuffer(text, np.uint8))
        self._start.add([len(self._data)])
        if 2 * len(self.texts) > len(self._slots):
            self._slots = np.full(2 * len(self._slots), -1, np.int64)
            self.table = self._table()
            self._kernel.place_all(self.table, len(self.texts))
        else:
            self.table = self._table()
            number = len(self.texts) - 1
            begin, end = self._start.array[number : number + 2]
            _, slot = self._kernel.slot_of(self.table, self._data.array, begin, end)
            self._slots[slot] = number
        return True

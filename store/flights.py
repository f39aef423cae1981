"""Batches on their way to InfluxDB, two at a time where their order cannot matter."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Generic, Self, TypeVar

from store.encode import Lines

_Result = TypeVar("_Result")
#: One is taken apart by the server while the next one is on its way; a third one gains nothing.
MOST = 2


class Flights(Generic[_Result]):
    """Sends batches in threads and lands them in their order, in the caller's thread.

    A batch starts beside another only when no point of it could be one of the other's: else an old value
    might overtake its correction. Leaving the context lands what is on its way. When one cannot be sent or
    landed, those behind it are waited for and do not count.
    """

    def __init__(
        self,
        threads: ThreadPoolExecutor,
        send: Callable[[Lines], _Result],
        landed: Callable[[Lines, _Result], None],
    ) -> None:
        self._threads = threads
        self._send = send
        self._landed = landed
        self._open: deque[tuple[Lines, Future[_Result]]] = deque()

    def start(self, lines: Lines) -> None:
        """Send a batch, when those it must not overtake have landed. Raises what sending them raised."""
        while len(self._open) >= MOST or not all(
            lines.apart_from(other) for other, _ in self._open
        ):
            self._land()
        self._open.append((lines, self._threads.submit(self._send, lines)))

    def _land(self) -> None:
        lines, sending = self._open.popleft()
        try:
            self._landed(lines, sending.result())
        except BaseException:
            wait([later for _, later in self._open])
            self._open.clear()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        while self._open:
            self._land()

"""Where partitions run: here, or on a Dask cluster. The same functions, the same bits."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from plant.errors import DataError

if TYPE_CHECKING:
    from distributed import Client

Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers(Protocol):
    """Runs one function over many partitions."""

    def run(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """Yield (partition, result) as they finish, in any order."""
        ...


class Here:
    """Runs partitions one after the other in this process."""

    def run(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """Yield (partition, result) in order."""
        for item in items:
            yield item, function(item)


class Threads:
    """Runs partitions in threads of this process: the kernels let go of Python's lock."""

    def __init__(self, count: int) -> None:
        self._count = count

    def run(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """Yield (partition, result) in order, at most `count` in work and one waiting."""
        with ThreadPoolExecutor(self._count) as pool:
            waiting = iter(items)
            queue = deque(
                (item, pool.submit(function, item)) for item in islice(waiting, self._count)
            )
            while queue:
                item, future = queue.popleft()
                result = future.result()
                queue.extend((new, pool.submit(function, new)) for new in islice(waiting, 1))
                yield item, result


class OnDask:
    """Runs partitions on a Dask cluster, a few per worker in flight so that memory stays bounded."""

    def __init__(self, client: Client, ahead: int = 3) -> None:
        self._client = client
        self._ahead = ahead

    def run(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[Item, Result]]:
        """Yield (partition, result) as they finish."""
        from distributed import as_completed  # noqa: PLC0415 - a second to import, not always needed

        waiting = iter(items)
        slots = self._ahead * max(1, sum(self._client.nthreads().values()))
        at: dict[Any, Item] = {}

        def submit() -> Any | None:
            for item in waiting:
                future = self._client.submit(function, item, pure=False)
                at[future.key] = item
                return future
            return None

        first = [future for _ in range(slots) if (future := submit()) is not None]
        done = as_completed(first)
        for future in done:
            item, result = at.pop(future.key), future.result()
            future.release()
            more = submit()
            if more is not None:
                done.add(more)
            yield item, result


@contextmanager
def open_workers(count: int = 0, scheduler: str = "") -> Iterator[Workers]:
    """Lend workers: none (this process), `count` local ones, or a cluster at HOST:PORT.

    Raises DataError when no scheduler answers there.
    """
    if not count and not scheduler:
        yield Here()
        return
    from distributed import Client, LocalCluster  # noqa: PLC0415 - see above

    if scheduler:
        address = scheduler if "://" in scheduler else f"tcp://{scheduler}"
        try:
            client = Client(address, timeout="10s")
        except OSError as error:
            raise DataError(
                f"no Dask scheduler answers at {scheduler}.",
                fix="Start `dask scheduler` there, or leave --scheduler out.",
            ) from error
        with client:
            yield OnDask(client)
        return
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    with (
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            dashboard_address=None,
            processes=True,
            host="127.0.0.1",
        ) as cluster,
        Client(cluster) as client,
    ):
        yield OnDask(client)

"""Journal to InfluxDB: everything that was committed arrives, in order, once it can.

The cursor moves only after the server has taken a batch (or its poisoned points are in quarantine),
so a crash at any moment means sending some points again, which changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from plant.clock import Clock
from plant.errors import StoreError
from store.cursors import Cursors, Position
from store.delivery import Delivery, Outcome, Stopped
from store.encode import Encoder, Lines
from store.flights import MOST, Flights
from store.hot_tail import HotTail
from store.influx_client import InfluxConnection
from store.journal_reader import JournalReader
from store.journals import Journals
from store.quarantine import Quarantine, Quarantined
from store.settings import InfluxSettings

_log = structlog.get_logger(__name__)
#: How refused points are marked in the quarantine: the reason, and the bucket they were meant for.
REASON = "influx_refused"
TOPIC_PREFIX = "influx/"
_ERROR_PAUSE_S = 2.0
_POLL_S = 0.01
_BATCHES_PER_TURN = 20
#: After a batch of so many, the next one is gathered so long: a few large requests cost InfluxDB a tenth
#: less than many small ones, and on a busy machine that is time for ingest and the broker.
_MANY = 1_000
_GATHER_S = 0.2
#: Read back from a journal at once: as Python objects, a row takes most of a kilobyte.
_MOST_READ = 5_000


@dataclass(frozen=True, slots=True)
class ForwardStats:
    """How forwarding goes. `lag_ms` is the age of the oldest message that is not in InfluxDB yet."""

    running: bool
    forwarded: int
    refused: int
    expired: int
    waiting: int
    lag_ms: int
    error: str


class Forwarder:
    """Sends all journals of a data folder to InfluxDB, in a thread of its own or by `drain`.

    Memory is bounded by three batches, whatever waits in the journals. `pause` waits between
    attempts (seconds; tells whether to stop) and is there for tests.
    """

    def __init__(
        self,
        settings: InfluxSettings,
        data_dir: Path,
        clock: Clock,
        *,
        seed: int = 0,
        pause: Callable[[float], bool] | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._journals = Journals(data_dir)
        self._cursors = Cursors(data_dir)
        self._connection = InfluxConnection(settings)
        self._stopping = threading.Event()
        self._delivery = Delivery(self._connection, clock, self._stopping, seed=seed, pause=pause)
        self._encoders: dict[str, Encoder] = {}
        self._tails: dict[str, HotTail] = {}
        self._thread: threading.Thread | None = None
        self._senders = ThreadPoolExecutor(MOST, thread_name_prefix="vigie-forward-send")
        self._error = ""

    def tail_of(self, journal: Path) -> HotTail:
        """Return where a writer of this process also puts what it commits to a journal."""
        return self._tails.setdefault(journal.stem, HotTail())

    # -- the thread -------------------------------------------------------------------------

    def start(self) -> None:
        """Forward in the background until `stop`."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name="vigie-forward", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread; what is not forwarded yet waits in the journals."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        """Stop, and release files and connections."""
        self.stop()
        self._senders.shutdown()
        self._connection.close()
        self._journals.close()
        self._cursors.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._cursors.only_one() as mine:
                    while mine and not self._stopping.is_set():
                        if not self._round():
                            self._stopping.wait(self._settings.idle_s)
                self._stopping.wait(self._settings.idle_s)
            except Stopped:
                return
            except StoreError as error:  # a full disk, a damaged journal: say so and go on
                self._note(str(error))
                self._stopping.wait(_ERROR_PAUSE_S)
            except Exception as error:  # the thread must outlive its bugs: readings wait on it
                self._note(f"{type(error).__name__}: {error}")
                _log.exception("forward.failed")
                self._stopping.wait(_ERROR_PAUSE_S)

    def _note(self, error: str) -> None:
        if error != self._error:
            _log.error("forward.trouble", error=error)
        self._error = error

    # -- forwarding -------------------------------------------------------------------------

    def drain(self, timeout_s: float = 60.0, journal: str = "") -> bool:
        """Forward what is committed now; tell whether all of it is in InfluxDB.

        All journals, or the one called `journal`. Runs in the caller's thread unless another
        forwarder of this folder is at work, which is then waited for.
        """
        deadline = time.monotonic() + timeout_s
        goal = {name: last for name, last in self._last_ids().items() if journal in {"", name}}
        while True:
            if self._thread is None:
                with self._cursors.only_one() as mine:
                    if mine:
                        return self._drain_here(goal, deadline)
            if self._reached(goal):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)

    def _drain_here(self, goal: dict[str, int], deadline: float) -> bool:
        alarm = threading.Timer(max(0.0, deadline - time.monotonic()), self._stopping.set)
        alarm.daemon = True
        alarm.start()
        try:
            while not self._reached(goal):
                self._round(goal)
        except Stopped:
            return self._reached(goal)
        finally:
            alarm.cancel()
            if self._thread is None:
                self._stopping.clear()
        return True

    def _last_ids(self) -> dict[str, int]:
        goal = {}
        for reader in self._journals.readers():
            with reader.connection() as db:
                goal[reader.name] = reader.last_id(db)
        return goal

    def _reached(self, goal: dict[str, int]) -> bool:
        # A cursor ahead of its journal was made for another file of that name.
        now = self._last_ids()
        return all(
            last <= self._cursors.get(name).id <= now.get(name, last) for name, last in goal.items()
        )

    def _round(self, only: Collection[str] | None = None) -> bool:
        """Forward some of what each journal has; tell whether there was anything."""
        busy = False
        for reader in self._journals.readers():
            if only is None or reader.name in only:
                busy = self._forward(reader) or busy
        self._error = ""
        return busy

    def _forward(self, reader: JournalReader) -> bool:
        """Forward one journal, reading the next batch while others are on their way.

        To its end, but not for ever: the events of one journal must not wait for a long queue of
        readings in another.
        """
        position = self._position(reader)
        began = cursor = position.id
        points = 0

        def landed(load: Lines, outcomes: list[tuple[str, Outcome]]) -> None:
            nonlocal position
            for bucket, outcome in outcomes:
                self._set_aside(reader, bucket, outcome)
            refused = sum(len(outcome.refused) for _, outcome in outcomes)
            expired = sum(outcome.expired for _, outcome in outcomes)
            position = Position(
                load.stop,
                position.forwarded + load.points - refused - expired,
                position.refused + refused,
                position.expired + expired,
            )
            self._cursors.set(reader.name, position)

        with Flights(self._senders, self._send, landed) as flights:
            for _ in range(_BATCHES_PER_TURN):
                load = self._load(reader, cursor, gather=points >= _MANY)
                if load.stop <= cursor:
                    break
                flights.start(load)
                cursor, points = load.stop, load.points
        return cursor > began

    def _position(self, reader: JournalReader) -> Position:
        position = self._cursors.get(reader.name)
        with reader.connection() as db:
            last = reader.last_id(db)
        if position.id > last:
            _log.warning("forward.journal_restarted", journal=reader.name, cursor=position.id)
            position = replace(position, id=0)
            self._cursors.set(reader.name, position)
        return position

    def _load(self, reader: JournalReader, cursor: int, *, gather: bool = False) -> Lines:
        encoder = self._encoders.setdefault(reader.name, Encoder(reader))
        limit = self._settings.batch_messages
        tail, before = self._tails.get(reader.name), None
        if tail is not None:
            if gather:
                tail.gather(limit, _GATHER_S)
            if segments := tail.take(cursor, limit):
                return encoder.segments(segments)
            before = tail.begins()
        return encoder.after(cursor, min(limit, _MOST_READ), before)

    def _send(self, load: Lines) -> list[tuple[str, Outcome]]:
        """Send a batch; return what became of its readings and events, each with their bucket."""
        raw, main = self._settings.raw_bucket, self._settings.bucket
        readings = self._delivery.send(raw, load.readings, "ms")
        return [(raw, readings), (main, self._delivery.send(main, load.events, "ns"))]

    def _set_aside(self, reader: JournalReader, bucket: str, outcome: Outcome) -> None:
        if not outcome.refused:
            if outcome.expired:
                _log.warning("forward.expired", bucket=bucket, points=outcome.expired)
            return
        now_ms = self._clock.now_ms()
        Quarantine(reader.path).add(
            [
                Quarantined(
                    received_ms=now_ms,
                    topic=f"{TOPIC_PREFIX}{bucket}".encode(),
                    payload=line.encode("utf-8", "surrogatepass"),
                    reason=REASON,
                    message=f"InfluxDB answered {refusal.status}: {refusal.message}",
                    origin="influx",
                )
                for line, refusal in outcome.refused
            ]
        )
        _log.error("forward.refused", bucket=bucket, points=len(outcome.refused))

    # -- what is going on -------------------------------------------------------------------

    def forwarded_up_to(self, journal: str) -> int:
        """Return the last id of a journal that InfluxDB has."""
        return self._cursors.get(journal).id

    def stats(self) -> ForwardStats:
        """Return counts since the beginning, and what waits now. Raises StoreError."""
        total, waiting, oldest = Position(), 0, None
        for reader in self._journals.readers():
            at = self._cursors.get(reader.name)
            total = Position(
                0,
                total.forwarded + at.forwarded,
                total.refused + at.refused,
                total.expired + at.expired,
            )
            with reader.connection() as db:
                count, received = _waiting(db, at.id)
            waiting += count
            if received is not None:
                oldest = received if oldest is None else min(oldest, received)
        return ForwardStats(
            running=self._thread is not None and self._thread.is_alive(),
            forwarded=total.forwarded,
            refused=total.refused,
            expired=total.expired,
            waiting=waiting,
            lag_ms=0 if oldest is None else max(0, self._clock.now_ms() - oldest),
            error=self._error or self._delivery.health.error,
        )


def forward_now(
    settings: InfluxSettings, data_dir: Path, clock: Clock, timeout_s: float = 60.0
) -> bool:
    """Forward all journals once; tell whether everything is in InfluxDB."""
    forwarder = Forwarder(settings, data_dir, clock)
    try:
        return forwarder.drain(timeout_s)
    finally:
        forwarder.close()


def _waiting(db: Any, cursor: int) -> tuple[int, int | None]:
    count, received = 0, None
    for table in ("reading", "event"):
        n, first = db.execute(
            f"select count(*), (select received from {table} where id > ?1 order by id limit 1) "  # noqa: S608 - our own names
            f"from {table} where id > ?1",
            (cursor,),
        ).fetchone()
        count += n
        if first is not None:
            received = first if received is None else min(received, first)
    return count, received

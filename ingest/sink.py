"""From messages to the journal: decode, collect, commit. Knows nothing of MQTT connections.

`take` never raises: what cannot be read is quarantined with its reason, whatever went wrong. `flush`
says whether everything taken so far is durable; only then may it be acknowledged. When the journal
cannot be written (disk full), everything is kept and tried again; the caller stops reading meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import structlog

from ingest.decode import Decoded, plain_sample
from ingest.payload import StampError
from ingest.plain import PlainReader
from ingest.router import Router
from ingest.run import Message, Publish, Run, count, single
from ingest.settings import IngestSettings
from ingest.skew import ClockSkew
from ingest.stats import Tally
from ingest.waveform import Waveform, WaveformReader
from plant.asset import AssetPath
from plant.clock import Clock
from plant.errors import PayloadError, StoreError
from plant.reading import Reading
from store.columns import Columns, Sample
from store.journal import Batch, Journal
from store.quarantine import Quarantined

_log = structlog.get_logger(__name__)

#: Commit at the latest when this much has been taken, whatever the number of messages.
MAX_PENDING_BYTES = 8 << 20
#: Readings of a commit, and of each run in it, whose clocks are looked at.
_SEEN, _SEEN_OF_RUN = 64, 16


class Sink:
    """Where messages go. One thread uses it; `stats` may be read from any."""

    def __init__(
        self,
        router: Router,
        settings: IngestSettings,
        journal: Journal,
        clock: Clock,
        waveform_reader: WaveformReader | None = None,
        remember: frozenset[str] = frozenset(),
    ) -> None:
        """`remember`: signals whose newest value `newest` shall tell."""
        self.tally = Tally()
        self.skew = ClockSkew(settings.clock_skew_s * 1000)
        self._router = router
        self._settings = settings
        self._journal = journal
        self._clock = clock
        self.waveform_reader = waveform_reader
        self._remember = remember
        self._newest: dict[tuple[AssetPath, str], tuple[int, float]] = {}
        self._pending: list[Message] = []
        self._waiting = 0  # messages in `_pending`, those of runs one by one
        self._batch = Batch()
        self._bytes = 0
        self._since = 0.0
        self._retry_at = 0.0
        #: Is told what plain messages look like, so that it can read the next ones by itself.
        self.plain: PlainReader | None = None
        self.outgoing: list[
            tuple[str, bytes]
        ] = []  # answers that a protocol wants (Sparkplug rebirth)

    @property
    def pending(self) -> int:
        """Messages taken but not yet durable."""
        return self._waiting

    @property
    def blocked(self) -> bool:
        """Tell whether the journal cannot be written: take no more until it can."""
        return bool(self.tally.blocked)

    def take(self, messages: Sequence[Message]) -> None:
        """Decode messages and add them to the next commit."""
        if not messages:
            return
        if not self._pending:
            self._since = time.monotonic()
        received_ms = self._clock.now_ms()
        self._pending.extend(messages)
        size = self._decode_into(self._batch, messages, received_ms)
        taken = count(messages)
        self._waiting += taken
        self._bytes += size
        tally = self.tally
        tally.received += taken
        tally.received_bytes += size
        tally.last_received_ms = received_ms

    def newest(self, asset: AssetPath, signal: str) -> float | None:
        """Return the newest value of a remembered signal, None when none has come."""
        found = self._newest.get((asset, signal))
        return None if found is None else found[1]

    def due_in_s(self) -> float:
        """Return the seconds until a commit (or its retry) is due; a large number when nothing waits."""
        if not self._pending:
            return 3600.0
        now = time.monotonic()
        if self.blocked:
            return max(0.0, self._retry_at - now)
        if self._waiting >= self._settings.commit_messages or self._bytes >= MAX_PENDING_BYTES:
            return 0.0
        return max(0.0, self._since + self._settings.commit_ms / 1000 - now)

    def flush(self) -> bool:
        """Commit what was taken. False: it could not be stored, nothing may be acknowledged."""
        if not self._pending:
            return True
        started = time.monotonic()
        try:
            self._commit(self._batch)
        except StoreError as error:
            self._block(error)
            return False
        except Exception:  # a defect of ours must not lose the other messages of the batch
            _log.exception("ingest.commit_failed", messages=self._waiting)
            try:
                self._commit_one_by_one()
            except StoreError as error:
                self._block(error)
                return False
        if self.tally.blocked:
            _log.warning("ingest.resumed", messages=self._waiting)
            self.tally.blocked = ""
        self._account(self._batch, started)
        self._pending = []
        self._waiting = 0
        self._batch = Batch()
        self._bytes = 0
        return True

    # -- decoding ---------------------------------------------------------------------------

    def _decode_into(  # noqa: PLR0912 - one loop: a call for each message costs as much as reading it
        self, batch: Batch, messages: Sequence[Message], received_ms: int
    ) -> int:
        decoder_of, plain, limits = self._router.decoder, self._router.plain, self._router.limits
        add, add_sample, size = batch.readings.extend, batch.readings.append, 0
        batch.received_ms = received_ms
        for message in messages:
            if isinstance(message, Run):
                batch.readings.append(message.columns)
                size += message.payload_bytes
                continue
            topic, payload, _, _, retain, _, _ = publish = message
            size += len(payload)
            try:
                if not retain and topic in plain:
                    sample = plain_sample(plain[topic], payload, received_ms, limits)
                    if sample is not None:
                        add_sample(sample)
                        if self.plain is not None:
                            self.plain.learn(topic, sample.asset, tuple(sample.values))
                        continue
                decoded = decoder_of(topic)(payload, received_ms)
                if decoded.problem is None and not retain and not decoded.waveforms:
                    if decoded.readings:
                        add(decoded.readings)
                    if decoded.events:
                        batch.events.extend(decoded.events)
                    elif not decoded.readings:
                        self.tally.ignored += 1
                else:
                    self._add_rare(batch, publish, decoded, received_ms)
                if decoded.publish:
                    self.outgoing.extend(decoded.publish)
            except PayloadError as error:
                self.outgoing.extend(getattr(error, "publish", ()))
                self._refuse(batch, publish, received_ms, error)
            except Exception as error:  # a defect of ours costs one message, kept
                _log.exception("ingest.message_failed", topic=repr(topic[:200]))
                self._refuse(batch, publish, received_ms, _internal(error))
        return size

    def _add_rare(self, batch: Batch, publish: Publish, decoded: Decoded, received_ms: int) -> None:
        """Add what is retained, partly bad or a waveform."""
        readings = [*decoded.readings, *map(self._read_waveform, decoded.waveforms)]
        if not publish.retain:
            batch.readings.extend(readings)
        elif decoded.untimed:
            # A retained bare number is of unknown age: "now" would be invented.
            self.tally.stale += len(readings)
        else:
            batch.retained.extend(readings)
        batch.events.extend(decoded.events)
        if decoded.problem is not None:
            self._refuse(batch, publish, received_ms, decoded.problem)

    def _read_waveform(self, waveform: Waveform) -> Reading:
        if self.waveform_reader is None:
            raise PayloadError(
                "waveform", "waveforms are not read here.", fix="Run ingest through `vigie run`."
            )
        return Reading(
            waveform.asset,
            waveform.ts_ms,
            dict(self.waveform_reader(waveform)),
            None,
            waveform.received_ms,
            waveform.simulated,
            waveform.run_id,
        )

    def _refuse(
        self, batch: Batch, publish: Publish, received_ms: int, error: PayloadError
    ) -> None:
        batch.quarantined.append(
            Quarantined(received_ms, publish.topic, publish.payload, error.reason, str(error))
        )
        if isinstance(error, StampError) and error.asset is not None:
            self._saw(error.asset, error.ts_ms, received_ms)

    # -- committing -------------------------------------------------------------------------

    def _commit(self, batch: Batch) -> None:
        started = time.perf_counter()
        count = self._journal.commit(batch)
        self.tally.committed(count, (time.perf_counter() - started) * 1000)

    def _commit_one_by_one(self) -> None:
        """Commit each message alone; the one that cannot be is quarantined as it came."""
        for publish in single(self._pending):
            received_ms = self._clock.now_ms()
            alone = Batch()
            self._decode_into(alone, [publish], received_ms)
            try:
                self._commit(alone)
            except StoreError:
                raise
            except Exception as error:  # a defect of ours: said aloud, kept with its message
                _log.exception("ingest.message_failed", topic=repr(publish.topic[:200]))
                refused = Batch()
                self._refuse(refused, publish, received_ms, _internal(error))
                self._commit(refused)
                self._batch.quarantined.extend(refused.quarantined)

    def _block(self, error: StoreError) -> None:
        if not self.tally.blocked:
            _log.error("ingest.blocked", reason=str(error), messages=self._waiting)
        self.tally.blocked = str(error)
        self._retry_at = time.monotonic() + self._settings.retry_s

    def _account(self, batch: Batch, started: float) -> None:
        tally = self.tally
        for item in batch.quarantined:
            tally.rejected[item.reason] += 1
        if batch.quarantined:
            first = batch.quarantined[0]
            _log.warning(
                "ingest.rejected",
                messages=len(batch.quarantined),
                first_reason=first.reason,
                first_topic=first.topic_text[:200],
                problem=first.message[:200],
            )
        if batch.readings:
            # At high rates a few of each commit are enough to see a clock that is off.
            for reading in _some(batch.readings):
                self._saw(reading.asset, reading.ts_ms, reading.received_ms or 0)
                tally.lag_ms = (reading.received_ms or 0) - reading.ts_ms

        if self._remember:
            for reading in _newest(batch.readings):
                for signal in self._remember & reading.values.keys():
                    known = self._newest.get((reading.asset, signal))
                    if known is None or known[0] <= reading.ts_ms:
                        self._newest[reading.asset, signal] = (
                            reading.ts_ms,
                            reading.values[signal],
                        )

    def _saw(self, asset: AssetPath, ts_ms: int, received_ms: int) -> None:
        if self.skew.saw(asset, ts_ms, received_ms):
            skew_ms = self.skew.found.get(asset)
            _log.warning("ingest.clock_skew", asset=str(asset), skew_ms=skew_ms)


def _some(readings: Sequence[Reading | Sample | Columns]) -> Iterator[Reading | Sample]:
    """Yield at most some hundred readings of a commit, its last one at the end."""
    singles = [reading for reading in readings[:-1] if not isinstance(reading, Columns)]
    yield from singles[:: max(1, len(singles) // _SEEN)]
    for part in readings:
        if isinstance(part, Columns):
            step = max(1, len(part) // _SEEN_OF_RUN)
            yield from (part.sample(at) for at in range((len(part) - 1) % step, len(part), step))
    if not isinstance(readings[-1], Columns):
        yield readings[-1]


def _newest(readings: Sequence[Reading | Sample | Columns]) -> Iterator[Reading | Sample]:
    """Yield the readings that may be the newest of their machine and signals."""
    for reading in readings:
        if isinstance(reading, Columns):
            yield from reading.newest()
        else:
            yield reading


def _internal(error: Exception) -> PayloadError:
    return PayloadError("internal", f"reading it failed ({type(error).__name__}: {error}).")

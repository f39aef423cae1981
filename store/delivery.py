"""Getting one batch into InfluxDB: wait out trouble, bisect to poisoned points, set those aside."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

import structlog

from plant.clock import Clock
from store.influx_client import InfluxConnection, InfluxError, Refusal

_log = structlog.get_logger(__name__)
_FIRST_PAUSE_S = 0.2
#: Knocking at a server that is not there costs it nothing: look often, and be back soon after it is.
_AWAY_S = 5.0
_TOO_LARGE = 413
_BUSY = frozenset({429, 503})


@dataclass(slots=True)
class Outcome:
    """What became of a batch. `refused` pairs each poisoned line with the server's words."""

    expired: int = 0
    refused: list[tuple[str, Refusal]] = field(default_factory=list)


@dataclass(slots=True)
class Health:
    """How the last calls went."""

    error: str = ""
    attempts: int = 0


class Stopped(Exception):  # noqa: N818 - not an error: the forwarder was asked to end
    """The delivery was given up because the forwarder is stopping; the cursor has not moved."""


class Delivery:
    """Sends batches until the server has them. Several threads may send."""

    def __init__(
        self,
        connection: InfluxConnection,
        clock: Clock,
        stopping: threading.Event,
        *,
        seed: int = 0,
        pause: Callable[[float], bool] | None = None,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._stopping = stopping
        self._random = random.Random(seed)  # noqa: S311 - jitter of retries, not a secret
        self._pause = pause or stopping.wait
        self.health = Health()

    def send(self, bucket: str, lines: Sequence[str] | bytes, precision: str) -> Outcome:
        """Send lines (or their text); return when each is in InfluxDB, expired or refused. Raises Stopped."""
        outcome = Outcome()
        waiting = [lines] if lines else []
        while waiting:
            text = waiting.pop()
            body = text if isinstance(text, bytes) else _text(text)
            refusal = self._attempt(bucket, body, precision)
            if refusal is None:
                continue
            part = _lines(text) if isinstance(text, bytes) else text
            if refusal.beyond_retention:
                dropped = len(part) if refusal.dropped is None else refusal.dropped
                outcome.expired += min(dropped, len(part))
            elif len(part) == 1:
                outcome.refused.append((part[0], refusal))
            else:
                # Sending the good ones again is harmless: a point is its own key. The first half
                # goes first, so that a correction never comes before what it corrects.
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
        return outcome

    def _attempt(self, bucket: str, body: bytes, precision: str) -> Refusal | None:
        """Send until taken (None) or refused for what it holds."""
        attempt = 0
        while True:
            if self._stopping.is_set():
                raise Stopped
            self.health.attempts += 1
            try:
                self._connection.write(bucket, body, precision)
            except InfluxError as error:
                refusal = error.refusal
                if refusal.about_points or refusal.status == _TOO_LARGE:
                    self.health.error = ""
                    return refusal
                pause_s = self._backoff(attempt, refusal)
                attempt += 1
                self.health.error = str(error)
                _log.warning(
                    "forward.waiting",
                    status=refusal.status,
                    error=str(error),
                    attempt=attempt,
                    pause_s=round(pause_s, 2),
                )
                self._pause(pause_s)
            else:
                if self.health.error:
                    _log.info("forward.recovered", attempts=attempt)
                self.health.error = ""
                return None

    def _backoff(self, attempt: int, refusal: Refusal) -> float:
        """Return seconds to wait: what the server asks for, else doubling with jitter; capped."""
        longest = self._connection.settings.max_backoff_s
        if refusal.status == 0:
            longest = min(longest, _AWAY_S)
        doubling = min(longest, _FIRST_PAUSE_S * 2.0 ** min(attempt, 20))
        pause_s = doubling * self._random.uniform(0.5, 1.0)
        asked_s = retry_after_s(refusal.retry_after, self._clock)
        if asked_s is not None and refusal.status in _BUSY:
            # 0 means at once, but a server that repeats it must not be hammered.
            pause_s = asked_s if asked_s > 0 or attempt == 0 else pause_s
        return min(longest, pause_s)


def _text(lines: Sequence[str]) -> bytes:
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _lines(text: bytes) -> list[str]:
    return text.decode("utf-8", "surrogatepass").rstrip("\n").split("\n")


def retry_after_s(header: str, clock: Clock) -> float | None:
    """Read a Retry-After header, seconds or an HTTP date; None when there is no usable one."""
    header = header.strip()
    if not header:
        return None
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - clock.now_ms() / 1000)

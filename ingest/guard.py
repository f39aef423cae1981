"""A thread that is started again if it ever ends, and that is reported when it hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

_log = structlog.get_logger(__name__)
_LOOK_S = 1.0
_STALLED_S = 60.0


class GuardedThread:
    """Runs `work` until `stopping` is set; `work` calls `beat` wherever it shows that it goes on."""

    def __init__(self, work: Callable[[], None], name: str, stopping: threading.Event) -> None:
        self._work = work
        self._name = name
        self._stopping = stopping
        self._beat_at = time.monotonic()
        self._thread: threading.Thread | None = None
        self._watch: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread and the one that watches it."""
        self._start_thread()
        self._watch = threading.Thread(target=self._look, name=f"{self._name}-watch", daemon=True)
        self._watch.start()

    def beat(self) -> float:
        """Say that the work goes on; return the monotonic time in seconds."""
        self._beat_at = time.monotonic()
        return self._beat_at

    def join(self, timeout_s: float) -> bool:
        """Wait for the end after `stopping` was set; tell whether the thread has ended."""
        for thread in (self._thread, self._watch):
            if thread is not None:
                thread.join(timeout_s)
        return self._thread is None or not self._thread.is_alive()

    def _start_thread(self) -> None:
        self.beat()
        self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        said = False
        while not self._stopping.wait(_LOOK_S):
            if self._thread is not None and not self._thread.is_alive():
                _log.error("ingest.thread_restarted")
                self._start_thread()
            stalled = time.monotonic() - self._beat_at > _STALLED_S
            if stalled and not said:
                _log.error("ingest.stalled", seconds=_STALLED_S)
            said = stalled

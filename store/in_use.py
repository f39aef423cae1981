"""Which journals are in use: a damaged one must not be set aside under somebody's hands."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from plant.errors import StoreError


class InUse:
    """A shared lock on a journal, held as long as it is open; ends with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        file = path.with_name(path.name + ".lock")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._handle, fcntl.LOCK_SH)  # waits while somebody mends it
        except OSError as error:
            raise StoreError(
                f"the journal {path} cannot be opened ({error.strerror}).",
                fix="Check data_dir in vigie.toml and the permissions of its files.",
            ) from error

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Try to be the only one for a while; yield whether that worked."""
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # A failed upgrade may have lost the shared lock.
            fcntl.flock(self._handle, fcntl.LOCK_SH)
            yield False
            return
        try:
            yield True
        finally:
            fcntl.flock(self._handle, fcntl.LOCK_SH)

    def release(self) -> None:
        """Give it up; harmless the second time."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

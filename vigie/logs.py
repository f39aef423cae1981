"""Logs: events as keys and values on stderr; coloured for people, JSON lines for machines."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TextIO, cast

import structlog

from plant.errors import DataError


class _Stream:
    """A stream whose end may go away (`vigie run 2>&1 | head`): logging must not stop the work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def configure_logs(level: str = "warning", *, as_json: bool = False) -> None:
    """Send everything from `level` up to stderr, as JSON lines when asked."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise DataError(
            f"--log-level {level[:60]!r} is not known.", fix="Use debug, info, warning or error."
        )
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Stream(sys.stderr))),
        cache_logger_on_first_use=False,
    )

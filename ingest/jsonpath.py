"""Where a value stands in a JSON message: `ENERGY.Power`, `values[0].v`, or a list of keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

_STEP = re.compile(r"((?:[^.\[\]\\]|\\.)+)|\[(\d+)\]|(\.)")

Path = tuple[str | int, ...]


def parse_path(path: str | Sequence[str | int]) -> Path:
    r"""Compile a path; a list is taken as it is, `\.` is a dot in a key. Raises ValueError."""
    if not isinstance(path, str):
        return tuple(path)
    steps: list[str | int] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise ValueError(f"{path!r} is not a path; write it like ENERGY.Power or values[0].v")
        key, index, _ = match.groups()
        if key is not None:
            steps.append(re.sub(r"\\(.)", r"\1", key))
        elif index is not None:
            steps.append(int(index))
        position = match.end()
    return tuple(steps)


def get(message: Any, path: Path) -> Any:
    """Return the value at a path, None when there is none."""
    for step in path:
        if isinstance(step, str) and isinstance(message, dict):
            message = message.get(step)
        elif isinstance(step, int) and isinstance(message, list) and step < len(message):
            message = message[step]
        else:
            return None
    return message


def numeric_leaves(message: Any, path: Path = (), depth: int = 8) -> Iterator[tuple[Path, Any]]:
    """Yield every number and boolean below, with its path."""
    if isinstance(message, bool | int | float):
        yield path, message
    elif depth and isinstance(message, dict):
        for key, value in message.items():
            yield from numeric_leaves(value, (*path, key), depth - 1)
    elif depth and isinstance(message, list):
        for index, value in enumerate(message):
            yield from numeric_leaves(value, (*path, index), depth - 1)

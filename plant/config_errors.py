"""From pydantic's complaint to one sentence that names the file, the table, the key and the fix."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from plant.errors import ConfigError


def config_error(file: str, error: ValidationError) -> ConfigError:
    """Turn pydantic's first complaint into a ConfigError with the table, the key and the fix."""
    first = error.errors()[0]
    table, key = _place(first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    fixes = {
        "extra_forbidden": "Remove it or mend its spelling.",
        "missing": "Add it.",
    }
    if first["type"] == "extra_forbidden":
        message = "this key is not known"
    elif first["type"] == "missing":
        message = "this key is required"
    else:
        shown = repr(first["input"])
        if len(shown) <= 60:  # a whole table would only hide the message
            message = f"{message} (found {shown})"
    others = error.error_count() - 1
    more = f" {others} more mistake{'s' if others > 1 else ''} after it." if others else ""
    fix = fixes.get(first["type"], "Change the value.") + more
    if not key and ": " in message:  # our own cross-reference checks carry their place in the text
        place, message = message.split(": ", 1)
        table, key = _place(tuple(place.split(".")))
    return ConfigError(file, table, key, f"{message}.", fix=fix)


def _place(loc: Sequence[int | str]) -> tuple[str, str]:
    parts: list[str] = []
    for item in loc:
        if isinstance(item, int) and parts:
            parts[-1] += f"[{item}]"
        else:
            parts.append(str(item))
    return ".".join(parts[:-1]), parts[-1] if parts else ""

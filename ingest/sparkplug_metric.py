"""One Sparkplug metric: its number by its datatype, and what is said beside it. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from plant.errors import PayloadError

BOOLEAN = 11
#: datatype -> bits of a signed integer that travels as an unsigned one
_SIGNED = {1: 8, 2: 16, 3: 32, 4: 64}
_UNSIGNED = frozenset((5, 6, 7, 8))
_FLOATS = frozenset((9, 10))
_NO_NUMBER = frozenset((12, 13, 14, 15, 17, 18))  # String, DateTime, Text, UUID, Bytes, File
_REFUSED = {16: "DataSet", 19: "Template"}
#: How a device or node says that its readings are simulated, and by which run.
_MARKS = {"Properties/simulated": "simulated", "Properties/run_id": "run_id"}


class UnknownMetricError(PayloadError):
    """An alias or datatype that no birth told us; `publish` asks for one."""

    publish: Sequence[tuple[str, bytes]] = ()


def read_metric(name: str, metric: Any, birth_type: int) -> float | None:
    """Return the metric as a number, None for one that is none; `birth_type` if it does not say its own.

    Raises PayloadError: sparkplug_type, sparkplug_no_birth, not_finite.
    """
    kind = metric.datatype or birth_type
    if kind in _REFUSED or metric.WhichOneof("value") in {"dataset_value", "template_value"}:
        raise PayloadError(
            "sparkplug_type",
            f"the metric {name[:100]!r} is a {_REFUSED.get(kind, 'structure')}, which has no single value.",
            field=name[:100],
            fix="Publish its members as metrics of their own.",
        )
    if kind in _NO_NUMBER:
        return None
    if kind in _FLOATS:
        value = metric.float_value if kind == 9 else metric.double_value
    elif kind == BOOLEAN:
        value = float(metric.boolean_value)
    elif kind in _SIGNED or kind in _UNSIGNED:
        raw = metric.long_value if metric.WhichOneof("value") == "long_value" else metric.int_value
        value = float(_signed(raw, _SIGNED[kind]) if kind in _SIGNED else raw)
    else:
        raise no_birth(f"the datatype of {name[:100]!r}")
    if not math.isfinite(value):
        raise PayloadError("not_finite", f"{name[:100]} is not a finite number.", field=name[:100])
    return float(value)


def _signed(raw: int, bits: int) -> int:
    """Read two's complement of `bits` bits; some clients send negative numbers in 32 bits."""
    if raw >= 1 << bits:
        bits = 32 if raw < 1 << 32 else 64
    return raw - (1 << bits) if raw >= 1 << (bits - 1) else raw


def no_birth(what: str) -> UnknownMetricError:
    """Return the refusal of what only a birth certificate could have told."""
    return UnknownMetricError(
        "sparkplug_no_birth",
        f"no birth certificate has told what {what} is.",
        fix="A rebirth was requested; the node must answer Node Control/Rebirth.",
    )


def read_bd_seq(message: Any) -> int | None:
    """Return the session's number in a node's birth or death; None when it is not told."""
    for metric in message.metrics:
        if metric.name == "bdSeq":
            return int(metric.long_value or metric.int_value)
    return None


def read_marks(message: Any, known: tuple[bool, str]) -> tuple[bool, str]:
    """Return (simulated, run id) as a message says it; `known` where it does not.

    Either as metrics `Properties/simulated` and `Properties/run_id`, or as properties of any metric.
    """
    simulated, run_id = known
    for name, value in _said(message):
        if name == "simulated":
            simulated = bool(value.boolean_value)
        elif len(value.string_value) <= 200:  # as in JSON
            run_id = str(value.string_value)
    return simulated, run_id


def _said(message: Any) -> Iterator[tuple[str, Any]]:
    for metric in message.metrics:
        if metric.name in _MARKS:
            yield _MARKS[metric.name], metric
        if metric.HasField("properties"):
            for key, value in zip(metric.properties.keys, metric.properties.values, strict=False):
                if key in _MARKS.values():
                    yield key, value

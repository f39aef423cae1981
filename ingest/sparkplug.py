"""Sparkplug B: births give names to aliases, sequence numbers show gaps, deaths make machines stale.

Eclipse Sparkplug 3.0. State is kept per edge node, so all messages of a node must reach one worker:
they are never part of a shared subscription. What is known of a node is forgotten at a restart on purpose,
for its aliases may have changed meanwhile: the first message of an unknown node makes us ask for a rebirth.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError

from ingest.decode import Decoded, Limits
from ingest.mapping import signal_name_of
from ingest.payload import check_stamp
from ingest.sparkplug_message import Payload
from ingest.sparkplug_metric import (
    BOOLEAN,
    UnknownMetricError,
    no_birth,
    read_bd_seq,
    read_marks,
    read_metric,
)
from plant.asset import AssetPath
from plant.errors import DataError, PayloadError
from plant.event import Event
from plant.reading import Reading

NAMESPACE = "spBv1.0"
REBIRTH = "Node Control/Rebirth"
REBIRTH_PAUSE_MS = 10_000
_NODE_TYPES = ("NBIRTH", "NDEATH", "NDATA")
_DEVICE_TYPES = ("DBIRTH", "DDEATH", "DDATA")
_REAL = (False, "")
_NOTES = {
    "stale": "the machine's connection has ended (Sparkplug death certificate)",
    "alive": "the machine is connected (Sparkplug birth certificate)",
}
_OWN_METRICS = ("bdSeq", "Node Control/", "Device Control/", "Node Info/", "Properties/")


@dataclass(slots=True)
class _Node:
    """An edge node as its births described it."""

    bd_seq: int | None = None
    seq: int | None = None
    born: bool = False
    aliases: dict[int, str] = field(default_factory=dict)
    types: dict[tuple[str, str], int] = field(default_factory=dict)  # (device, metric) -> datatype
    marks: dict[str, tuple[bool, str]] = field(default_factory=dict)  # device -> simulated, run id
    devices: set[str] = field(default_factory=set)  # alive
    asked_ms: int = -REBIRTH_PAUSE_MS


class Sparkplug:
    """Reads Sparkplug messages; one per ingest process, used by one thread."""

    def __init__(
        self, groups: tuple[str, ...], line: str = "{edge}", asset: str = "{device}"
    ) -> None:
        self._groups = groups
        self._line = line
        self._asset = asset
        self._nodes: dict[tuple[str, str], _Node] = {}
        self.counts: Counter[str] = Counter()
        self._said_ms: dict[AssetPath, int] = {}

    def subscriptions(self) -> tuple[str, ...]:
        """Return the filters of births, data and deaths; never of commands."""
        return tuple(
            f"{NAMESPACE}/{group}/{kind}/" + ("+" if kind in _NODE_TYPES else "+/+")
            for group in self._groups
            for kind in (*_NODE_TYPES, *_DEVICE_TYPES)
        )

    def decode(self, topic: str, payload: bytes, received_ms: int, limits: Limits) -> Decoded:
        """Read one message. Raises PayloadError: sparkplug_topic, sparkplug, sparkplug_no_birth, …."""
        group, kind, edge, device = _levels(topic)
        if len(payload) > limits.max_bytes:
            raise PayloadError(
                "too_large", f"the payload has {len(payload)} bytes, more than {limits.max_bytes}."
            )
        try:
            message = Payload.FromString(payload)
        except DecodeError as error:
            raise PayloadError("sparkplug", "the payload is not a Sparkplug B payload.") from error
        node = self._nodes.setdefault((group, edge), _Node())
        self.counts[kind.lower()] += 1
        if kind == "NDEATH":
            return self._node_death(group, edge, node, message, received_ms)
        decoded = Decoded()
        if kind == "NBIRTH":
            self._nodes[group, edge] = node = _Node(
                bd_seq=read_bd_seq(message), seq=message.seq, born=True, asked_ms=node.asked_ms
            )
        else:
            self._follow(node, message, decoded, group, edge, received_ms)
        if kind == "DDEATH":
            node.devices.discard(device)
            asset = self._asset_of(group, edge, device)
            decoded.events = (self._state(asset, received_ms, "stale", kind),)
            return decoded
        asset = self._asset_of(group, edge, device)
        if kind in {"NBIRTH", "DBIRTH"}:
            _learn(node, device, message)
            decoded.events = (self._state(asset, received_ms, "alive", kind),)
        node.marks[device] = read_marks(message, node.marks.get(device, node.marks.get("", _REAL)))
        if device:
            node.devices.add(device)
        try:
            decoded.readings, decoded.problem = self._readings(
                asset, node, device, message, received_ms, limits
            )
        except UnknownMetricError as error:
            self._ask(node, decoded, group, edge, received_ms)
            error.publish = decoded.publish
            raise
        return decoded

    def _follow(
        self, node: _Node, message: Any, decoded: Decoded, group: str, edge: str, received_ms: int
    ) -> None:
        """Check the sequence number: 0 to 255 and round again; a gap means something was lost."""
        if not node.born:
            self._ask(node, decoded, group, edge, received_ms)
        elif message.HasField("seq"):
            expected = None if node.seq is None else (node.seq + 1) % 256
            if expected is not None and message.seq != expected:
                self.counts["gaps"] += 1
                self._ask(node, decoded, group, edge, received_ms)
            node.seq = message.seq

    def _ask(self, node: _Node, decoded: Decoded, group: str, edge: str, received_ms: int) -> None:
        """Ask the node for a rebirth, not more often than every ten seconds."""
        if received_ms - node.asked_ms < REBIRTH_PAUSE_MS:
            return
        node.asked_ms = received_ms
        self.counts["rebirth_requests"] += 1
        decoded.publish = ((f"{NAMESPACE}/{group}/NCMD/{edge}", rebirth_command(received_ms)),)

    def _node_death(
        self, group: str, edge: str, node: _Node, message: Any, received_ms: int
    ) -> Decoded:
        bd_seq = read_bd_seq(message)
        if node.born and bd_seq is not None and node.bd_seq is not None and bd_seq != node.bd_seq:
            self.counts["late_deaths"] += 1  # of an earlier session: the node has been born again
            return Decoded()
        assets = [self._asset_of(group, edge, device) for device in ("", *sorted(node.devices))]
        node.devices.clear()
        node.born = False
        return Decoded(
            events=tuple(self._state(asset, received_ms, "stale", "NDEATH") for asset in assets)
        )

    def _state(self, asset: AssetPath, received_ms: int, state: str, why: str) -> Event:
        """Log that a machine's connection has begun or ended; later is later, within a millisecond too."""
        ts_ms = max(received_ms, self._said_ms.get(asset, 0) + 1)
        self._said_ms[asset] = ts_ms
        return Event(
            asset,
            ts_ms,
            "system",
            key=f"sparkplug-{why}",
            note=_NOTES[state],
            detail={"state": state, "cause": why},
        )

    def _readings(
        self,
        asset: AssetPath,
        node: _Node,
        device: str,
        message: Any,
        received_ms: int,
        limits: Limits,
    ) -> tuple[tuple[Reading, ...], PayloadError | None]:
        by_time: dict[int, dict[str, float]] = {}
        problem: PayloadError | None = None
        for metric in message.metrics:
            name = _name(node, metric)
            if name.startswith(_OWN_METRICS) or metric.is_null or metric.is_transient:
                continue
            try:
                value = read_metric(name, metric, node.types.get((device, name), 0))
                if value is None:
                    continue
                ts_ms = metric.timestamp or message.timestamp or received_ms
                ts_ms -= limits.clock_offsets.get(asset, 0)
                check_stamp(ts_ms, received_ms + limits.ahead_ms, asset)
            except UnknownMetricError:
                raise
            except PayloadError as error:
                problem = problem or error
                continue
            by_time.setdefault(ts_ms, {})[signal_name_of(tuple(name.split("/")))] = value
        if problem is not None and not by_time:
            raise problem
        marks = node.marks[device]
        readings = (
            Reading(asset, ts_ms, values, None, received_ms, *marks)
            for ts_ms, values in by_time.items()
        )
        return tuple(readings), problem

    def _asset_of(self, group: str, edge: str, device: str) -> AssetPath:
        names = {"group": group, "edge": edge, "device": device or edge}
        try:
            return AssetPath(
                _segment(group),
                _segment(_fill(self._line, names)),
                _segment(_fill(self._asset, names)),
            )
        except DataError as error:
            raise PayloadError("asset_name", error.message, field="topic", fix=error.fix) from error


def rebirth_command(ts_ms: int) -> bytes:
    """Write the payload that asks an edge node for its birth certificates."""
    message = Payload(timestamp=ts_ms)
    message.metrics.add(name=REBIRTH, timestamp=ts_ms, datatype=BOOLEAN, boolean_value=True)
    return bytes(message.SerializeToString())


def _levels(topic: str) -> tuple[str, str, str, str]:
    levels = topic.split("/")
    for_node = len(levels) == 4 and levels[2] in _NODE_TYPES
    for_device = len(levels) == 5 and levels[2] in _DEVICE_TYPES
    if levels[0] != NAMESPACE or not (for_node or for_device):
        raise PayloadError(
            "sparkplug_topic", f"the topic {topic[:200]!r} is not one of births, data or deaths."
        )
    return levels[1], levels[2], levels[3], levels[4] if for_device else ""


def _learn(node: _Node, device: str, message: Any) -> None:
    for metric in message.metrics:
        if metric.HasField("alias"):
            node.aliases[metric.alias] = metric.name
        node.types[device, metric.name] = metric.datatype


def _name(node: _Node, metric: Any) -> str:
    if metric.name:
        return str(metric.name)
    name = node.aliases.get(metric.alias) if metric.HasField("alias") else None
    if name is None:
        raise no_birth(f"the alias {metric.alias}")
    return name


def _fill(template: str, names: Mapping[str, str]) -> str:
    return re.sub(r"\{(group|edge|device)\}", lambda match: names[match[1]], template)


def _segment(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text)[:64]

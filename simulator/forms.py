"""The forms a plant speaks in: the contract's JSON (with waveforms if wanted), or Sparkplug B."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from plant.asset import AssetPath
from plant.topics import Topics
from simulator.payload import telemetry_json
from simulator.sparkplug import EdgeNode


class Form(Protocol):
    """How readings become messages."""

    def reading(
        self, asset: AssetPath, ts_ms: int, signals: Sequence[str], row: Sequence[float], seq: int
    ) -> list[tuple[str, bytes]]:
        """Return topic and payload of the messages of one reading; none when nothing was measured."""
        ...


class JsonForm:
    """One JSON object per reading on `<root>/<site>/<line>/<asset>/telemetry`."""

    def __init__(self, topics: Topics, run_id: str) -> None:
        self._topics, self._run_id = topics, run_id
        self._known: dict[AssetPath, str] = {}

    def reading(
        self, asset: AssetPath, ts_ms: int, signals: Sequence[str], row: Sequence[float], seq: int
    ) -> list[tuple[str, bytes]]:
        """Return the one message of a reading."""
        topic = self._known.get(asset)
        if topic is None:
            topic = self._known[asset] = self._topics.telemetry(asset)
        payload = telemetry_json(ts_ms, signals, row, seq, self._run_id)
        return [(topic, payload)] if payload else []


class SparkplugForm:
    """Sparkplug B: births before data, aliases instead of names; each line is an edge node."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._nodes: dict[str, EdgeNode] = {}

    def node(self, line_path: str) -> EdgeNode:
        """Return a line's edge node."""
        if line_path not in self._nodes:
            site, line = line_path.split("/")
            self._nodes[line_path] = EdgeNode(site, line, self._run_id)
        return self._nodes[line_path]

    def reading(
        self, asset: AssetPath, ts_ms: int, signals: Sequence[str], row: Sequence[float], seq: int
    ) -> list[tuple[str, bytes]]:
        """Return the messages of a reading, births first; the node's seq counts, not the sample's."""
        return self.node(asset.line_path).reading(asset, ts_ms, signals, row)

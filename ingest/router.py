"""From a topic to the function that reads its payloads."""

from __future__ import annotations

from collections.abc import Callable

from ingest.decode import (
    Decoded,
    Limits,
    decode_event,
    decode_signal,
    decode_telemetry,
)
from ingest.mapping import MappingDecoder
from ingest.payload import LATEST_MS
from ingest.settings import IngestSettings
from ingest.sparkplug import NAMESPACE, Sparkplug
from plant.asset import AssetPath
from plant.errors import PayloadError
from plant.times import parse_duration_ms
from plant.topics import Topics

#: Reads one payload that arrived at a moment (epoch ms). Raises PayloadError.
Decoder = Callable[[bytes, int], Decoded]

_MOST_TOPICS = 100_000


def limits_of(settings: IngestSettings) -> Limits:
    """Return the settings' limits in the decoders' units."""
    return Limits(
        max_bytes=settings.max_payload_bytes,
        ahead_ms=round(min(settings.max_ahead_s * 1000, LATEST_MS / 2)),
        clock_offsets={
            AssetPath.parse(path): _signed_duration_ms(text)
            for path, text in settings.clock_offsets.items()
        },
    )


def _signed_duration_ms(text: str) -> int:
    return -parse_duration_ms(text[1:]) if text.startswith("-") else parse_duration_ms(text)


class Router:
    """Chooses the decoder of a topic, once per topic."""

    def __init__(self, topics: Topics, settings: IngestSettings) -> None:
        self.limits = limits_of(settings)
        self._topics = topics
        self._mappings = [MappingDecoder(mapping) for mapping in settings.mappings]
        self.sparkplug = Sparkplug(
            settings.sparkplug_groups, settings.sparkplug_line, settings.sparkplug_asset
        )
        self._extra = settings.extra_subscriptions
        self._decoders: dict[bytes, Decoder] = {}
        #: The machine of each telemetry topic that `plain_sample` may read first.
        self.plain: dict[bytes, AssetPath] = {}

    def subscriptions(self) -> tuple[str, ...]:
        """Return the topic filters that several workers may share."""
        filters = [*self._topics.subscriptions(), *(m.pattern.filter for m in self._mappings)]
        return tuple(dict.fromkeys([*filters, *self._extra]))

    def stateful_subscriptions(self) -> tuple[str, ...]:
        """Return the filters of messages that must all reach the same worker."""
        return self.sparkplug.subscriptions()

    def mapping_of(self, topic: str) -> str:
        """Return the name of the mapping that reads a topic; empty when none does."""
        return next((m.mapping.name for m in self._mappings if m.match(topic) is not None), "")

    def decoder(self, topic: bytes) -> Decoder:
        """Return what reads this topic's payloads. Raises PayloadError: topic, asset_name, utf8."""
        known = self._decoders.get(topic)
        if known is None:
            known = self._choose(topic)
            if (
                len(self._decoders) >= _MOST_TOPICS
            ):  # a hostile publisher could invent topics for ever
                self._decoders.clear()
                self.plain.clear()
            self._decoders[topic] = known
        return known

    def _choose(self, topic: bytes) -> Decoder:
        try:
            text = topic.decode("utf-8")
        except UnicodeDecodeError as error:
            raise PayloadError("utf8", "the topic is not UTF-8.", field="topic") from error
        limits = self.limits
        for mapping in self._mappings:
            levels = mapping.match(text)
            if levels is not None:
                read, names = mapping.decode, levels
                return lambda payload, received_ms: read(names, payload, received_ms, limits)
        if text.startswith(NAMESPACE + "/"):
            return lambda payload, received_ms: self.sparkplug.decode(
                text, payload, received_ms, limits
            )
        asset, kind, signal = self._topics.parse_inbound(text)
        if kind == "event":
            return lambda payload, received_ms: Decoded(
                events=(decode_event(asset, payload, received_ms, limits),)
            )
        if signal:
            return lambda payload, received_ms: decode_signal(
                asset, signal, payload, received_ms, limits
            )
        if asset not in limits.clock_offsets:
            self.plain[topic] = asset
        return lambda payload, received_ms: decode_telemetry(asset, payload, received_ms, limits)

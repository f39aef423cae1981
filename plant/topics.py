"""The one place that knows how topics are spelled."""

from __future__ import annotations

from dataclasses import dataclass

from plant.asset import AssetPath
from plant.errors import DataError, PayloadError

BRIDGE_STATE = "vigie/bridge/state"
BRIDGE_INFO = "vigie/bridge/info"
BRIDGE_ASSETS = "vigie/bridge/assets"
BRIDGE_HEALTH = "vigie/bridge/health"
REQUEST_PREFIX = "vigie/bridge/request"
RESPONSE_PREFIX = "vigie/bridge/response"
TRUTH_PREFIX = "vigie/truth"


@dataclass(frozen=True, slots=True)
class Topics:
    """Topics below one root (`plant` unless the settings say otherwise)."""

    root: str = "plant"

    def __post_init__(self) -> None:
        if not self.root or any(c in self.root for c in "+#\0") or self.root[0] in "/$":
            raise DataError(
                f"the topic root {self.root[:60]!r} is not valid.",
                fix="Use plain levels such as plant or acme/plant, without + # or a leading / or $.",
            )

    def telemetry(self, asset: AssetPath) -> str:
        """Where an asset publishes its readings."""
        return f"{self.root}/{asset}/telemetry"

    def event(self, asset: AssetPath) -> str:
        """Where an asset's failures, repairs and stops are published."""
        return f"{self.root}/{asset}/event"

    def risk(self, asset: AssetPath) -> str:
        """Where Vigie keeps the asset's retained risk message."""
        return f"{self.root}/{asset}/risk"

    def line_risk(self, site: str, line: str) -> str:
        """Where Vigie keeps a line's own retained risk."""
        return f"{self.root}/{site}/{line}/risk"

    def alarm(self, asset: AssetPath) -> str:
        """Where Vigie keeps the asset's retained alarm state."""
        return f"{self.root}/{asset}/alarm"

    def subscriptions(self) -> tuple[str, ...]:
        """Return the filters of ingest: what machines publish, never what Vigie publishes."""
        below = f"{self.root}/+/+/+"
        return (f"{below}/telemetry", f"{below}/telemetry/+", f"{below}/event")

    def parse_inbound(self, topic: str) -> tuple[AssetPath, str, str]:
        """Split an inbound topic into (asset, `telemetry` or `event`, signal or empty).

        Raises PayloadError with reason `topic` when it is not one of the contract's.
        """
        prefix = self.root + "/"
        levels = topic[len(prefix) :].split("/") if topic.startswith(prefix) else []
        known = (len(levels) == 4 and levels[3] in {"telemetry", "event"}) or (
            len(levels) == 5 and levels[3] == "telemetry"
        )
        if not known:
            raise PayloadError(
                "topic",
                f"the topic {topic[:200]!r} is not one Vigie reads.",
                field="topic",
                fix=f"Publish to {self.root}/<site>/<line>/<asset>/telemetry, or add a mapping.",
            )
        try:
            asset = AssetPath(*levels[:3])
        except DataError as error:
            raise PayloadError("asset_name", error.message, field="topic", fix=error.fix) from error
        return asset, levels[3], levels[4] if len(levels) == 5 else ""

"""The demo's servers and the settings that fit them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from features.settings import FeatureSettings
from ingest.settings import BrokerSettings, IngestSettings
from models.settings import ModelSettings
from plant.times import HOUR_MS
from serve.settings import PublishSettings, ServeSettings
from store.influx_setup import ensure_buckets
from store.settings import InfluxSettings, RetentionSettings, StoreSettings
from vigie.servers import EmbeddedBroker, Influxd, Mosquitto, ServerMissingError
from vigie.settings import Settings


class Servers:
    """A broker, and InfluxDB where it is asked for; a context manager."""

    def __init__(self, store: Literal["sqlite", "influx"], folder: Path) -> None:
        self._stack = ExitStack()
        self._folder = folder
        self.store = store
        self.broker: Mosquitto | EmbeddedBroker | None = None
        self.influx: Influxd | None = None

    def __enter__(self) -> Self:
        try:
            self.broker = self._stack.enter_context(Mosquitto(self._folder / "mosquitto"))
        except ServerMissingError:
            if self.store == "influx":
                raise
            self.broker = self._stack.enter_context(EmbeddedBroker(self._folder / "broker"))
        if self.store == "influx":
            try:
                self.influx = self._stack.enter_context(Influxd(self._folder / "influxd"))
            except BaseException:
                self._stack.close()
                raise
            ensure_buckets(store_settings(self.influx).influx, KEEP_ALL)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def port(self) -> int:
        """Where the broker listens."""
        return self.broker.port if self.broker is not None else 0

    @property
    def names(self) -> str:
        """What runs, for people."""
        broker = (
            "Mosquitto" if isinstance(self.broker, Mosquitto) else "the embedded broker (amqtt)"
        )
        return f"{broker} and {'InfluxDB 2' if self.influx else 'SQLite'}"


#: Simulated time is not ours: what is old there must not expire here.
KEEP_ALL = RetentionSettings(readings="forever", rollups="forever", risks="forever")


def store_settings(influx: Influxd | None) -> StoreSettings:
    """Return the settings of a store that keeps everything: this InfluxDB, or SQLite."""
    if influx is None:
        return StoreSettings(retention=KEEP_ALL)
    return StoreSettings(
        kind="influx",
        influx=InfluxSettings(
            url=influx.url, org=influx.org, bucket=influx.bucket, token=influx.token
        ),
        retention=KEEP_ALL,
    )


def demo_settings(servers: Servers, folder: Path) -> Settings:
    """Return settings for a plant in a hurry: an hour between rows, a small model."""
    return Settings(
        data_dir=folder,
        broker=BrokerSettings(
            port=servers.port,
            protocol="5" if isinstance(servers.broker, Mosquitto) else "3.1.1",
        ),
        store=store_settings(servers.influx),
        # The clock stands still within an hour of plant time: readings ahead of it are no fault.
        ingest=IngestSettings(max_ahead_s=7_200, clock_skew_s=7_200),
        features=FeatureSettings(grid_ms=HOUR_MS),
        model=ModelSettings(members=1, folds=3, max_rounds=80, max_landmarks=6_000),
        serve=ServeSettings(publish=PublishSettings(heartbeat_min=60, valid_min=180)),
    )

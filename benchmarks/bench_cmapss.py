"""C-MAPSS over MQTT into InfluxDB 2, through features and model, to the official figures.

Every cycle of the training and the test engines is published to a real Mosquitto as one hour of plant
time, and the end of each training engine as a failure on the event topic; ingest journals them and
forwards them to a real InfluxDB 2; features and model work from what the store gives back.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
from numpy.typing import NDArray

from benchmarks.cmapss_data import CAP_H, load, nasa_score, plant, to_table, true_rul
from benchmarks.model.turbofan import FEATURES, MODEL
from benchmarks.report import data_dir, emit, say
from features.fit import fit_regimes_of
from features.job import FeatureJob
from features.sources import Extent
from ingest.settings import BrokerSettings
from models.metrics import concordance, rmse, window_coverage
from models.score import newest, predict
from models.train import train
from plant.clock import ManualClock
from plant.config import Plant
from plant.times import HOUR_MS
from plant.topics import Topics
from simulator.mqtt import Publisher
from store.influx_setup import ensure_buckets
from store.port import Store
from vigie.context import Context
from vigie.demo.servers import KEEP_ALL, store_settings
from vigie.mqtt import player_broker
from vigie.replay import Columns, Message, messages
from vigie.runtime import open_intake
from vigie.servers import Influxd, Mosquitto
from vigie.settings import Settings


@dataclass(frozen=True, slots=True)
class Traffic:
    """What goes over MQTT, in the order of time."""

    telemetry: list[Message]
    failures: list[Message]


def traffic(tables: dict[str, pd.DataFrame], where: Plant, subset: str) -> Traffic:
    """Return the engines' readings and the failures that end the training engines."""
    topics = Topics(where.root)
    columns = Columns(asset=f"nasa/{subset.lower()}/{{asset}}", time="ts")
    telemetry = [m for part in tables.values() for m in messages(part, columns, topics)]
    last: dict[str, int] = tables["train"].groupby("asset")["ts"].max().to_dict()
    failures = [  # an engine fails at the end of its last cycle
        Message(
            ts + HOUR_MS,
            f"{where.root}/nasa/{subset.lower()}/{name}/event",
            orjson.dumps({"ts": ts + HOUR_MS, "kind": "failure", "mode": "ENG", "found": "failed"}),
        )
        for name, ts in last.items()
    ]
    return Traffic(sorted(telemetry, key=lambda m: m.ts_ms), failures)


def publish(context: Context, clock: ManualClock, sent: Traffic) -> None:
    """Send everything at QoS 1, an hour of plant time at a time, and wait until InfluxDB has it.

    The clock moves on when ingest has the hour, so that nothing arrives late for being sent fast.
    """
    due = sorted([*sent.telemetry, *sent.failures], key=lambda message: message.ts_ms)
    count = 0
    with open_intake(context) as intake:
        publisher = Publisher(player_broker(context.settings.broker), "cmapss")
        publisher.connect()
        try:
            for ts_ms, hour in groupby(due, key=lambda message: message.ts_ms):
                clock.advance_to(ts_ms)
                for message in hour:
                    publisher.publish(message.topic, message.payload)
                    count += 1
                while intake.subscriber.stats().received < count:
                    time.sleep(0.001)
        finally:
            publisher.close()
        intake.settle(count, timeout_s=600)


def judge(
    store: Store, where: Plant, now_ms: int, subset: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Train on the training engines; return each test engine's mean life (capped) and window."""
    extents = [Extent(s.asset, s.first_ms, s.last_ms, s.signals) for s in store.assets()]
    trained = [e for e in extents if e.asset.asset.startswith("train-")]
    tested = [e.asset for e in extents if e.asset.asset.startswith("test-")]
    events = store.read_events(0, now_ms + 1)
    regimes = fit_regimes_of(store, trained, where, FEATURES, events=events)
    job = FeatureJob(store, where, FEATURES, regimes=regimes)
    say("features of the training engines")
    table = job.backfill(0, now_ms, [e.asset for e in trained])
    say("training")
    bundle = train(table, events, where, MODEL, now_ms=now_ms)
    say("scoring the test engines at their last cycle")
    rows = newest(job.backfill(0, now_ms, tested))
    number = [int(str(asset).rsplit("-", 1)[1]) for asset in rows.assets]
    predicted = predict(bundle, rows.take(np.argsort(number)).X)
    if predicted.curves is None or predicted.windows_h is None:
        raise SystemExit(f"The model of {subset} gives no window: {bundle.why_no_window}")
    return predicted.curves.restricted_mean_h(CAP_H), predicted.windows_h


def run(subset: str, engines: int | None) -> None:
    """Measure one subset, with the first `engines` of each part when it is only a trial."""
    began = time.monotonic()
    folder = data_dir()
    frames = {part: load(folder, subset, part) for part in ("train", "test")}
    truth = true_rul(folder, subset)
    if engines is not None:
        frames = {part: f[f["unit"] <= engines] for part, f in frames.items()}
        truth = truth[:engines]
    tables = {part: to_table(frame, part) for part, frame in frames.items()}
    where = plant(subset, [str(a) for t in tables.values() for a in t["asset"].unique()])
    sent = traffic(tables, where, subset)
    now_ms = sent.telemetry[-1].ts_ms + 2 * HOUR_MS
    clock = ManualClock(sent.telemetry[0].ts_ms)
    with tempfile.TemporaryDirectory() as tmp, Mosquitto() as broker, Influxd() as influx:
        store_part = store_settings(influx)
        ensure_buckets(store_part.influx, KEEP_ALL)
        context = Context(clock=clock)
        context.plant = where
        context.settings = Settings(
            data_dir=Path(tmp),
            broker=BrokerSettings(port=broker.port),
            store=store_part,
            features=FEATURES,
            model=MODEL,
        )
        say(f"publishing {len(sent.telemetry):,} readings over MQTT")
        publish(context, clock, sent)
        clock.advance_to(now_ms)
        store = context.open_store()
        try:
            stored = sum(
                len(store.read_readings(seen.asset, seen.first_ms, seen.last_ms + 1).ts_ms)
                for seen in store.assets()
            )
            mean_h, windows_h = judge(store, where, now_ms, subset)
        finally:
            store.close()
    capped = np.minimum(truth, CAP_H)
    everyone = np.ones(len(truth), dtype=bool)
    coverage, width, _ = window_coverage(windows_h, truth, everyone)
    emit(
        "cmapss",
        subset,
        readings=len(sent.telemetry),
        stored=stored,
        rmse_capped=round(rmse(mean_h, capped), 3),
        rmse_uncapped=round(rmse(mean_h, truth), 3),
        nasa_score=round(nasa_score(mean_h, capped), 1),
        c_index=round(concordance(mean_h, truth, everyone, np.arange(len(truth))), 4),
        window_coverage_80=round(coverage, 3),
        window_width_h=round(width, 1),
        seconds=round(time.monotonic() - began, 1),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subset", default="FD001", choices=["FD001", "FD002", "FD003", "FD004"])
    parser.add_argument("--engines", type=int, help="only the first so many of each part")
    arguments = parser.parse_args()
    run(arguments.subset, arguments.engines)

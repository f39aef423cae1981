"""Fault 4: InfluxDB answers wrongly in every way it can; only the poisoned points are set aside."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.faults.influx_stub import BEHAVIOURS, InfluxStub
from plant.asset import AssetPath
from plant.clock import ManualClock
from plant.reading import Reading
from store.forwarder import Forwarder
from store.journal import Batch, Journal
from store.quarantine import Quarantine
from store.schema import journal_path
from store.settings import InfluxSettings

START_MS = 1_763_800_000_000


def run(quick: bool, seed: int) -> dict[str, Any]:
    """Meet every behaviour in turn, alone and in seeded mixtures; compare point by point.

    Quick: pauses are cut to a hundredth and a hang lasts 0.3 s. Long: real pauses, up to the
    forwarder's ceiling of 60 s.
    """
    rng = random.Random(seed)
    rounds = [[name] for name in BEHAVIOURS]
    mixtures = 3 if quick else 40
    # A minute's pause is met once in the long version; the mixtures are about what follows on what.
    long_pauses = {"503_after_8", "503_after_86400", "503_after_date"}
    lasting = [name for name in BEHAVIOURS if quick or name not in long_pauses]
    rounds += [rng.choices(lasting, k=rng.randint(2, 6)) for _ in range(mixtures)]
    timeout_s = 0.3 if quick else 5.0
    pauses: list[float] = []
    stopping = threading.Event()

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        return stopping.wait(seconds / 100 if quick else seconds)

    published: list[Reading] = []
    worst_s = 0.0
    with tempfile.TemporaryDirectory() as folder, InfluxStub(hang_s=3 * timeout_s) as stub:
        data_dir = Path(folder)
        journal = Journal(journal_path(data_dir))
        settings = InfluxSettings(
            url=stub.url, token="t", batch_messages=200, timeout_s=timeout_s, gzip=bool(seed % 2)
        )
        clock = ManualClock(START_MS)
        forwarder = Forwarder(settings, data_dir, clock, seed=seed, pause=pause)
        journal.tail = forwarder.tail_of(journal.path)
        try:
            for plan in rounds:
                batch = _readings(rng, len(published), 150 if quick else 1_000)
                published += batch
                journal.commit(Batch(batch, received_ms=START_MS))
                stub.plan = list(plan)
                began = time.monotonic()
                assert forwarder.drain(600), "it gave up"
                worst_s = max(worst_s, time.monotonic() - began)
        finally:
            forwarder.close()
            journal.close()
        aside = Quarantine(journal.path).items(limit=1_000_000)
    return {
        "bench": "faults",
        "case": "influx_misbehaves",
        "rounds": len(rounds),
        **_compare(published, stub, [item.payload.decode() for item in aside]),
        "recovery_s": round(worst_s, 3),
        "longest_pause_s": round(max(pauses), 3),
        "behaviours": len(set(stub.log)),
    }


def _readings(rng: random.Random, start: int, count: int) -> list[Reading]:
    """Seeded readings; about one in forty is poisoned."""
    readings = []
    for number in range(start, start + count):
        values = {"a": rng.gauss(0, 1), "b": float(number)}
        if rng.random() < 0.025:
            values["poison"] = 1.0
        asset = AssetPath("site", "line", f"p{rng.randrange(4)}")
        readings.append(Reading(asset, START_MS + number, values, received_ms=START_MS))
    return readings


def _compare(published: list[Reading], stub: InfluxStub, aside: list[str]) -> dict[str, Any]:
    """Row by row: what should be stored or set aside against what is."""
    wanted = {
        (f"reading,asset={r.asset.asset},line=line,site=site", r.ts_ms): dict(r.values)
        for r in published
    }
    poisoned = {key for key, values in wanted.items() if "poison" in values}
    stored = {
        key: {name: float(text) for name, text in fields.items() if name != "vigie.received_ms"}
        for key, fields in stub.points.items()
    }
    set_aside = [(line.split(" ")[0], int(line.rsplit(" ", 1)[1])) for line in aside]
    good = {key: values for key, values in wanted.items() if key not in poisoned}
    return {
        "published": len(published),
        "stored": len(stored),
        "lost": sum(stored.get(key) != values for key, values in good.items())
        + len(poisoned - set(set_aside)),
        "duplicated": len(set(stored) - set(good)) + len(set_aside) - len(set(set_aside)),
        "poisoned": len(poisoned),
        "quarantined": len(set_aside),
        "wrongly_quarantined": len(set(set_aside) - poisoned),
    }

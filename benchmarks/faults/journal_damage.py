"""Fault 7: a journal cut short or with a flipped bit, at seeded offsets of all its files.

Each round damages a copy, opens it as ingest does, and compares what can be read, row by row, with
what was committed. Wrong is: a row that differs or is missing although nothing was reported.
"""

from __future__ import annotations

import math
import random
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

from plant.asset import AssetPath
from plant.clock import ManualClock
from plant.errors import StoreError
from plant.event import Event
from plant.reading import Reading
from store.integrity import examine, open_journal
from store.journal import Batch, Journal
from store.journals import Journals
from store.schema import journal_path

START_MS = 1_763_800_000_000
EVER = (-(10**13), 10**13)
Row = tuple[str, int, str]


def run(quick: bool, seed: int) -> dict[str, Any]:
    """Damage 60 (quick) or 1,000 offsets, half of them flips, half cuts."""
    rng = random.Random(seed)
    rounds = 60 if quick else 1_000
    tally = {"whole": 0, "mended": 0, "refused": 0, "silent": 0, "lost": 0, "salvaged": 0}
    worst_s = 0.0
    with tempfile.TemporaryDirectory() as folder:
        pristine = Path(folder) / "pristine"
        truth = _write(pristine, rng, readings=400 if quick else 3_000)
        for number in range(rounds):
            data_dir = Path(folder) / f"round{number}"
            shutil.copytree(pristine, data_dir)
            _damage(data_dir, rng, cut=bool(number % 2))
            began = time.monotonic()
            _examine_round(data_dir, truth, tally)
            worst_s = max(worst_s, time.monotonic() - began)
            shutil.rmtree(data_dir)
    return {
        "bench": "faults",
        "case": "journal_damage",
        "rounds": rounds,
        "published": len(truth),
        "stored": len(truth),
        # Only rows that vanished unreported count as lost; what a cut took away is reported.
        "lost": tally.pop("lost"),
        "duplicated": 0,
        "recovery_s": round(worst_s, 3),
        **tally,
    }


def _write(data_dir: Path, rng: random.Random, readings: int) -> set[Row]:
    """Commit readings and events, half of them folded into the database, half still in the log."""
    journal = Journal(journal_path(data_dir))
    truth: set[Row] = set()
    for start in range(0, readings, 50):
        batch = [
            Reading(
                AssetPath("site", "line", f"p{n % 5}"),
                START_MS + n,
                {"a": rng.gauss(0, 1), "b": float(n)} | ({"c": 1.0} if n % 7 == 0 else {}),
                received_ms=START_MS,
                simulated=n % 2 == 0,
                run_id="run-1" if n % 2 == 0 else "",
            )
            for n in range(start, start + 50)
        ]
        events = [Event(batch[0].asset, START_MS + start, "stop", note=f"stop {start}")]
        journal.commit(Batch(batch, events, received_ms=START_MS))
        truth |= {_row(r) for r in batch} | {_event_row(e) for e in events}
        if start == readings // 2:
            db = sqlite3.connect(journal.path)
            db.execute("pragma wal_checkpoint(truncate)")
            db.close()
    # The files as a power cut leaves them: the journal is not closed first.
    still = data_dir.parent / "still"
    shutil.copytree(data_dir, still, ignore=shutil.ignore_patterns("*-shm"))
    journal.close()
    shutil.rmtree(data_dir)
    still.rename(data_dir)
    return truth


def _damage(data_dir: Path, rng: random.Random, *, cut: bool) -> None:
    files = [file for file in (data_dir / "journal").iterdir() if file.stat().st_size]
    # The database and its log hold the rows; the mark is small and gets its share all the same.
    file = rng.choices(files, [20 if f.suffix != ".tail" else 1 for f in files])[0]
    data = bytearray(file.read_bytes())
    at = rng.randrange(len(data))
    if cut:
        del data[at:]
    else:
        data[at] ^= 1 << rng.randrange(8)
    file.write_bytes(data)


def _examine_round(data_dir: Path, truth: set[Row], tally: dict[str, int]) -> None:
    try:
        journal = open_journal(journal_path(data_dir), ManualClock(START_MS))
    except StoreError:
        tally["refused"] += 1
        return
    journal.commit(Batch([_LATER], received_ms=START_MS))
    journal.close()
    found = _read(data_dir)
    # A journal that was set aside was reported; whatever the level of the log.
    reported = any((data_dir / "journal" / "damaged").glob("*"))
    missing, wrong = truth - found, found - truth - {_row(_LATER)}
    if wrong or (missing and not reported) or _row(_LATER) not in found:
        tally["silent"] += 1
        tally["lost"] += len(missing) + len(wrong)
        return
    tally["mended" if reported else "whole"] += 1
    tally["salvaged"] += len(found & truth) if reported else 0
    assert examine(journal_path(data_dir)).sound


_LATER = Reading(
    AssetPath("site", "line", "p0"), START_MS + 10**6, {"a": 0.5}, received_ms=START_MS
)


def _read(data_dir: Path) -> set[Row]:
    journals = Journals(data_dir)
    found: set[Row] = set()
    try:
        for seen in journals.assets():
            block = journals.read(seen.asset, *EVER)
            for ts_ms, values in zip(block.ts_ms.tolist(), block.values.tolist(), strict=True):
                named = {
                    name: value
                    for name, value in zip(block.signals, values, strict=True)
                    if not math.isnan(value)
                }
                found.add((str(seen.asset), ts_ms, repr(named)))
        found |= {_event_row(event) for event in journals.events(*EVER)}
    finally:
        journals.close()
    return found


def _row(reading: Reading) -> Row:
    return (str(reading.asset), reading.ts_ms, repr(dict(sorted(reading.values.items()))))


def _event_row(event: Event) -> Row:
    return (str(event.asset), event.ts_ms, repr(event))

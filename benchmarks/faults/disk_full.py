"""Fault 6: the disk is full (a 32 MB tmpfs), and the Nth write of the journal fails.

Where a tmpfs may not be mounted, the first part is done by a limit on the size of files instead.
"""

from __future__ import annotations

import contextlib
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from struct import pack
from typing import Any

from benchmarks.faults.rig import Device, IngestProcess, compare, count, wait_for
from plant.asset import AssetPath
from plant.errors import StoreError
from plant.reading import Reading
from store.integrity import examine
from store.journal import Batch, Journal
from store.schema import connect, journal_path
from vigie.servers import Mosquitto

#: SQLite's write-ahead log: its head, then frames of a head and a page each.
_LOG_HEAD, _FRAME_HEAD, _PAGE = 32, 24, 4096
_FRAME = _FRAME_HEAD + _PAGE


def run(quick: bool, seed: int) -> dict[str, Any]:
    """Fill the disk under a running ingest, wait, make room; then fail the Nth write, N = 1…200."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        figures = _full(place, 2.0 if quick else 20.0)
        failed = _nth_write(place / "nth", 12 if quick else 200, seed)
    figures["lost"] += failed.pop("lost") + failed.pop("damaged")
    figures["duplicated"] += failed.pop("doubled")
    return {
        "bench": "faults",
        "case": "disk_full",
        "rounds": failed["failing_writes"],
        **figures,
        **failed,
    }


@contextlib.contextmanager
def _small_disk(place: Path) -> Iterator[bool]:
    """A 32 MB tmpfs at `place`; yields False where it may not be mounted."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(place)], check=True)


def _full(place: Path, full_s: float) -> dict[str, Any]:
    with Mosquitto(place / "m") as broker, _small_disk(place / "disk") as mounted:
        data_dir = place / "disk" / "data"
        ingest = IngestProcess(broker.port, data_dir).start(wait=True)
        device = Device(broker.port, 300, time.time_ns() // 1_000_000 - 86_400_000)
        device.start()
        time.sleep(1.0)
        ballast = place / "disk" / "ballast"
        if mounted:
            _fill(ballast)
        else:
            _limit(ingest, 200_000)
        time.sleep(full_s)
        stored_when_full, memory_mb = count(data_dir), ingest.peak_mb()
        behind = len(device.acknowledged) - stored_when_full
        began = time.monotonic()
        if mounted:
            ballast.unlink()
        else:
            _limit(ingest, resource.RLIM_INFINITY)
        wait_for(data_dir, stored_when_full + behind)
        recovery_s = time.monotonic() - began
        device.stop()
        wait_for(data_dir, len(device.acknowledged), 60)
        ingest.stop()
        return {
            **compare(device, data_dir),
            "recovery_s": round(recovery_s, 3),
            "full_s": full_s,
            "behind_when_full": behind,
            "memory_mb": round(memory_mb, 1),
            "tmpfs": mounted,
        }


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)


def _limit(ingest: IngestProcess, size: int) -> None:
    assert ingest.process is not None
    resource.prlimit(ingest.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def _nth_write(place: Path, rounds: int, seed: int) -> dict[str, Any]:
    """For N = 1…rounds, each once: a fresh journal whose Nth page written to its log fails (EFBIG)."""
    totals = {"failing_writes": 0, "failed_commits": 0, "lost": 0, "doubled": 0, "damaged": 0}
    for nth in range(1, rounds + 1):
        found = _fail_write(place / str(nth), nth, seed)
        for name in totals:
            totals[name] += found[name]
    return totals


def _fail_write(place: Path, nth: int, seed: int) -> dict[str, int]:
    """Commit until the Nth page has failed, then again and a few more; compare what is there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    Journal(journal_path(place)).close()  # its tables are made and its log is folded back
    journal = Journal(journal_path(place))
    reader = connect(
        journal.path, read_only=True
    )  # as on a plant: it keeps the log from being removed
    reader.execute("select count(*) from reading").fetchone()
    log = journal.path.with_name(journal.path.name + "-wal")
    wanted: dict[int, bytes] = {}
    failed = hit = after = 0
    start = _LOG_HEAD + (nth - 1) * _FRAME  # where the Nth page lands: the log only grows
    assert not log.exists() or log.stat().st_size == 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (start + _FRAME_HEAD, hard))
    try:
        while after < 3:
            batch = _readings(len(wanted), seed + nth)
            try:
                journal.commit(Batch(list(batch)))
                after += failed
            except StoreError:
                failed += 1
                hit += start <= log.stat().st_size <= start + _FRAME_HEAD
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
                journal.commit(Batch(list(batch)))  # not acknowledged: the broker sends it again
            wanted |= {reading.ts_ms: pack("<d", reading.values["a"]) for reading in batch}
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    journal.close()
    rows = reader.execute("select ts, vals from reading").fetchall()
    reader.close()
    stored = dict(rows)
    return {
        "failing_writes": hit,
        "failed_commits": failed,
        "lost": sum(stored.get(ts) != vals for ts, vals in wanted.items()),
        "doubled": len(rows) - len(stored) + len(stored.keys() - wanted.keys()),
        "damaged": not examine(journal.path).sound,
    }


def _readings(first: int, seed: int) -> list[Reading]:
    asset = AssetPath("s", "l", "p")
    return [
        Reading(asset, 1_700_000_000_000 + n, {"a": seed + n / 100}, None, 1)
        for n in range(first, first + 60)
    ]

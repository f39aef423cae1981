"""Fault 6: the disk is full (a 32 MB tmpfs), and the Nth write of a commit fails.

Where a tmpfs may not be mounted, the first part is done by a limit on the size of files instead.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.faults.rig import Device, IngestProcess, compare, count, wait_for
from plant.asset import AssetPath
from plant.errors import StoreError
from plant.reading import Reading
from store.journal import Batch, Journal
from store.schema import connect, journal_path
from vigie.servers import Mosquitto

_MB = 1 << 20


def run(quick: bool, seed: int) -> dict[str, Any]:
    """Fill the disk under a running ingest, wait, make room; then fail the Nth write, N = 1…200."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        figures = _full(place, 2.0 if quick else 20.0)
        failed = _nth_write(place / "nth", 12 if quick else 200, seed)
    figures["lost"] += failed.pop("lost")
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
    """Let the journal's files stop growing at N pages: the write that would pass it fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    journal = Journal(journal_path(place))
    asset, committed, failures = AssetPath("s", "l", "p"), 0, 0
    wanted: dict[int, float] = {}
    for number in range(1, rounds + 1):
        sizes = [file.stat().st_size for file in journal.path.parent.iterdir()]
        readings = [
            Reading(
                asset, 1_700_000_000_000 + committed + i, {"a": seed + number + i / 100}, None, 1
            )
            for i in range(60)
        ]
        resource.setrlimit(resource.RLIMIT_FSIZE, (max(sizes) + 4096 * (number % 24) + 100, hard))
        try:
            journal.commit(Batch(readings))
        except StoreError:
            failures += 1
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            journal.commit(Batch(readings))  # not acknowledged: the broker sends it again
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        wanted |= {reading.ts_ms: reading.values["a"] for reading in readings}
        committed += len(readings)
        if number % 24 == 0:  # fold the log back, so that small limits bite again
            journal.close()
            for file in journal.path.parent.glob("*-wal"):
                os.truncate(file, 0)
            journal = Journal(journal.path)
    journal.close()
    db = connect(journal.path, read_only=True)
    found = dict(db.execute("select ts, vals from reading"))
    db.close()
    import struct

    lost = sum(struct.pack("<d", value) != found.get(ts) for ts, value in wanted.items())
    return {"failing_writes": rounds, "failed_commits": failures, "lost": lost}

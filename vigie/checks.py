"""What `vigie doctor` looks at: each check says what it found and, if it is not well, what to do."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from plant.clock import SystemClock
from plant.errors import VigieError
from plant.times import HOUR_MS, MINUTE_MS, format_duration
from vigie.context import Context

Verdict = Literal["ok", "warn", "fail"]

_FREE_MIB = 1_024
_SKEW_MS = 2 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `fix` is empty when all is well."""

    check: str
    verdict: Verdict
    message: str
    fix: str = ""


def examine(context: Context) -> Iterator[Finding]:
    """Run every check, in the order in which a new plant is set up."""
    checks: tuple[tuple[str, Callable[[Context], Finding]], ...] = (
        ("settings", _settings),
        ("plant", _plant),
        ("data folder", _data_folder),
        ("disk", _disk),
        ("broker", _broker),
        ("store", _store),
        ("journals", _journals),
        ("readings", _readings),
        ("clock", _clock),
        ("model", _model),
        ("secrets", _secrets),
    )
    for name, check in checks:
        try:
            yield check(context)
        except VigieError as error:
            yield Finding(name, "fail", error.message, error.fix)
            if name == "settings":  # everything below would only repeat it
                return


def _settings(context: Context) -> Finding:
    settings = context.settings
    where = context.config_file or Path("vigie.toml")
    source = str(where) if where.exists() else "defaults (no vigie.toml)"
    return Finding("settings", "ok", f"{source}; store {settings.store.kind}")


def _plant(context: Context) -> Finding:
    plant = context.plant
    if not plant.assets:
        return Finding(
            "plant",
            "warn",
            "no machine is configured: those that publish are registered without kind or costs",
            "Add [[assets]] to plant.toml.",
        )
    return Finding("plant", "ok", f"{len(plant.assets)} machines of {len(plant.kinds)} kinds")


def _data_folder(context: Context) -> Finding:
    folder = context.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".doctor"
        with probe.open("wb") as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
        probe.unlink()
    except OSError as error:
        return Finding(
            "data folder",
            "fail",
            f"{folder} cannot be written ({error.strerror})",
            "Give Vigie's user write permission, or set data_dir in vigie.toml.",
        )
    if folder.stat().st_mode & stat.S_IWOTH:
        return Finding(
            "data folder", "warn", f"anybody may write to {folder}", f"chmod o-w {folder}"
        )
    return Finding("data folder", "ok", str(folder))


def _disk(context: Context) -> Finding:
    free_mib = shutil.disk_usage(context.data_dir).free // 2**20
    if free_mib < _FREE_MIB:
        return Finding(
            "disk",
            "warn",
            f"only {free_mib:,} MiB free at {context.data_dir}",
            "Make room: without space ingest stops acknowledging (it loses nothing).",
        )
    return Finding("disk", "ok", f"{free_mib // 1024:,} GiB free")


def _broker(context: Context) -> Finding:
    from vigie.mqtt import connected  # noqa: PLC0415 - paho waits until it is needed

    broker = context.settings.broker
    began = time.monotonic()
    with connected(broker, "doctor"):
        took_ms = 1_000 * (time.monotonic() - began)
    return Finding("broker", "ok", f"{broker.host}:{broker.port} accepted us in {took_ms:.0f} ms")


def _store(context: Context) -> Finding:
    store = context.open_store()
    try:
        store.check()
    finally:
        store.close()
    kind = context.settings.store.kind
    where = context.settings.store.influx.url if kind == "influx" else str(context.data_dir)
    return Finding("store", "ok", f"{kind} at {where} (SQLite {sqlite3.sqlite_version})")


def _journals(context: Context) -> Finding:
    from store.integrity import examine_all  # noqa: PLC0415 - numpy and SQLite wait until needed

    reports = examine_all(context.data_dir)
    damaged = [report for report in reports if not report.sound]
    if damaged:
        problems = "; ".join(f"{r.path.name}: {r.problems[0]}" for r in damaged)
        return Finding(
            "journals",
            "fail",
            problems,
            "Restart Vigie: it sets a damaged journal aside and keeps every sound row.",
        )
    rows = sum(report.rows for report in reports)
    return Finding(
        "journals", "ok", f"{len(reports)} journals, {rows:,} rows, every checksum holds"
    )


def _readings(context: Context) -> Finding:
    store = context.open_store()
    try:
        seen = store.assets()
    finally:
        store.close()
    if not seen:
        return Finding(
            "readings",
            "warn",
            "no reading has arrived yet",
            "Start `vigie run` and publish to plant/<site>/<line>/<asset>/telemetry.",
        )
    newest = max(seen, key=lambda item: item.last_ms)
    age_ms = context.clock.now_ms() - newest.last_ms
    found = f"{len(seen)} machines, the newest reading is {format_duration(age_ms)} old"
    if age_ms > HOUR_MS and not newest.simulated:
        return Finding(
            "readings", "warn", found, "Look whether machines publish and `vigie run` is running."
        )
    return Finding("readings", "ok", found)


def _clock(context: Context) -> Finding:
    """Compare our clock with the stamps of the newest readings: a lead means that one is wrong."""
    if not isinstance(context.clock, SystemClock):
        return Finding("clock", "ok", "follows the plant")
    store = context.open_store()
    try:
        seen = [item for item in store.assets() if not item.simulated]
    finally:
        store.close()
    now = context.clock.now_ms()
    ahead = [item for item in seen if item.last_ms > now + _SKEW_MS]
    if ahead:
        worst = max(ahead, key=lambda item: item.last_ms)
        lead = format_duration(worst.last_ms - now)
        return Finding(
            "clock",
            "warn",
            f"{worst.asset} is {lead} ahead of this machine",
            "Synchronise both by NTP, or set the asset's clock correction.",
        )
    return Finding("clock", "ok", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now / 1_000)))


def _model(context: Context) -> Finding:
    from models.registry import Registry  # noqa: PLC0415 - LightGBM waits until it is needed

    registry = Registry(context.data_dir / "models")
    kinds = sorted({asset.kind for asset in context.plant.assets}) or ["unknown"]
    champions = {kind: registry.champion(kind) for kind in kinds}
    missing = [kind for kind, champion in champions.items() if champion is None]
    if missing:
        return Finding(
            "model",
            "warn",
            f"no model yet for {', '.join(missing)}: risks say so instead of a window",
            "Run `vigie train` once the history holds failures.",
        )
    return Finding("model", "ok", f"champions for {', '.join(kinds)}")


def _secrets(context: Context) -> Finding:
    settings = context.settings
    files = [
        settings.broker.password_file,
        settings.broker.key_file,
        settings.store.influx.token_file,
    ]
    for file in files:
        if (
            file is not None
            and file.exists()
            and file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)
        ):
            return Finding("secrets", "warn", f"others may read {file}", f"chmod 600 {file}")
    return Finding("secrets", "ok", "no secret is readable by others")

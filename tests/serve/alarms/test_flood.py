"""A thousand machines hover about the threshold for a month: few alarms, the right ones, once."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from plant.asset import AssetPath
from plant.clock import ManualClock
from plant.config import Plant
from plant.event import Event
from plant.risk import Risk
from plant.times import DAY_MS, HOUR_MS
from serve.alarms.book import WEEK_MS, AlarmBook
from serve.alarms.desk import AlarmDesk
from serve.alarms.rules import Rules
from serve.alarms.state import AssetAlarms
from serve.settings import ServeSettings
from serve.work import Work
from store.sqlite import SqliteStore
from tests.serve.examples import PLANT, T0, risk_at

SITES, PER_SITE, DAYS, STEP_H = 10, 100, 30, 3
BUDGET = 12
SETTINGS = ServeSettings()
THRESHOLD = SETTINGS.severity.thresholds.warning


class Killed(BaseException):
    """The process is gone: nothing after this line runs."""


@dataclass(frozen=True)
class Flood:
    """assets: 1,000; p: float[steps, assets] within 72 h; fails: step of the failure, -1 for none."""

    assets: list[AssetPath]
    p: np.ndarray
    fails: np.ndarray

    @property
    def steps(self) -> int:
        return len(self.p)

    def ts(self, step: int) -> int:
        return T0 + step * STEP_H * HOUR_MS


def make_flood(seed: int) -> Flood:
    """Noise about the threshold everywhere; 60 machines fail, 45 after their risk has risen."""
    rng = np.random.default_rng(seed)
    steps, n = DAYS * 24 // STEP_H, SITES * PER_SITE
    assets = [AssetPath(f"s{i // PER_SITE}", "l1", f"m{i % PER_SITE}") for i in range(n)]
    noise = rng.normal(0, 0.05, (steps, n))
    for t in range(1, steps):
        noise[t] = 0.5 * noise[t - 1] + noise[t] * np.sqrt(0.75)
    p = THRESHOLD + noise
    fails = np.full(n, -1)
    failing = rng.choice(n, 60, replace=False)
    fails[failing] = rng.integers(40, steps, 60)
    for rank, asset in enumerate(failing):
        stop = fails[asset]
        if rank < 45:  # wear: 3 days of rising risk up to a peak between 0.6 and 0.95
            peak = rng.uniform(0.6, 0.95)
            rise = np.linspace(0, 1, 24) ** 1.5 * (peak - THRESHOLD)
            p[stop - 24 : stop, asset] += rise
        else:  # a sudden failure of a machine that looked well
            p[:stop, asset] -= 0.25
        p[stop:, asset] = 0.05 + 0.1 * rng.random(steps - stop)
    return Flood(assets, np.clip(p, 0.001, 0.999), fails)


def flood_plant() -> Plant:
    crews = [
        {"name": f"crew{i}", "site": f"s{i}", "alarm_budget_per_week": BUDGET} for i in range(SITES)
    ]
    sites = {f"s{i}": {"lines": {"l1": {}}} for i in range(SITES)}
    base = PLANT.model_dump(by_alias=True, exclude={"assets", "crews", "sites"})
    assets = [
        {"path": f"s{s}/l1/m{m}", "kind": "pump"} for s in range(SITES) for m in range(PER_SITE)
    ]
    return Plant.model_validate(base | {"crews": crews, "sites": sites, "assets": assets})


@pytest.fixture(scope="module")
def flood() -> Flood:
    return make_flood(11)


@pytest.fixture(scope="module")
def rules() -> Rules:
    return Rules(flood_plant(), SETTINGS)


def play_step(
    book: AlarmBook,
    store: SqliteStore,
    rules: Rules,
    risks: list[Risk],
    ts: int,
    done: list[Work],
    where: str,
) -> None:
    """One step of the service, cut off at `where`."""
    if where == "inside":
        half_done(book, risks[0])
    AlarmDesk(book, rules).advance(risks, ts, done)
    if where == "after the transaction":
        raise Killed
    book.deliver(store)
    if where == "after all":
        raise Killed


def half_done(book: AlarmBook, risk: Risk) -> None:
    """A transaction that does not come to its end."""
    with book.change() as change:
        change.put(AssetAlarms(risk.asset, risk.ts_ms, suppressed=True))
        raise Killed


def run(
    flood: Flood, rules: Rules, folder: Path, kills: dict[int, str] | None = None
) -> list[Event]:
    """Play the month through a book on disk, killed at the given steps; return the log."""
    kills = kills or {}
    store = SqliteStore(folder / "store", ManualClock(T0))
    book = AlarmBook(folder / "alarms.sqlite")
    for step in range(flood.steps):
        ts = flood.ts(step)
        risks = [
            risk_at(ts, float(flood.p[step, i]), asset=asset)
            for i, asset in enumerate(flood.assets)
        ]
        done = [
            Work(flood.assets[i], ts - HOUR_MS, ts, ()) for i in np.flatnonzero(flood.fails == step)
        ]
        for where in (kills[step], "") if step in kills else ("",):
            try:
                play_step(book, store, rules, risks, ts, done, where)
            except Killed:
                book.close()
                book = AlarmBook(folder / "alarms.sqlite")
    log = store.read_events(0, 1 << 60, kinds=["alarm"])
    assert book.undelivered() == 0
    book.close()
    store.close()
    return log


@pytest.fixture(scope="module")
def log(flood: Flood, rules: Rules, tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    return run(flood, rules, tmp_path_factory.mktemp("flood"))


def raised(log: list[Event]) -> Iterator[Event]:
    return (event for event in log if event.detail["action"] in {"raise", "reraise"})


def test_no_crew_gets_more_than_its_budget_in_any_seven_days(log: list[Event]) -> None:
    by_crew: dict[str, list[int]] = defaultdict(list)
    for event in raised(log):
        by_crew[event.detail["alarm"]["crew"]].append(event.ts_ms)
    assert len(by_crew) == SITES
    for times in by_crew.values():
        for start in times:
            assert sum(start <= ts < start + WEEK_MS for ts in times) <= BUDGET


def test_no_alarm_is_raised_twice(log: list[Event]) -> None:
    open_ids: dict[tuple[AssetPath, str], str] = {}
    for event in log:
        alarm = event.detail["alarm"]
        key = (event.asset, event.mode)
        if event.detail["action"] == "raise":
            assert key not in open_ids
            open_ids[key] = alarm["id"]
        elif event.detail["action"] != "hold":
            assert open_ids[key] == alarm["id"]
            if alarm["state"] == "closed":
                del open_ids[key]


def test_no_failure_is_missed_that_the_threshold_sees(flood: Flood, log: list[Event]) -> None:
    """A threshold sees a failure when the risk stays above it for the day before."""
    by_asset: dict[AssetPath, list[Event]] = defaultdict(list)
    for event in log:
        by_asset[event.asset].append(event)
    seen = missed = 0
    for i in np.flatnonzero(flood.fails >= 0):
        stop = int(flood.fails[i])
        if not np.all(flood.p[stop - 8 : stop, i] >= THRESHOLD):
            continue
        seen += 1
        before = [e for e in by_asset[flood.assets[i]] if e.ts_ms < flood.ts(stop)]
        states = {e.detail["alarm"]["id"]: e.detail["alarm"]["state"] for e in before}
        missed += not any(state in {"unacknowledged", "acknowledged"} for state in states.values())
    assert seen >= 40
    assert missed == 0


def test_the_bare_threshold_would_have_flooded_everybody(flood: Flood, log: list[Event]) -> None:
    above = flood.p >= THRESHOLD
    crossings = int((above[1:] & ~above[:-1]).sum())
    assert crossings > 50 * len(list(raised(log)))


def test_restarts_at_a_hundred_random_moments_change_nothing(
    flood: Flood, rules: Rules, log: list[Event], tmp_path: Path
) -> None:
    rng = random.Random(5)
    moments = rng.sample(range(flood.steps), 100)
    kills = {step: rng.choice(["inside", "after the transaction", "after all"]) for step in moments}
    assert run(flood, rules, tmp_path, kills) == log


def test_the_whole_month_is_a_month(flood: Flood) -> None:
    assert flood.steps * STEP_H * HOUR_MS == DAYS * DAY_MS
    assert len(flood.assets) == 1000

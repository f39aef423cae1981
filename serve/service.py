"""The service: at every step, readings become risks, risks become alarms, and the plant is told.

A step may be repeated, skipped or cut off anywhere: what is written twice is the same, what was not
written is made again.
"""

from __future__ import annotations

import importlib.metadata
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import structlog

from features.regime import RegimeModel
from features.table import FeatureTable
from models.registry import Registry
from models.settings import ModelSettings
from plant.asset import AssetPath
from plant.clock import Clock
from plant.config import Plant
from plant.errors import VigieError
from plant.event import Event
from plant.risk import Risk
from plant.times import DAY_MS, MINUTE_MS
from plant.topics import Topics
from serve import answers, messages
from serve.alarms.book import AlarmBook
from serve.alarms.desk import AlarmDesk
from serve.alarms.rules import Rules
from serve.alarms.state import Transition
from serve.board import Board
from serve.bridge import Bridge
from serve.discovery import discovery_items
from serve.judge import Evidence, gone, judge
from serve.publisher import Publisher
from serve.schedule import ScheduleSettings
from serve.scorer import Scored, Scorer
from serve.settings import ServeSettings
from serve.work import KINDS, Work, finished, under_work, works
from store.port import SeenAsset, Store

log = structlog.get_logger()

_POLL_S = 0.2
#: Work that began longer ago than this is not still going on.
_WORK_HISTORY_MS = 30 * DAY_MS
#: Finished work closes the alarms raised before it, also when its event arrives this late.
_DONE_HISTORY_MS = 7 * DAY_MS


class Job(Protocol):
    """What the service needs of the feature job."""

    def tick(self, now_ms: int) -> FeatureTable:
        """Return the newest closed rows of all machines."""
        ...

    def use_regimes(self, regimes: Mapping[str, RegimeModel]) -> None:
        """Make rows as these fitted models see them."""
        ...


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step did: new risks, what alarms did, how many risks were published."""

    risks: tuple[Risk, ...]
    transitions: tuple[Transition, ...]
    published: int


class Service:
    """Ties store, features, models, alarms and broker together. One thread calls `step`."""

    def __init__(
        self,
        store: Store,
        job: Job,
        registry: Registry,
        publisher: Publisher,
        plant: Plant,
        settings: ServeSettings,
        clock: Clock,
        *,
        alarms_path: Path,
        model_settings: ModelSettings | None = None,
        schedule_settings: ScheduleSettings | None = None,
    ) -> None:
        """Tell `publisher` which commands to listen for; it is to be started after this."""
        self.store = store
        self.publisher = publisher
        self.plant = plant
        self.settings = settings
        self.clock = clock
        self.topics = Topics(plant.root)
        #: Tells of the parts beside this one (ingest): figures by part, and what is wrong, if anything.
        self.other_health: Callable[[], tuple[dict[str, Any], str]] = lambda: ({}, "")
        self.desk = AlarmDesk(AlarmBook(alarms_path), Rules(plant, settings))
        self._job = job
        self.bridge = Bridge(
            self.desk,
            publisher,
            self.topics,
            clock.now_ms,
            answers.handlers(self, schedule_settings or ScheduleSettings()),
        )
        publisher.listen(Bridge.filters(self.topics))
        self._scorer = Scorer(registry, model_settings or ModelSettings())
        self._board = Board(settings.publish)
        self._started_ms = clock.now_ms()
        self._latest: dict[AssetPath, Risk] = {}
        self._registered: set[AssetPath] = set()
        self._loaded = False
        self._closed = False

    @property
    def latest(self) -> Mapping[AssetPath, Risk]:
        """The newest risk of every machine."""
        return self._latest

    def step(self, now_ms: int) -> StepResult:
        """Judge every machine as of `now_ms` and tell the plant.

        Raises VigieError, leaving nothing behind that the next step would not make good.
        """
        self._load()
        seen = {sight.asset: sight for sight in self.store.assets()}
        known = set(seen) | {AssetPath.parse(spec.path) for spec in self.plant.assets}
        self._register(seen)
        work = works(
            self.store.read_events(now_ms - _WORK_HISTORY_MS, now_ms + 1, kinds=KINDS),
            self.settings.maintenance_default_h,
        )
        if self._scorer.refresh():
            self._job.use_regimes(self._scorer.regimes())
        scored = self._scorer.score(self._job.tick(now_ms))
        # A connection that ended longer ago has left readings that are old by themselves.
        said_after_ms = now_ms - 2 * round(self.settings.publish.valid_min * MINUTE_MS)
        ended = gone(self.store.read_events(said_after_ms, now_ms + 1, kinds=("system",)))
        risks = self._judge(now_ms, known, seen, scored, under_work(work, now_ms), ended)
        done = finished(work, now_ms - _DONE_HISTORY_MS, now_ms)
        transitions = self.desk.advance(risks, now_ms, done)
        alarm_ids = self.desk.alarm_ids()
        risks = [replace(risk, alarm_id=alarm_ids.get(risk.asset, "")) for risk in risks]
        if risks:
            self.store.write_risks(risks)
        self._latest.update((risk.asset, risk) for risk in risks)
        self.desk.book.deliver(self.store)
        published = self._publish(now_ms, known, seen)
        self.publisher.beat()
        for step in transitions:
            log.info("alarm", action=step.action, asset=str(step.alarm.asset), mode=step.alarm.mode)
        return StepResult(tuple(risks), tuple(transitions), published)

    def run(self, stop: threading.Event) -> None:
        """Step until told to stop; a failing step is logged, shown in `health`, and tried again."""
        while not stop.is_set():
            try:
                self.step(self.clock.now_ms())
            except VigieError as error:
                log.warning("step failed", problem=str(error))
                self.say_health("error", str(error))
            except (
                Exception
            ) as error:  # a fault of the program must be seen, and not end the others
                log.exception("step failed")
                self.say_health("error", f"{type(error).__name__}: {error}")
            due = time.monotonic() + self.settings.interval_s
            while not stop.wait(_POLL_S) and time.monotonic() < due:
                self.poll()

    def tell_all_again(self) -> None:
        """Publish every risk at the next step, changed or not."""
        self._board = Board(self.settings.publish)

    def poll(self) -> int:
        """Carry out what people asked for over MQTT, and show what came of it; return how many."""
        try:
            done = self.bridge.poll()
            if self.desk.book.undelivered():
                self.desk.book.deliver(self.store)
        except VigieError as error:
            log.warning("commands wait", problem=str(error))
            return 0
        if done:
            self.publisher.put(self._alarm_items(self._latest))
        return done

    def close(self) -> None:
        """Stop cleanly: say so, then close. The store belongs to the caller. Twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self.say_health("stopped", "")
        self.publisher.stop()
        self.desk.book.close()

    def say_health(self, status: str, problem: str) -> None:
        """Publish how Vigie itself is, and how the parts beside this one are."""
        parts, troubles = self.other_health()
        if troubles and status == "ok":
            status, problem = "error", troubles
        item = messages.health_item(
            parts=parts,
            status=status,
            ts_ms=self.clock.now_ms(),
            risks=self._latest.values(),
            open_alarms=len(self.desk.book.open_alarms()),
            problem=problem,
        )
        self.publisher.put([item])

    def _load(self) -> None:
        """Go on where the last process stopped."""
        if self._loaded:
            return
        self._latest = {risk.asset: risk for risk in self.store.latest_risks()}
        self._loaded = True

    def _register(self, seen: Mapping[AssetPath, SeenAsset]) -> None:
        """Log machines that are not in plant.toml when they are first seen; twice is harmless."""
        fresh = [
            sight
            for asset, sight in seen.items()
            if asset not in self._registered and self.plant.asset(asset) is None
        ]
        self.store.write_events(
            [
                Event(
                    asset=sight.asset,
                    ts_ms=sight.first_ms,
                    kind="system",
                    key="registered",
                    who="vigie",
                    note="a machine that is not in plant.toml sent its first reading",
                    simulated=sight.simulated,
                    run_id=sight.run_id,
                )
                for sight in fresh
            ]
        )
        self._registered.update(seen)

    def _judge(
        self,
        now_ms: int,
        known: Iterable[AssetPath],
        seen: Mapping[AssetPath, SeenAsset],
        scored: Mapping[AssetPath, Scored],
        worked: Mapping[AssetPath, Work],
        ended: Collection[AssetPath],
    ) -> list[Risk]:
        """Return a risk for every machine that has a new one."""
        found = (
            judge(
                Evidence(
                    asset,
                    seen.get(asset),
                    scored.get(asset),
                    asset in worked,
                    self._latest.get(asset),
                    asset in ended,
                ),
                now_ms,
                self.plant,
                self.settings,
            )
            for asset in sorted(known)
        )
        return [risk for risk in found if risk is not None]

    def _publish(
        self, now_ms: int, known: Iterable[AssetPath], seen: Mapping[AssetPath, SeenAsset]
    ) -> int:
        due = self._board.due(self._latest.values())
        items: list[messages.Item] = []
        for risk in due:
            items += messages.risk_items(risk, self.topics)
        by_line: dict[str, list[Risk]] = {}
        for risk in self._latest.values():
            by_line.setdefault(risk.asset.line_path, []).append(risk)
        items += [
            messages.line_item(line, by_line[line], self.topics)
            for line in sorted({risk.asset.line_path for risk in due})
        ]
        items.append(
            messages.info_item(
                version=importlib.metadata.version("vigie"),
                started_ms=self._started_ms,
                root=self.plant.root,
                models=self._scorer.models(),
            )
        )
        items.append(messages.assets_item(known, seen, self.plant))
        items += self._alarm_items(known)
        if self.settings.publish.discovery:
            prefix = self.settings.publish.discovery_prefix
            for asset in known:
                items += discovery_items(asset, self.plant, self.topics, prefix)
        self.publisher.put(items)
        self.say_health("ok", "")
        return len(due)

    def _alarm_items(self, known: Iterable[AssetPath]) -> Sequence[messages.Item]:
        """Return the alarm message of every machine; the outbox sends what changed."""
        states = self.desk.book.states()
        return [
            messages.alarm_item(asset, states[asset].alarms if asset in states else (), self.topics)
            for asset in known
        ]

"""`vigie demo`: broker, past, model, then the plant live on the real pipeline, watched by a witness.

Vigie's clock is the plant's. It moves on by an hour when Vigie has stored that hour's readings and before
it judges the machines, so a slow computer takes longer but sees the same.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from models.pipeline import train_from_store
from plant.clock import ManualClock
from plant.times import DAY_MS, HOUR_MS, to_iso
from simulator.plant import Simulation, simulate
from simulator.player import Player
from store.port import Store
from vigie.context import Context
from vigie.demo.history import write_history
from vigie.demo.servers import Servers, demo_settings
from vigie.demo.story import Story
from vigie.mqtt import connected, player_broker
from vigie.runtime import open_intake, open_service, registry

_PUBLISH_WAIT_S = 30.0
#: Told what is being done and the share that is done.
Tell = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line says."""

    store: Literal["sqlite", "influx"] = "sqlite"
    seed: int = 1
    past_days: float = 100.0
    live_days: float = 30.0
    interval_s: float = 300.0
    first_hit: bool = False
    data_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Read back from the broker and the store, not from the simulator's intentions."""

    readings_published: int
    readings_stored: int
    risk_messages: int
    alarmed_at: str | None
    failed_at: str | None
    lead_hours: float | None
    wall_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        return asdict(self)


class Demo:
    """A demo from start to end: `prepare`, then `play`. Use as `with Demo.start(options) as demo`."""

    def __init__(self, options: DemoOptions, servers: Servers, data_dir: Path) -> None:
        self.options = options
        self.servers = servers
        self.story = Story()
        self.first_risk_s: float | None = None
        self._began = time.monotonic()
        self._data_dir = data_dir
        self._stopping = threading.Event()

    @classmethod
    @contextmanager
    def start(cls, options: DemoOptions) -> Iterator[Demo]:
        """Start the servers in a temporary folder (or the one given); stop them at the end."""
        with ExitStack() as stack:
            folder = options.data_dir
            if folder is None:
                folder = Path(
                    stack.enter_context(tempfile.TemporaryDirectory(prefix="vigie-demo-"))
                )
            servers = stack.enter_context(Servers(options.store, folder))
            yield cls(options, servers, folder)

    def stop(self) -> None:
        """Ask `play` to end soon; may be called from a signal handler."""
        self._stopping.set()

    def play(self, tell: Tell, show: Callable[[Story], None]) -> DemoResult:
        """Simulate the past, train, then play the plant until told to stop or out of days."""
        options = self.options
        tell(f"simulating {options.past_days:.0f} days of the plant's past", 0.0)
        compiler = _compile()
        past = simulate(
            "demo", seed=options.seed, days=options.past_days, interval_s=options.interval_s
        )
        clock = ManualClock(past.stop_ms)
        settings = demo_settings(self.servers, self._data_dir)
        context = Context(clock=clock)
        context.settings, context.plant = settings, past.live.plant
        store = context.open_store()
        try:
            write_history(store, past, lambda share: tell("writing the past into the store", share))
            compiler.wait()
            self._train(context, store, past, tell)
            self._live(context, store, past, clock, show)
            return self._result(store, past)
        finally:
            store.close()

    def _train(self, context: Context, store: Store, past: Simulation, tell: Tell) -> None:
        models = registry(context)
        for bundle in train_from_store(
            store,
            context.plant,
            context.settings.features,
            context.settings.model,
            now_ms=past.stop_ms,
            state_file=self._data_dir / "features" / "state.json",
            tell=lambda what, share: tell(f"training: {what}", share),
        ):
            models.add(bundle)
            models.promote(bundle.kind, bundle.model_id, past.stop_ms, who="demo", why="the first")

    def _live(
        self,
        context: Context,
        store: Store,
        past: Simulation,
        clock: ManualClock,
        show: Callable[[Story], None],
    ) -> None:
        broker = context.settings.broker
        root = context.plant.root
        filters = (f"{root}/+/+/+/telemetry", f"{root}/+/+/+/risk", f"{root}/+/+/+/event")
        with (
            connected(broker, "witness", filters=filters, see=self.story.see),
            open_intake(context) as intake,
            open_service(context, store) as service,
        ):

            def settled(now_ms: int) -> None:
                """Let Vigie catch up with the plant, then judge it."""
                for publisher in player.publishers:
                    publisher.drain()
                clock.advance_to(now_ms)
                intake.settle(player.stats.readings + player.stats.events)
                service.step(now_ms)
                service.publisher.wait_idle(_PUBLISH_WAIT_S)
                if self.first_risk_s is None:
                    self.first_risk_s = time.monotonic() - self._began
                show(self.story)
                if self._stopping.is_set() or (self.options.first_hit and self.story.first_hit):
                    player.stop()

            player = Player(past.live, player_broker(broker), step_ms=HOUR_MS, on_step=settled)
            player.run(past.stop_ms + round(self.options.live_days * DAY_MS))
            intake.settle(player.stats.readings + player.stats.events)

    def _result(self, store: Store, past: Simulation) -> DemoResult:
        hit = self.story.first_hit
        stored = sum(
            len(store.read_readings(seen.asset, past.stop_ms, seen.last_ms + 1).ts_ms)
            for seen in store.assets()
        )
        return DemoResult(
            readings_published=self.story.readings,
            readings_stored=stored,
            risk_messages=self.story.risk_messages,
            alarmed_at=to_iso(hit.alarmed_ms) if hit and hit.alarmed_ms is not None else None,
            failed_at=to_iso(hit.failed_ms) if hit else None,
            lead_hours=hit.lead_hours if hit else None,
            wall_s=round(time.monotonic() - self._began, 1),
        )


def _compile() -> subprocess.Popen[bytes]:
    """Begin to compile the features' kernels in a process of its own; only the first start needs it.

    It is as quiet as it is optional: what is wrong there shows again when the kernels are used here.
    """
    return subprocess.Popen(
        [sys.executable, "-c", "from features.warm import warm_up; warm_up()"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

"""How good and how fast the models are, on public data, beside the usual rivals.

Each case prints one JSON line or several. Settings were chosen by cross-validation on training
engines only (case `cv` prints the candidates); official test engines are used for the final figure.

    python -m benchmarks.bench_model --case cmapss-FD001 --case speed
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from benchmarks.model import (
    anomaly,
    azure,
    censoring,
    coldstart,
    midlife,
    milling,
    policy,
    speed,
    strangers,
    transfer,
)
from benchmarks.model.turbofan import MODEL, Turbofans, every_hour, official, turbofans
from benchmarks.report import data_dir, emit, say
from models.bundle import Bundle
from models.settings import ModelSettings
from models.train import train

#: Candidates of case `cv`, judged by folds of training engines.
CANDIDATES: dict[str, dict[str, Any]] = {
    "as-used": {},
    "hazard-alone": {"heads": 0},
    "bins-14": {"heads": 0, "bins": 14},
    "leaves-15": {"heads": 0, "num_leaves": 15},
    "slow": {"heads": 0, "learning_rate": 0.05, "max_rounds": 450},
}


def rounded(figures: dict[str, Any]) -> dict[str, Any]:
    """Round floats for people; everything else as it is."""
    return {k: round(float(v), 4) if isinstance(v, float) else v for k, v in figures.items()}


class Bench:
    """Reads each data set once, trains each model once."""

    def __init__(self, folder: Path, seed: int, quick: bool) -> None:
        self.folder, self.seed, self.quick = folder, seed, quick
        self._data: dict[str, Turbofans] = {}
        self._models: dict[str, tuple[Bundle, float, float]] = {}

    def data(self, subset: str) -> Turbofans:
        """Return a C-MAPSS subset with its features."""
        if subset not in self._data:
            began = time.perf_counter()
            self._data[subset] = turbofans(self.folder, subset)
            say(f"{subset}: features in {time.perf_counter() - began:.1f} s")
        return self._data[subset]

    def settings(self) -> ModelSettings:
        """Return the settings, the same for every subset."""
        changes: dict[str, Any] = {"seed": self.seed}
        if self.quick:
            changes |= {"max_rounds": 60, "heads": 0, "members": 1}
        return MODEL.model_copy(update=changes)

    def model(self, subset: str) -> tuple[Bundle, float, float]:
        """Return the model of a subset, and the seconds and processor seconds its training took."""
        if subset not in self._models:
            data = self.data(subset)
            began, busy = time.perf_counter(), time.process_time()
            bundle = train(data.train, data.events, data.plant, self.settings(), now_ms=0)
            took = time.perf_counter() - began, time.process_time() - busy
            self._models[subset] = (bundle, *took)
        return self._models[subset]

    def cmapss(self, subset: str) -> None:
        """Print the official figures of a subset."""
        bundle, seconds, busy = self.model(subset)
        m = bundle.metrics
        emit(
            "model",
            f"cmapss-{subset}",
            **official(bundle, self.data(subset)),
            **every_hour(bundle, self.data(subset)),
            cv_rmse_capped=m["rmse_capped_h"],
            cv_window_coverage=m["window_coverage"],
            train_s=round(seconds, 1),
            train_cpu_s=round(busy, 1),
            seed=self.seed,
            folds=bundle.lineage["folds"],
        )

    def cv(self, subset: str) -> None:
        """Print the candidates' held-out figures on training engines."""
        data = self.data(subset)
        for name, changes in CANDIDATES.items():
            settings = self.settings().model_copy(update=changes | {"members": 1})
            began = time.perf_counter()
            m = train(data.train, data.events, data.plant, settings, now_ms=0).metrics
            emit(
                "model", f"cv-{subset}-{name}", rmse_capped=m["rmse_capped_h"], skill=m["skill"],
                seconds=round(time.perf_counter() - began, 1), seed=self.seed, folds=settings.folds,
            )  # fmt: skip

    def censor(self) -> None:
        """Print the censoring comparisons on FD001."""
        for scenario in censoring.SCENARIOS:
            for codes in censoring.CODES:
                rivals = codes != "poorcodes" and not self.quick
                for name, f in censoring.run(
                    self.data("FD001"), scenario, codes, self.seed, rivals
                ):
                    label = scenario if codes == "nocodes" else f"{scenario}-{codes}"
                    emit("model", f"censor-{label}-{name}", **rounded(f), seed=self.seed)

    def azure(self) -> None:
        """Print Azure PdM at 24 h and 72 h."""
        for case, f in azure.run(self.folder, self.seed, self.quick):
            emit("model", case, **rounded(f), seed=self.seed, folds=1 if self.quick else 2)

    def nab(self) -> None:
        """Print NAB machine temperature."""
        for case, f in anomaly.nab(self.folder, self.seed):
            emit("model", case, **rounded(f), seed=self.seed)

    def deviation(self) -> None:
        """Print the deviation on machines it never saw."""
        for case, f in strangers.run(self.seed, self.quick):
            emit("model", f"deviation-{case}", **rounded(f), seed=self.seed)

    def skab(self) -> None:
        """Print SKAB valve 1."""
        for case, f in anomaly.skab(self.folder, self.seed):
            emit("model", case, **rounded(f), seed=self.seed)

    def ai4i(self) -> None:
        """Print AI4I."""
        for case, f in milling.run(self.folder, self.seed):
            emit("model", f"ai4i-{case}", **rounded(f), seed=self.seed, folds=5)

    def speed(self) -> None:
        """Print training and scoring speed."""
        subset = "FD001" if self.quick else "FD002"
        bundle, seconds, busy = self.model(subset)
        figures = speed.scoring(bundle, self.data(subset), 2_000 if self.quick else 20_000)
        emit(
            "model",
            f"speed-{subset}",
            train_s=round(seconds, 1),
            train_cpu_s=round(busy, 1),  # over both cores; what an idle machine needs is about half
            **rounded(figures),
            settings_of=f"cmapss-{subset}",  # the very model that gives those figures
            rmse_capped=official(bundle, self.data(subset))["rmse_capped"],
            seed=self.seed,
        )

    def policy(self) -> None:
        """Print what the predictions are worth on FD001."""
        for scenario in (None, "random"):
            r = policy.replay(self.data("FD001"), 3 if self.quick else 5, self.seed, scenario)
            for lead in (0, 10):
                for name, f in policy.policies(r, lead):
                    label = f"policy-lead{lead}" + ("" if scenario is None else "-censored")
                    emit(
                        "model",
                        f"{label}-{name}",
                        **rounded(f),
                        unplanned=policy.UNPLANNED,
                        seed=self.seed,
                    )

    def midlife(self, subset: str = "FD001") -> None:
        """Print machines connected in mid-life."""
        label = "midlife" if subset == "FD001" else f"midlife-{subset}"
        for case, f in midlife.run(self.data(subset), self.seed, self.quick):
            emit("model", f"{label}-{case}", **rounded(f), seed=self.seed)

    def transfer(self) -> None:
        """Print what failures borrowed from a simulated plant are worth."""
        for case, f in transfer.run(self.seed, self.quick):
            emit("model", f"transfer-{case}", **rounded(f), seed=self.seed)

    def coldstart(self) -> None:
        """Print a plant's first months: what it says, and how the first model takes over."""
        for case, f in coldstart.run(self.seed, self.quick):
            emit("model", f"coldstart-{case}", **rounded(f), seed=self.seed)


def main() -> None:
    """Run the cases asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--case", action="append", help="cmapss-FD001, censor, azure, … (repeatable)"
    )
    args = parser.parse_args()
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    bench = Bench(data_dir(), args.seed, args.quick)
    cases: dict[str, Callable[[], None]] = {
        "cmapss-FD001": lambda: bench.cmapss("FD001"),
        "cmapss-FD002": lambda: bench.cmapss("FD002"),
        "speed": bench.speed,
        "censor": bench.censor,
        "policy": bench.policy,
        "midlife": bench.midlife,
        "transfer": bench.transfer,
        "coldstart": bench.coldstart,
        "azure": bench.azure,
        "deviation": bench.deviation,
        "nab": bench.nab,
        "skab": bench.skab,
        "ai4i": bench.ai4i,
        "cv": lambda: [bench.cv(s) for s in ("FD001", "FD002")] and None,
    }
    for asked in args.case or [c for c in cases if c != "cv"]:
        found = cases.get(asked)
        if found is None and asked.startswith("cmapss-"):
            subset = asked.removeprefix("cmapss-")
            found = lambda s=subset: bench.cmapss(s)  # noqa: E731 - any other subset lying there
        elif found is None and asked.startswith("midlife-"):
            subset = asked.removeprefix("midlife-")
            found = lambda s=subset: bench.midlife(s)  # noqa: E731 - any other subset lying there
        if found is None:
            raise SystemExit(f"There is no case {asked!r}; there are: {', '.join(cases)}.")
        began = time.perf_counter()
        found()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        say(f"{asked}: {time.perf_counter() - began:.1f} s, peak memory so far {peak:.0f} MiB")


if __name__ == "__main__":
    main()

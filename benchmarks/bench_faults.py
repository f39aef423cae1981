"""Ten faults that must lose and double nothing: one JSON line each.

    python -m benchmarks.bench_faults [--quick] [--seed 1] [--cases ingest_kill,poison,…]

`published` is what the broker acknowledged to the publisher (for poison: all that was sent), `stored`
what was found in the end, compared row by row; `recovery_s` is p99 where there are rounds.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time

from benchmarks.report import emit, say
from vigie.logs import configure_logs

CASES = (
    "ingest_kill", "broker_kill", "influx_outage", "influx_misbehaves", "freeze", "disk_full",
    "journal_damage", "network", "callback_errors", "poison",
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--quick", action="store_true", help="short rounds: minutes instead of hours"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", default=",".join(CASES))
    options = parser.parse_args()
    configure_logs("critical")
    bad = 0
    for case in options.cases.split(","):
        began = time.monotonic()
        figures = dict(
            importlib.import_module(f"benchmarks.faults.{case}").run(options.quick, options.seed)
        )
        figures.pop("bench", None)
        emit("faults", figures.pop("case", case), **figures)
        say(f"{case}: {time.monotonic() - began:.0f} s")
        bad += bool(figures.get("lost") or figures.get("duplicated"))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

"""Is the plan good, proven and legal: optimiser, greedy, brute force, verifier, and a large plant.

    make bench B=schedule

- `greedy`: seeded instances of 4–15 jobs; `worse` counts those where the optimiser costs more than
  greedy, `rejected` those whose plan the verifier objects to, `off` those whose cost it adds up
  differently.
- `brute`: small instances against trying everything; `worse` counts differences.
- `large`: 200 jobs × 4 weeks × 5 crews on lines with one machine out at a time (the default);
  `large_shared` allows two at once on half of the lines, which is harder to prove. `seconds` is wall
  time, `cpu_seconds` what the process really got of the machine.
- `verifier`: plans broken on purpose, one rule each; `accepted` should be 0.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from benchmarks.report import emit, say
from benchmarks.schedule_broken import broken_plans
from benchmarks.schedule_brute import brute_force
from benchmarks.schedule_cases import make_request
from serve.schedule.explain import explain
from serve.schedule.job import Request
from serve.schedule.solve import Solution, solve_request
from serve.schedule.verify import Placed, Verdict, verify


def main() -> None:
    """Run all cases and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--only", default="", help="one case")
    parser.add_argument("--seconds", type=float, default=24.0, help="the solver's limit, if large")
    options = parser.parse_args()
    share = 10 if options.quick else 1
    cases = {
        "greedy": lambda: against_greedy(options.seed, 500 // share),
        "brute": lambda: against_brute(options.seed, 40 // share),
        "verifier": lambda: broken(options.seed, 100 // share),
        "large": lambda: large(options.seed, 1 if options.quick else 3, options.seconds, limit=1),
        "large_shared": lambda: large(options.seed, 1, options.seconds, limit=2),
    }
    for name, run in cases.items():
        if options.only in {"", name}:
            say(f"{name} …")
            run()


def against_greedy(seed: int, instances: int) -> None:
    """Never worse than greedy, always legal, and the verifier adds up the same cost."""
    worse = rejected = off = 0
    gains, gaps, seconds = [], [], []
    for number in range(instances):
        request = _medium(seed, number)
        solution = solve_request(request)
        verdict, _ = check(solution)
        cost = solution.board.total()
        worse += cost > solution.greedy_cost * (1 + 1e-9)
        rejected += bool(verdict.violations)
        off += abs(verdict.cost - solution.board.total(stability=False)) > 1e-6 * cost
        gains.append(1 - cost / solution.greedy_cost)
        gaps.append(solution.gap)
        seconds.append(solution.seconds)
    emit(
        "schedule", "greedy", instances=instances, worse=worse, rejected=rejected, off=off,
        better=int((np.array(gains) > 1e-9).sum()), mean_gain=round(float(np.mean(gains)), 4),
        gap=round(float(np.max(gaps)), 4), seconds=round(float(np.sum(seconds)), 1),
    )  # fmt: skip


def against_brute(seed: int, instances: int) -> None:
    """Equal to trying everything."""
    worse, seconds, largest = 0, 0.0, 0.0
    for number in range(instances):
        request = make_request(
            10_000 * seed + number, jobs=3 + number % 2, crews=2, per_line=2 + number % 3,
            horizon_d=2.5, limit=2, crew_size=1 + number % 2, gap=0.0, median_h=60,
        )  # fmt: skip
        best, _ = brute_force(request)
        solution = solve_request(request)
        excess = solution.board.total() / best - 1
        worse += abs(excess) > 1e-6
        largest = max(largest, abs(excess))
        seconds += solution.seconds
    emit(
        "schedule", "brute", instances=instances, worse=worse, gap=round(largest, 9),
        seconds=round(seconds, 1),
    )  # fmt: skip


def large(seed: int, instances: int, limit_s: float, *, limit: int) -> None:
    """A large plant within the time limit; the worst of the instances is reported."""
    found, cpu = [], []
    for number in range(instances):
        request = make_request(seed + number, limit=limit, median_h=1500, time_limit_s=limit_s)
        started = time.process_time()
        solution = solve_request(request)
        cpu.append(time.process_time() - started)
        verdict, placed = check(solution)
        found.append((solution, verdict, placed))
        say(f"  gap {solution.gap:.4f} in {solution.seconds:.1f} s")
    emit(
        "schedule", "large" if limit == 1 else "large_shared", instances=instances,
        worse=sum(s.board.total() > s.greedy_cost for s, _, _ in found),
        rejected=sum(bool(v.violations) for _, v, _ in found),
        jobs=len(found[0][0].options.jobs), crews=len(found[0][0].options.crews),
        options=len(found[0][0].options.job), planned=[len(p) for _, _, p in found],
        gap=round(max(s.gap for s, _, _ in found), 4),
        gaps=[round(s.gap, 4) for s, _, _ in found],
        gain_on_greedy=[round(1 - s.board.total() / s.greedy_cost, 4) for s, _, _ in found],
        seconds=round(max(s.seconds for s, _, _ in found), 1),
        cpu_seconds=round(max(cpu), 1),
    )  # fmt: skip


def broken(seed: int, instances: int) -> None:
    """Reject what is broken, by the rule that was broken."""
    rng = np.random.default_rng(seed)
    accepted = other_rule = tried = 0
    rules: set[str] = set()
    number = 0
    while tried < instances:
        solution = solve_request(_medium(seed, number))
        number += 1
        _, placed = check(solution)
        for rule, (request, plan) in broken_plans(solution.request, placed, rng):
            if tried == instances:
                break
            violations = verify(request, plan).violations
            tried += 1
            rules.add(rule)
            accepted += not violations
            other_rule += bool(violations) and rule not in {v.rule for v in violations}
    emit(
        "schedule", "verifier", instances=tried, accepted=accepted, other_rule=other_rule,
        rules=len(rules), worse=accepted,
    )  # fmt: skip


def check(solution: Solution) -> tuple[Verdict, list[Placed]]:
    """Ask the verifier."""
    placed = [
        Placed(line.id, line.crew, line.start_ms, line.stop_ms)
        for line in explain(solution.request, solution.board)
        if line.start_ms is not None and line.stop_ms is not None
    ]
    return verify(solution.request, placed), placed


def _medium(seed: int, number: int) -> Request:
    rng = np.random.default_rng([seed, number])
    return make_request(
        1_000 * seed + number,
        jobs=int(rng.integers(4, 16)),
        crews=int(rng.integers(1, 5)),
        per_line=int(rng.integers(2, 9)),
        horizon_d=float(rng.choice([5, 7, 10])),
        limit=int(rng.integers(1, 3)),
        crew_size=int(rng.integers(1, 4)),
        median_h=float(rng.choice([120, 450])),
        time_limit_s=2.0,
    )


if __name__ == "__main__":
    main()

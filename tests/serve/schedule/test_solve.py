import time

import numpy as np
import pytest

from benchmarks.bench_schedule import check
from benchmarks.schedule_broken import broken_plans
from benchmarks.schedule_brute import brute_force
from benchmarks.schedule_cases import make_request
from serve.schedule import search
from serve.schedule.greedy import board_of, greedy
from serve.schedule.options import make_options
from serve.schedule.program import build, solve
from serve.schedule.relax import relax
from serve.schedule.solve import solve_request
from serve.schedule.verify import verify


@pytest.mark.parametrize("seed", range(6))
def test_small_plans_equal_trying_everything(seed: int) -> None:
    request = make_request(
        seed, jobs=3, crews=2, per_line=2 + seed % 2, horizon_d=2.0, limit=2,
        crew_size=1 + seed % 2, gap=0.0, median_h=60,
    )  # fmt: skip
    best, placed = brute_force(request)
    assert solve_request(request).board.total() == pytest.approx(best, rel=1e-9)
    assert verify(request, placed).cost == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_plans_are_legal_never_worse_than_greedy_and_cost_what_the_verifier_says(seed: int) -> None:
    request = make_request(
        seed, jobs=10, crews=1 + seed % 4, per_line=4, horizon_d=6, limit=2, time_limit_s=3.0,
        median_h=200,
    )  # fmt: skip
    solution = solve_request(request)
    verdict, _ = check(solution)
    assert verdict.violations == ()
    assert verdict.cost == pytest.approx(solution.board.total(), rel=1e-9)
    assert solution.board.total() <= solution.greedy_cost + 1e-6
    assert solution.bound <= solution.board.total() + 1e-6


def test_greedy_alone_is_legal_too() -> None:
    request = make_request(5, jobs=40, crews=3, per_line=5, horizon_d=10, optimise=False)
    solution = solve_request(request)
    assert solution.method == "greedy"
    assert check(solution)[0].violations == ()


def test_the_large_strategy_reaches_the_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    request = make_request(
        3, jobs=14, crews=3, per_line=5, horizon_d=7, limit=1, gap=0.002, time_limit_s=6.0
    )
    whole = solve_request(request)
    monkeypatch.setattr(search, "SMALL", 0)
    parts = solve_request(request)
    assert parts.bound <= whole.board.total() + 1e-6
    assert parts.board.total() <= whole.board.total() * 1.02
    assert check(parts)[0].violations == ()


def test_the_bound_of_the_relaxation_is_below_every_plan() -> None:
    request = make_request(4, jobs=5, crews=2, per_line=4, horizon_d=4, limit=2)
    options = make_options(request)
    program = build(request, options)
    relaxed = relax(
        program, options, greedy(request, options).chosen, deadline=time.monotonic() + 20
    )
    exact = solve(program, options, 10.0, 0.0)
    assert relaxed is not None
    assert exact.chosen is not None
    assert relaxed.bound <= board_of(request, options, exact.chosen).total() + 1e-6


def test_the_same_request_gives_the_same_plan() -> None:
    request = make_request(6, jobs=8, crews=2, per_line=4, horizon_d=6)
    one, two = solve_request(request), solve_request(request)
    assert one.board.chosen.tolist() == two.board.chosen.tolist()


def test_every_broken_plan_is_rejected_by_the_rule_it_breaks() -> None:
    rng = np.random.default_rng(0)
    seen: set[str] = set()
    for seed in range(6):
        request = make_request(
            seed, jobs=12, crews=3, per_line=4, horizon_d=7, limit=2, optimise=False
        )
        _, placed = check(solve_request(request))
        assert verify(request, placed).violations == ()
        for rule, (asked, plan) in broken_plans(request, placed, rng):
            found = {violation.rule for violation in verify(asked, plan).violations}
            assert found, rule
            seen.add(rule)
    assert len(seen) >= 13


def test_a_job_longer_than_a_shift_goes_on_at_the_next_and_the_machine_is_out_meanwhile() -> None:
    request = make_request(1, jobs=1, crews=1, per_line=1, horizon_d=7, limit=1)
    from dataclasses import replace

    long = replace(request.jobs[0], duration_h=12.0, skill="mechanic", crew_size=1)
    request = replace(request, jobs=(long,))
    solution = solve_request(request)
    option = int(solution.board.chosen[0])
    assert option >= 0
    assert len(solution.options.worked(option)) == 12
    assert solution.options.stop[option] - solution.options.start[option] > 12
    assert check(solution)[0].violations == ()

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulator.trace import Trace

START = 1_767_571_200_000.0
knots = st.lists(
    st.tuples(st.integers(1, 10_000), st.floats(-5, 5, allow_subnormal=False)),
    min_size=2,
    max_size=12,
)


@given(knots)
def test_samples_agree_with_interpolation(steps: list[tuple[int, float]]) -> None:
    t = START + np.cumsum([float(s) for s, _ in steps])
    v = np.array([value for _, value in steps])
    trace = Trace(START, v[0])
    trace.plan(t, v)
    at = np.linspace(START - 10, t[-1] + 500, 257)
    got = np.broadcast_to(np.asarray(trace.sample(at)), at.shape)
    np.testing.assert_allclose(got, np.interp(at, t, v), atol=1e-9)
    assert [trace.value(x) for x in at] == got.tolist()


@given(knots, st.integers(1, 50_000), st.integers(1, 200))
def test_a_window_holds_the_bits_of_the_whole(
    steps: list[tuple[int, float]], cut: int, piece: int
) -> None:
    t = START + np.cumsum([float(s) for s, _ in steps])
    trace = Trace(START, 1.0)
    trace.plan(t, [value for _, value in steps])
    trace.plan([START + cut, START + cut + 100], [2.0, 3.0])
    at = np.linspace(START, t[-1] + 500, 300)
    whole = np.broadcast_to(np.asarray(trace.sample(at)), at.shape)
    for first in range(0, 300, piece):
        window = at[first : first + piece]
        got = np.broadcast_to(np.asarray(trace.sample(window)), window.shape)
        assert np.array_equal(got, whole[first : first + piece])


def test_a_new_plan_leaves_the_past_alone() -> None:
    trace = Trace(0.0, 0.0)
    trace.plan([0.0, 100.0], [0.0, 10.0])
    trace.plan([50.0], [5.0])
    assert trace.value(25.0) == 2.5
    assert trace.value(1_000.0) == 5.0

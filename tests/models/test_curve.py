from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bins import bin_offsets, expand, make_edges
from models.curve import SurvivalCurves, from_hazards
from plant.errors import DataError

EDGES = np.array([0.0, 10.0, 30.0, 100.0])


def test_exponential_life_is_read_back_exactly() -> None:
    rate = 0.02
    curves = SurvivalCurves(EDGES, np.exp(-rate * EDGES)[None, :])
    assert curves.p_fail(np.array([5.0, 25.0, 100.0])) == pytest.approx(
        1 - np.exp(-rate * np.array([[5, 25, 100]]))
    )
    assert curves.quantile_h(0.5) == pytest.approx(np.log(2) / rate)
    assert curves.restricted_mean_h() == pytest.approx((1 - np.exp(-rate * 100)) / rate)
    assert curves.restricted_mean_h(17.0) == pytest.approx((1 - np.exp(-rate * 17)) / rate)


def test_nothing_is_claimed_past_the_last_edge() -> None:
    curves = SurvivalCurves(EDGES, np.array([[1.0, 0.99, 0.98, 0.97]]))
    assert np.isnan(curves.at(101.0)).all()
    assert np.isinf(curves.quantile_h(0.5)).all()


def test_certain_life_has_a_flat_curve() -> None:
    curves = from_hazards(EDGES, np.zeros((2, 3)))
    assert curves.restricted_mean_h() == pytest.approx([100.0, 100.0])


def test_stretching_time_scales_quantiles() -> None:
    curves = SurvivalCurves(EDGES, np.exp(-0.05 * EDGES)[None, :])
    slower = curves.rescaled(np.array([2.0]))
    assert slower.quantile_h(0.5) == pytest.approx(2 * np.log(2) / 0.05)


def test_edges_must_rise_from_zero() -> None:
    with pytest.raises(DataError, match="rise from 0"):
        SurvivalCurves(np.array([1.0, 2.0]), np.ones((1, 2)))


@given(st.lists(st.floats(0, 0.9), min_size=3, max_size=3), st.floats(0.01, 0.99))
def test_quantile_and_probability_agree(hazards: list[float], q: float) -> None:
    curves = from_hazards(EDGES, np.array([hazards]))
    hours = curves.quantile_h(q)[0]
    if np.isfinite(hours):
        assert curves.p_fail(hours)[0, 0] == pytest.approx(q, abs=1e-6)
    else:
        assert 1 - curves.survival[0, -1] < q + 1e-9
    assert np.all(np.diff(curves.survival) <= 1e-12)


def test_edges_are_finer_near_the_present() -> None:
    edges = make_edges(200.0, 20)
    assert edges[0] == 0
    assert edges[-1] == 200
    assert np.all(np.diff(edges, 2) > 0)


@given(st.integers(30, 2000), st.integers(4, 30))
def test_hours_asked_for_are_edges_and_answers_there_are_kept(horizon_h: int, bins: int) -> None:
    asked = [float(h) for h in (8, 24, 72, 168) if h < horizon_h]
    edges = make_edges(float(horizon_h), bins, (8, 24, 72, 168))
    assert set(asked) <= set(edges.tolist())
    assert edges[0] == 0
    assert edges[-1] == horizon_h
    assert np.all(np.diff(edges) > 0)
    assert bins + 1 <= len(edges) <= bins + 1 + len(asked)
    p = np.linspace(0.02, 0.7, len(asked))[None, :]
    curves = SurvivalCurves(edges, np.exp(-edges / 300.0)[None, :]).through(asked, p)
    assert curves.p_fail(asked) == pytest.approx(p)


def test_expansion_of_worked_landmarks() -> None:
    periods = expand(np.array([5.0, 30.0, 20.0, 500.0]), np.array([True, True, False, True]), EDGES)
    got = list(
        zip(
            periods.row.tolist(),
            periods.bin.tolist(),
            periods.y.tolist(),
            periods.weight.tolist(),
            strict=True,
        )
    )
    assert got == [
        (0, 0, 1.0, 1.0),                        # failed in the first bin
        (1, 0, 0.0, 1.0), (1, 1, 1.0, 1.0),      # failed at the upper edge of the second
        (2, 0, 0.0, 1.0), (2, 1, 0.0, 0.5),      # censored half-way through the second
        (3, 0, 0.0, 1.0), (3, 1, 0.0, 1.0), (3, 2, 0.0, 1.0),  # outlived the horizon
    ]  # fmt: skip


def test_offsets_are_kaplan_meier() -> None:
    periods = expand(np.array([5.0] * 30 + [500.0] * 70), np.ones(100, bool), EDGES)
    hazard = 1 / (1 + np.exp(-bin_offsets(periods, 3)))
    assert hazard[0] == pytest.approx(30.5 / 101)
    assert hazard[2] == pytest.approx(0.5 / 71)


@given(
    st.lists(st.floats(0, 0.9), min_size=6, max_size=6),
    st.lists(st.floats(1e-4, 0.999), min_size=3, max_size=3).map(sorted),
)
def test_a_curve_is_bent_through_probabilities(hazards: list[float], wanted: list[float]) -> None:
    edges = np.array([0.0, 5.0, 10.0, 30.0, 50.0, 100.0, 200.0])
    curves = from_hazards(edges, np.array([hazards]))
    hours = (8.0, 30.0, 60.0)  # within a bin, on an edge, within one
    bent = curves.through(hours, np.array([wanted]))
    assert bent.p_fail(8.0)[0, 0] == pytest.approx(wanted[0], rel=1e-6)
    assert bent.p_fail(30.0)[0, 0] >= wanted[1] - 1e-6
    if (
        bent.p_fail(10.0)[0, 0] < wanted[1]
    ):  # the bin of 8 h does not reach past what is wanted at 30 h
        assert bent.p_fail(30.0)[0, 0] == pytest.approx(wanted[1], rel=1e-6)
    assert np.all(np.diff(bent.survival) <= 0)
    past = slice(-2, None)  # the hazard past the last hour's bin is as it was
    if hazards[-1] < 0.9 and bent.survival[0, -1] > 1e-6:
        ratio = [c.survival[0, past][1] / c.survival[0, past][0] for c in (curves, bent)]
        assert ratio[0] == pytest.approx(ratio[1], rel=1e-4)

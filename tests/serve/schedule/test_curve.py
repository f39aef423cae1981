import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.schedule.curve import Survival
from tests.serve.schedule.cases import curve

CURVES = st.lists(
    st.tuples(st.floats(0.5, 2000), st.floats(0, 1)),
    min_size=1,
    max_size=12,
    unique_by=lambda p: p[0],
)


def _naive_life_left(survival: Survival, t: float) -> float:
    """E[(T − t)+] by the midpoint rule on a fine grid, the tail by its formula."""
    end = max(float(survival.hours[-1]), t)
    edges = np.linspace(t, end, 200_001)
    inside = float(survival.alive((edges[1:] + edges[:-1]) / 2).mean()) * (end - t)
    later = survival.alive(np.array([end, end + 1.0]))
    return inside + float(later[0]) / float(np.log(later[0] / later[1]))


@pytest.mark.parametrize("t", [0.0, 5.0, 100.0, 900.0, 1500.0])
def test_life_left_is_the_area_under_the_rest_of_the_curve(t: float) -> None:
    survival = Survival(curve(200), longest_h=4000)
    assert float(survival.life_left(t)) == pytest.approx(_naive_life_left(survival, t), rel=1e-4)


def test_a_curve_made_earlier_is_conditioned_on_still_running() -> None:
    fresh, old = Survival(curve(200)), Survival(curve(200), age_h=48)
    assert float(old.alive(24)) == pytest.approx(float(fresh.alive(72) / fresh.alive(48)))


def test_age_beyond_the_curve_keeps_the_tail() -> None:
    assert 0 < float(Survival(curve(200), age_h=5000).alive(100)) < 1


@given(CURVES, st.floats(0, 500))
def test_any_curve_becomes_a_falling_one(points: list[tuple[float, float]], age: float) -> None:
    survival = Survival(points, age)
    alive = survival.alive(np.linspace(0, 3000, 50))
    assert alive[0] == pytest.approx(1)
    assert (np.diff(alive) <= 1e-12).all()
    assert ((alive >= 0) & (alive <= 1 + 1e-12)).all()
    assert np.isfinite(survival.life_left(np.linspace(0, 3000, 50))).all()

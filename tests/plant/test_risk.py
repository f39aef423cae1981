from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant.asset import AssetPath
from plant.errors import DataError
from plant.risk import Driver, ModeRisk, Risk, Window, risk_from_dict, risk_to_dict

moments = st.integers(min_value=0, max_value=4_000_000_000_000)
share = st.floats(0, 1)
windows = st.builds(
    Window, st.none() | moments, st.none() | moments, st.none() | moments, st.booleans()
)
drivers = st.builds(
    Driver,
    st.just("flow"),
    st.just("flow.24h.slope"),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.just("m3/h/h"),
    st.floats(-10, 10),
    st.sampled_from(["rising", "falling", "high", "low", "other"]),
)


@st.composite
def risks(draw: st.DrawFn) -> Risk:
    known = draw(st.booleans())
    return Risk(
        asset=AssetPath("lyon", "l1", "pump-3"),
        ts_ms=draw(moments),
        valid_until_ms=draw(moments),
        status="ok" if known else draw(st.sampled_from(["stale", "deviation_only", "maintenance"])),
        severity=draw(st.sampled_from(["normal", "advisory", "warning", "critical"])),
        p_fail=draw(st.fixed_dictionaries({8: share, 24: share})) if known else None,
        window=draw(windows) if known else None,
        mode=draw(st.none() | st.builds(ModeRisk, st.just("BRD"), st.text(max_size=20), share)),
        drivers=tuple(draw(st.lists(drivers, max_size=3))),
        deviation=draw(st.none() | st.floats(0, 100)),
        sentence=draw(st.text(max_size=50)),
        action="",
        alarm_id="",
        model_id="m1",
        model_trained_ms=draw(st.none() | moments),
        simulated=draw(st.booleans()),
        run_id="",
    )


@given(risks())
def test_a_risk_survives_being_written_and_read(risk: Risk) -> None:
    assert risk_from_dict(risk_to_dict(risk)) == risk


@given(risks())
def test_a_risk_that_says_ok_must_have_figures(risk: Risk) -> None:
    fields = {name: getattr(risk, name) for name in Risk.__slots__}
    with pytest.raises(DataError):
        Risk(**(fields | {"status": "ok", "p_fail": None, "window": None}))


def test_another_schema_is_refused() -> None:
    with pytest.raises(DataError, match=r"vigie\.risk\.v1"):
        risk_from_dict({"schema": "other"})

"""What people are told about a machine."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant.risk import Driver, Risk
from plant.times import HOUR_MS, MINUTE_MS
from serve.assess import to_risk, without_assessment
from serve.settings import ServeSettings, SeveritySettings, Thresholds
from serve.severity import grade, p_within, rank
from serve.wording import number, percent
from tests.serve.examples import PLANT, PUMP, T0, assessment, risk_at

SETTINGS = ServeSettings()


def told(p: float = 0.62, **changes: object) -> Risk:
    return to_risk(assessment(p, **changes), PLANT, SETTINGS)  # type: ignore[arg-type]


def test_the_sentence_of_the_contract() -> None:
    settings = ServeSettings(severity=SeveritySettings(thresholds=Thresholds(warning=0.3)))
    risk = to_risk(assessment(0.62), PLANT, settings)
    assert risk.sentence == (
        "62 % likely to fail within 7 days, most likely by bearing wear: "
        "vibration rms has risen 0.11 mm/s/h for a day."
    )
    assert risk.severity == "warning"
    assert risk.action == "Replace the bearing, best within 2 d 12 h (6 h, mechanic)."
    assert risk.valid_until_ms == T0 + 60 * MINUTE_MS


def test_a_calm_machine_gets_a_calm_sentence_and_no_action() -> None:
    risk = told(0.004, quantiles_h=(math.inf,) * 3)
    assert risk.sentence == "Less than 1 % likely to fail within 7 days."
    assert (risk.severity, risk.action) == ("normal", "")
    assert risk.window is not None
    assert risk.window.p50_ms is None


def test_a_median_nearer_than_the_lead_time_is_critical() -> None:
    assert told(0.3, quantiles_h=(2.0, 20.0, 90.0)).severity == "critical"
    assert told(0.3, quantiles_h=(2.0, 25.0, 90.0)).severity == "advisory"


def test_without_a_probability_there_is_no_window_and_the_status_says_why() -> None:
    for p_fail in (None, {}, {24: math.nan}):
        risk = told(p_fail=p_fail)
        assert (risk.status, risk.p_fail, risk.window) == ("insufficient_data", None, None)
        assert risk.severity == "normal"
        assert "Not enough" in risk.sentence


def test_horizons_past_the_model_are_left_out() -> None:
    assert told(p_fail={24: 0.4, 72: 0.6, 168: math.nan}).p_fail == {24: 0.4, 72: 0.6}


def test_a_machine_without_a_model_is_judged_by_its_deviation() -> None:
    changes = {"status": "deviation_only", "p_fail": None, "edges_h": None, "survival": None}
    odd = told(deviation=3.5, **changes)
    assert (odd.status, odd.severity, odd.p_fail) == ("deviation_only", "warning", None)
    assert "3.5 times as far" in odd.sentence
    assert told(deviation=0.5, **changes).severity == "normal"


def test_a_driving_sensor_at_fault_makes_the_risk_unknown() -> None:
    risk = to_risk(assessment(), PLANT, SETTINGS, faults={"vibration_rms": "stuck"})
    assert (risk.status, risk.p_fail, risk.drivers) == ("sensor_fault", None, ())
    assert "vibration rms (stuck)" in risk.sentence
    other = to_risk(assessment(), PLANT, SETTINGS, faults={"flow": "stuck"})
    assert other.status == "ok"
    assert other.sentence.endswith("Sensor at fault: flow (stuck).")


def test_silence_and_maintenance_speak_for_themselves() -> None:
    stale = without_assessment(PUMP, T0, "stale", PLANT, SETTINGS, last_ms=T0 - 3 * HOUR_MS)
    assert stale.sentence.startswith(
        "No reading for 3 h; the last one is from 2025-11-22T05:26:40Z."
    )
    assert stale.p_fail is None
    assert "never" not in stale.sentence
    work = without_assessment(PUMP, T0, "maintenance", PLANT, SETTINGS)
    assert "worked on" in work.sentence


@pytest.mark.parametrize(
    ("driver", "phrase"),
    [
        (
            Driver("flow", "flow.6h.slope", -2.5, "m3/h/h", 0.2, "falling"),
            "flow has fallen 2.5 m3/h/h for 6 hours",
        ),
        (
            Driver("temperature", "temperature.24h.mean", 91.25, "°C", 0.2, "high"),
            "temperature is high (91.2 °C, mean over a day)",
        ),
        (Driver("flow", "flow.7d.missing", None, "", 0.2, "other"), "flow has been missing"),
        (Driver("speed", "speed", 1480.0, "rpm", 0.2, "low"), "speed is low (1,480 rpm)"),
    ],
)
def test_drivers_in_words(driver: Driver, phrase: str) -> None:
    sentence = told(0.9, drivers=(driver,)).sentence
    assert sentence.endswith(f"bearing wear: {phrase}.")


@given(st.floats(min_value=0, max_value=1))
def test_no_percentage_is_a_confident_one(p: float) -> None:
    assert percent(p) not in {"0 %", "100 %"}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_short(value: float) -> None:
    assert len(number(value)) <= 10


@given(
    st.floats(0, 1), st.floats(0, 1), st.sampled_from(["normal", "advisory", "warning", "critical"])
)
def test_severity_rises_with_probability_and_holding(p: float, q: float, held: str) -> None:
    def of(value: float, before: str = "normal") -> int:
        return rank(
            grade(value, None, Thresholds(), hysteresis=0.2, lead_time_h=24, held=before)  # type: ignore[arg-type]
        )

    low, high = sorted((p, q))
    assert of(low) <= of(high)
    assert of(p) <= of(
        p, held
    )  # hysteresis only ever keeps a severity, never adds above the held one
    assert of(p, held) <= max(of(p), rank(held))  # type: ignore[arg-type]


def test_hysteresis_keeps_a_severity_until_well_below_its_threshold() -> None:
    before = told(0.72)  # 36 % within 72 h
    assert before.severity == "warning"
    assert to_risk(assessment(0.66), PLANT, SETTINGS, previous=before).severity == "warning"
    assert to_risk(assessment(0.66), PLANT, SETTINGS).severity == "advisory"
    assert to_risk(assessment(0.54), PLANT, SETTINGS, previous=before).severity == "advisory"


def test_probabilities_between_known_hours_come_from_the_curve() -> None:
    risk = told(0.62)
    assert p_within(risk, 72) == pytest.approx(0.31)
    assert p_within(risk, 48) == pytest.approx((0.62 / 7 + 0.31) / 2)
    assert p_within(risk, 1000) == pytest.approx(0.62)
    assert p_within(replace(risk, curve=()), 72) == pytest.approx(0.31)
    assert p_within(risk_at(T0, None, status="stale"), 72) == 0


def test_kinds_may_have_thresholds_of_their_own() -> None:
    own = SeveritySettings(kinds={"pump": Thresholds(advisory=0.01, warning=0.02, critical=0.03)})
    assert to_risk(assessment(0.2), PLANT, ServeSettings(severity=own)).severity == "critical"

"""What a risk says to people: one sentence with the likelihood, the mode and the main driver. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from plant.config import KindSpec
from plant.risk import Driver, ModeRisk, Severity, Status
from plant.times import HOUR_MS, format_duration, to_iso

_SPANS = {"1h": "an hour", "24h": "a day", "1d": "a day", "168h": "7 days"}


def percent(p: float) -> str:
    """Write a probability for people; never a confident 0 % or 100 %."""
    if p < 0.01:
        return "less than 1 %"
    if p > 0.99:
        return "more than 99 %"
    return f"{p:.0%}".replace("%", " %")


def number(value: float) -> str:
    """Write a value with three significant digits and without exponents where people read it."""
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        digits = 0 if abs(value) >= 100 else (1 if abs(value) >= 10 else 2)
        if abs(value) < 0.1:
            return f"{value:.3g}" if abs(value) >= 1e-3 else f"{value:.2g}"
        text = f"{value:,.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.2g}"


def span(hours: float) -> str:
    """Write a horizon: `8 hours`, `24 hours`, `3 days`, `7 days`."""
    if hours >= 48 and hours % 24 == 0:
        return f"{hours / 24:.0f} days"
    return f"{hours:g} hours"


def driver_phrase(driver: Driver) -> str:
    """Say what a signal does: `vibration rms has risen 0.11 mm/s/h for a day`."""
    _, window, stat = _feature_parts(driver)
    name = driver.signal.replace("_", " ")
    unit = f" {driver.unit}" if driver.unit else ""
    window = window.removeprefix("ewm")
    during = _SPANS.get(window, span_of_window(window))
    if driver.value is None:
        return (
            f"{name} has been missing"
            if driver.direction == "other"
            else f"{name} is {driver.direction}"
        )
    if stat == "slope" and driver.direction in {"rising", "falling"}:
        moved = "risen" if driver.direction == "rising" else "fallen"
        return f"{name} has {moved} {number(abs(driver.value))}{unit}" + (
            f" for {during}" if during else ""
        )
    what = stat.replace("_", " ") if stat else ""
    over = " over ".join(part for part in (what, during) if part)
    detail = f"{number(driver.value)}{unit}" + (f", {over}" if over else "")
    state = "unusual" if driver.direction == "other" else driver.direction
    return f"{name} is {state} ({detail})"


def span_of_window(window: str) -> str:
    """Write a feature's window, `6h` or `7d`, in words; empty when there is none."""
    units = {"h": "hours", "d": "days", "min": "minutes", "m": "minutes"}
    digits = window.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = window[len(digits) :]
    return f"{digits} {units[unit]}" if digits.isdigit() and unit in units else ""


def _feature_parts(driver: Driver) -> tuple[str, str, str]:
    """Split `vibration_rms.24h.slope` into signal, window, statistic; missing parts are empty."""
    parts = driver.feature.split(".")
    if len(parts) >= 3:
        return parts[0], parts[1], ".".join(parts[2:])
    return parts[0], "", parts[1] if len(parts) == 2 else ""


def main_driver(drivers: Sequence[Driver]) -> Driver | None:
    """Return the driver that pushes the risk up most, if any does."""
    pushing = [driver for driver in drivers if driver.contribution > 0]
    return max(pushing, key=lambda driver: driver.contribution, default=None)


def risk_sentence(
    p: float, hours: float, mode: ModeRisk | None, drivers: Sequence[Driver], severity: Severity
) -> str:
    """Say how likely a failure is; by what and why only when there is something to say."""
    likely = percent(p)
    text = f"{likely[0].upper()}{likely[1:]} likely to fail within {span(hours)}"
    if severity == "normal":
        return f"{text}."
    if mode is not None:
        text += f", most likely by {mode.label}"
    driver = main_driver(drivers)
    return f"{text}: {driver_phrase(driver)}." if driver is not None else f"{text}."


def deviation_sentence(deviation: float, drivers: Sequence[Driver], severity: Severity) -> str:
    """Say how far a machine without a model is from its own healthy behaviour."""
    if severity == "normal":
        return "No model for this machine yet; it behaves as it did when healthy."
    text = (
        "No model for this machine yet; it is "
        f"{number(deviation)} times as far from healthy behaviour as healthy machines get"
    )
    driver = main_driver(drivers)
    return f"{text}: {driver_phrase(driver)}." if driver is not None else f"{text}."


def status_sentence(
    status: Status, ts_ms: int, last_ms: int | None, faults: Mapping[str, str]
) -> str:
    """Say why there is no probability. faults: signal to what is wrong with its sensor."""
    if status == "stale":
        if last_ms is None:
            return "No reading has arrived from this machine yet."
        silence = format_duration(max(ts_ms - last_ms, 0))
        return f"No reading for {silence}; the last one is from {to_iso(last_ms)}."
    if status == "sensor_fault":
        return f"It cannot be judged while sensors are at fault: {_faulty(faults)}."
    return {
        "insufficient_data": "Not enough readings yet to judge this machine.",
        "maintenance": "The machine is out of service or being worked on; it is judged again afterwards.",
        "deviation_only": "No model for this machine yet.",
        "ok": "",
    }[status]


def with_note(sentence: str, note: str, faults: Mapping[str, str]) -> str:
    """Add what people should know besides."""
    if faults:
        sentence += f" Sensor at fault: {_faulty(faults)}."
    text = note.strip()
    return f"{sentence} {text[0].upper()}{text[1:]}" if text else sentence


def _faulty(faults: Mapping[str, str]) -> str:
    parts = [
        f"{name.replace('_', ' ')} ({how.replace('_', ' ')})"
        for name, how in sorted(faults.items())
    ]
    return ", ".join(parts[:4]) + (f" and {len(parts) - 4} more" if len(parts) > 4 else "")


def action_for(
    status: Status, severity: Severity, mode: ModeRisk | None, kind: KindSpec, p50_h: float | None
) -> str:
    """Say what to do next, from the mode's own action in plant.toml where it has one."""
    if status == "stale":
        return "Check the machine's power, network and gateway."
    if status == "sensor_fault":
        return "Check the sensor and its cable."
    if status in {"insufficient_data", "maintenance"} or severity == "normal":
        return ""
    spec = kind.modes.get(mode.code) if mode is not None else None
    if spec is None:
        return "Inspect the machine." if mode is None else f"Inspect the machine for {mode.label}."
    what = spec.action.rstrip(".") or f"Repair {spec.label}"
    if severity == "critical":
        when = " now"
    elif p50_h is not None:
        when = f", best within {format_duration(p50_h / 2 * HOUR_MS)}"
    else:
        when = ""
    return f"{what}{when} ({number(spec.duration_h)} h, {spec.skill})."

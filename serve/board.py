"""Which risks are worth publishing: those that changed, and the others once per heartbeat. Pure state."""

from __future__ import annotations

from collections.abc import Iterable

from plant.asset import AssetPath
from plant.risk import Risk, Window
from plant.times import HOUR_MS, MINUTE_MS
from serve.settings import PublishSettings

_Face = tuple[object, ...]


class Board:
    """Remembers what the plant was told last, by asset."""

    def __init__(self, settings: PublishSettings) -> None:
        self._heartbeat_ms = round(settings.heartbeat_min * MINUTE_MS)
        self._told: dict[AssetPath, tuple[_Face, int]] = {}

    def due(self, risks: Iterable[Risk]) -> list[Risk]:
        """Return the risks to publish now and take them as told."""
        news: list[Risk] = []
        for risk in risks:
            face = _face(risk)
            told = self._told.get(risk.asset)
            if told is None or told[0] != face or risk.ts_ms - told[1] >= self._heartbeat_ms:
                self._told[risk.asset] = (face, risk.ts_ms)
                news.append(risk)
        return news


def _face(risk: Risk) -> _Face:
    """Return what a person would call a change: whole percents and hours, not the last digit."""
    p_fail = (
        None if risk.p_fail is None else tuple((h, round(p, 2)) for h, p in risk.p_fail.items())
    )
    mode = "" if risk.mode is None else risk.mode.code
    return (
        risk.status, risk.severity, risk.alarm_id, risk.model_id, mode, p_fail, _hours(risk.window),
        risk.run_id,
    )  # fmt: skip


def _hours(window: Window | None) -> tuple[object, ...] | None:
    if window is None:
        return None
    points = (window.p10_ms, window.p50_ms, window.p90_ms)
    return tuple(None if ms is None else round(ms / HOUR_MS) for ms in points)

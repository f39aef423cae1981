"""Who answers for a machine's alarms, and by which rules they are raised. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from plant.asset import AssetPath
from plant.config import CrewSpec, ModeSpec, Plant
from plant.times import HOUR_MS, MINUTE_MS
from serve.settings import ServeSettings


@dataclass(frozen=True)
class Rules:
    """The plant and the settings, as the state machine asks them."""

    plant: Plant
    settings: ServeSettings

    @cached_property
    def _kinds(self) -> dict[str, str]:
        """Kind by path; asked for at every observation of every machine."""
        return {spec.path: spec.kind for spec in self.plant.assets}

    @cached_property
    def _crews(self) -> dict[tuple[AssetPath, str], str]:
        return {}

    def kind(self, asset: AssetPath) -> str:
        """Return the machine's kind, `unknown` when it registered itself."""
        return self._kinds.get(str(asset), "unknown")

    def on_delay_ms(self, *, critical: bool) -> int:
        """How long a condition must hold before it becomes an alarm."""
        alarms = self.settings.alarms
        return round(
            (alarms.critical_on_delay_min if critical else alarms.on_delay_min) * MINUTE_MS
        )

    @property
    def off_delay_ms(self) -> int:
        """How long it must be gone before the alarm returns to normal."""
        return round(self.settings.alarms.off_delay_min * MINUTE_MS)

    @property
    def mode_change_ms(self) -> int:
        """How long another mode must be the likeliest to get an alarm beside the open one."""
        return round(self.settings.alarms.mode_change_h * HOUR_MS)

    @property
    def close_returned_ms(self) -> int:
        """How long an alarm that returned to normal waits to be acknowledged."""
        return round(self.settings.alarms.close_returned_h * HOUR_MS)

    @property
    def gap_ms(self) -> int:
        """The longest silence across which a delay goes on."""
        return round(self.settings.alarms.stale_observation_h * HOUR_MS)

    def crew(self, asset: AssetPath, mode: str) -> str:
        """Return the name of the crew that gets the alarm; empty when nobody is responsible."""
        if (asset, mode) not in self._crews:
            spec = crew_for(self.plant, asset, mode)
            self._crews[asset, mode] = spec.name if spec is not None else ""
        return self._crews[asset, mode]

    def budget(self, crew: str) -> float:
        """Return how many alarms a week a crew can take."""
        spec = next((spec for spec in self.plant.crews if spec.name == crew), None)
        return spec.alarm_budget_per_week if spec else self.settings.alarms.budget_per_week

    def is_clear(self, asset: AssetPath, p: float) -> bool:
        """Tell whether a mean probability is above the warning threshold by more than its hysteresis."""
        severity = self.settings.severity
        return p >= severity.of_kind(self.kind(asset)).warning * (1.0 + severity.hysteresis)

    def loss(self, asset: AssetPath, mode: str) -> float:
        """Return what an unplanned failure costs more than a planned repair, stoppage included."""
        spec = self.mode_spec(asset, mode)
        stoppage = self.plant.line_spec(asset).stoppage_cost_per_h
        return max(
            spec.unplanned_cost + stoppage * spec.corrective_duration_h - spec.planned_cost, 0.0
        )

    def mode_spec(self, asset: AssetPath, mode: str) -> ModeSpec:
        """Return the mode's description; a plain one for a mode that is not configured."""
        kind = self.plant.kinds.get(self.kind(asset))
        return (kind.modes.get(mode) if kind else None) or ModeSpec(label=mode)


def crew_for(plant: Plant, asset: AssetPath, mode: str) -> CrewSpec | None:
    """Return the first crew of the site with the mode's skill, else the first of the site."""
    here = [crew for crew in plant.crews if crew.site in {None, asset.site}]
    spec = plant.kind_spec(asset).modes.get(mode)
    skilled = [crew for crew in here if spec is not None and spec.skill in crew.skills]
    return next(iter(skilled or here), None)

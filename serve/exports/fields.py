"""The plan's own columns: name, heading in three languages, value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from plant.config import Plant
from serve.schedule.plan import Plan, PlannedJob
from serve.schedule.words import STATES, Language, sentence

Value = str | float | int | bool | datetime | None


@dataclass(frozen=True, slots=True)
class Source:
    """What a cell is made from. Dates are in the zone of the job's site."""

    job: PlannedJob
    plan: Plan
    plant: Plant
    language: Language

    def local(self, ts_ms: int | None) -> datetime | None:
        """Return a moment in the site's zone."""
        if ts_ms is None:
            return None
        zone = self.plant.timezone(self.job.asset.site)
        return datetime.fromtimestamp(ts_ms / 1000, UTC).astimezone(zone)

    @property
    def priority(self) -> int:
        """1 (urgent) to 4 (low) by the probability of failing within a week of the slot."""
        p = self.job.p_fail_week_later
        return 1 if p >= 0.5 else 2 if p >= 0.25 else 3 if p >= 0.1 else 4

    @property
    def parts(self) -> str:
        """The parts as text: `2 × seal, 1 × bearing`."""
        return ", ".join(f"{count} × {name}" for name, count in sorted(self.job.parts.items()))

    @property
    def mark(self) -> str:
        """`[simulated]` for a plan that no real machine asked for."""
        return f"[simulated {self.job.run_id}] ".replace(" ]", "]") if self.job.simulated else ""

    @property
    def title(self) -> str:
        """One line for a work order: what is to be done, where."""
        what = self.job.action.rstrip(".") or self.job.label
        return f"{self.mark}{what} – {self.job.asset}"

    @property
    def text(self) -> str:
        """The work order's description: why, evidence, parts, key."""
        pieces = [sentence(self.job, self.plant, self.language), self.job.evidence, self.parts]
        return self.mark + " ".join(piece for piece in pieces if piece) + f" ({self.job.key})"


@dataclass(frozen=True, slots=True)
class Field:
    """A column: its name in the own format, its headings, its width in a workbook, its value."""

    name: str
    headings: Mapping[Language, str]
    width: int
    value: Callable[[Source], Value]


def _field(
    name: str, en: str, fr: str, de: str, width: int, value: Callable[[Source], Value]
) -> Field:
    return Field(name, {"en": en, "fr": fr, "de": de}, width, value)


def _rounded(name: str, digits: int) -> Callable[[Source], Value]:
    def value(source: Source) -> Value:
        return round(float(getattr(source.job, name)), digits)

    return value


FIELDS: tuple[Field, ...] = (
    _field("key", "Key", "Clé", "Schlüssel", 17, lambda s: s.job.key),
    _field("asset", "Asset", "Machine", "Maschine", 26, lambda s: str(s.job.asset)),
    _field("mode", "Mode", "Mode", "Modus", 9, lambda s: s.job.mode),
    _field("label", "Failure mode", "Défaillance", "Schadensbild", 22, lambda s: s.job.label),
    _field("action", "Action", "Action", "Maßnahme", 32, lambda s: s.job.action),
    _field("state", "State", "État", "Status", 12, lambda s: STATES[s.language][s.job.state]),
    _field("crew", "Crew", "Équipe", "Trupp", 14, lambda s: s.job.crew),
    _field("start", "Start", "Début", "Beginn", 17, lambda s: s.local(s.job.start_ms)),
    _field("stop", "End", "Fin", "Ende", 17, lambda s: s.local(s.job.stop_ms)),
    _field("duration_h", "Hours", "Heures", "Stunden", 9, lambda s: s.job.duration_h),
    _field("skill", "Skill", "Compétence", "Fähigkeit", 13, lambda s: s.job.skill),
    _field("crew_size", "People", "Personnes", "Personen", 9, lambda s: s.job.crew_size),
    _field("parts", "Parts", "Pièces", "Teile", 18, lambda s: s.parts),
    _field(
        "p_fail",
        "P(failure before)",
        "P(panne avant)",
        "P(Ausfall vorher)",
        13,
        _rounded("p_fail_before", 4),
    ),
    _field(
        "p_fail_week",
        "P(failure, a week later)",
        "P(panne, une semaine après)",
        "P(Ausfall, eine Woche später)",
        13,
        _rounded("p_fail_week_later", 4),
    ),
    _field(
        "wait_cost",
        "Cost of waiting a week",
        "Coût d’une semaine d’attente",
        "Kosten einer Woche Warten",
        14,
        _rounded("wait_cost", 2),
    ),
    _field(
        "expected_cost",
        "Expected cost",
        "Coût attendu",
        "Erwartete Kosten",
        13,
        _rounded("expected_cost", 2),
    ),
    _field(
        "stoppage_h",
        "Stoppage hours",
        "Heures d’arrêt",
        "Stillstandsstunden",
        11,
        _rounded("stoppage_h", 3),
    ),
    _field("why", "Why", "Pourquoi", "Warum", 70, lambda s: sentence(s.job, s.plant, s.language)),
    _field("evidence", "Evidence", "Indices", "Anzeichen", 60, lambda s: s.job.evidence),
    _field("revision", "Revision", "Révision", "Revision", 9, lambda s: s.job.revision),
    _field("simulated", "Simulated", "Simulé", "Simuliert", 10, lambda s: s.job.simulated),
    _field("run_id", "Run", "Exécution", "Lauf", 14, lambda s: s.job.run_id),
)

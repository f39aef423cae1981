"""What the plan says to people, in English, French and German."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from plant.config import Plant
from serve.schedule.plan import PlannedJob

Language = Literal["en", "fr", "de"]
LANGUAGES: tuple[Language, ...] = ("en", "fr", "de")

_DAYS: Mapping[Language, str] = {
    "en": "Mon Tue Wed Thu Fri Sat Sun",
    "fr": "lun. mar. mer. jeu. ven. sam. dim.",
    "de": "Mo Di Mi Do Fr Sa So",
}
_DATE: Mapping[Language, str] = {"en": "%d %b %H:%M", "fr": "%d/%m à %H:%M", "de": "%d.%m. %H:%M"}
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

STATES: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "proposed": "proposed",
        "pinned": "pinned",
        "later": "later",
        "cancelled": "cancelled",
        "done": "done",
    },
    "fr": {
        "proposed": "proposé",
        "pinned": "fixé",
        "later": "plus tard",
        "cancelled": "annulé",
        "done": "fait",
    },
    "de": {
        "proposed": "vorgeschlagen",
        "pinned": "fixiert",
        "later": "später",
        "cancelled": "storniert",
        "done": "erledigt",
    },
}
_REASONS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "break": "the line stands still then anyway, so it costs no stoppage",
        "together": "the line is stopped for {others} that day, so it shares the restart",
        "parts": "the parts are there only then",
        "pinned": "the planner fixed it",
        "after_rejection": "it was rejected until then",
        "cheapest": "risk, stoppage and life thrown away are lowest together there",
        "crowded": "it is the cheapest slot that crews and line leave free",
        "later": "waiting beyond the horizon is cheaper than any slot",
        "no_crew": "no crew with the skill, the people and the hours can do it",
        "done": "the work was reported",
        "failed_before": "the machine failed before",
        "not_needed": "the risk has fallen",
    },
    "fr": {
        "break": "la ligne est de toute façon arrêtée, l’intervention ne coûte aucun arrêt",
        "together": "la ligne est arrêtée ce jour-là pour {others}, le redémarrage est partagé",
        "parts": "les pièces ne sont là qu’à ce moment",
        "pinned": "le planificateur l’a fixé",
        "after_rejection": "il a été refusé jusque-là",
        "cheapest": "risque, arrêt et durée de vie perdue y sont ensemble les plus faibles",
        "crowded": "c’est le créneau le moins cher que les équipes et la ligne laissent libre",
        "later": "attendre au-delà de l’horizon coûte moins que tout créneau",
        "no_crew": "aucune équipe n’a la compétence, l’effectif et les heures",
        "done": "le travail a été déclaré",
        "failed_before": "la machine est tombée en panne avant",
        "not_needed": "le risque a baissé",
    },
    "de": {
        "break": "die Linie steht dann ohnehin, es kostet keinen Stillstand",
        "together": "die Linie steht an dem Tag für {others}, der Wiederanlauf wird geteilt",
        "parts": "die Teile sind erst dann da",
        "pinned": "der Planer hat es fixiert",
        "after_rejection": "es war bis dahin abgelehnt",
        "cheapest": "Risiko, Stillstand und verschenkte Lebensdauer sind dort zusammen am kleinsten",
        "crowded": "es ist der günstigste Termin, den Trupps und Linie frei lassen",
        "later": "Warten über den Horizont hinaus ist günstiger als jeder Termin",
        "no_crew": "kein Trupp hat Fähigkeit, Leute und Stunden dafür",
        "done": "die Arbeit wurde gemeldet",
        "failed_before": "die Maschine fiel vorher aus",
        "not_needed": "das Risiko ist gesunken",
    },
}
_PARTS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "why": "Why {when}: {reason}.",
        "why_none": "No slot: {reason}.",
        "closed": "{state}: {reason}.",
        "wait": "Waiting a week would cost {cost} more (probability of failing before: {p} instead of {q}).",
        "wait_gain": "Waiting a week would cost {cost} less, were the slot free (probability of failing "
        "before: {p} instead of {q}).",
        "moved": "Moved from {old}: the job gains {gain}.",
        "made_room": "Moved from {old} to make room, at {gain}.",
        "displaced": "It took the slot that {others} would have had.",
        "displaced_by": "It gave way to {others}, at {cost}.",
    },
    "fr": {
        "why": "Pourquoi {when} : {reason}.",
        "why_none": "Aucun créneau : {reason}.",
        "closed": "{state} : {reason}.",
        "wait": "Attendre une semaine coûterait {cost} de plus (probabilité de panne avant : {p} au lieu "
        "de {q}).",
        "wait_gain": "Attendre une semaine coûterait {cost} de moins, si le créneau était libre "
        "(probabilité de panne avant : {p} au lieu de {q}).",
        "moved": "Déplacé depuis {old} : gain de {gain}.",
        "made_room": "Déplacé depuis {old} pour faire place, au prix de {gain}.",
        "displaced": "Il a pris le créneau qu’aurait eu {others}.",
        "displaced_by": "Il a cédé la place à {others}, au prix de {cost}.",
    },
    "de": {
        "why": "Warum {when}: {reason}.",
        "why_none": "Kein Termin: {reason}.",
        "closed": "{state}: {reason}.",
        "wait": "Eine Woche Warten würde {cost} mehr kosten (Wahrscheinlichkeit, vorher auszufallen: {p} "
        "statt {q}).",
        "wait_gain": "Eine Woche Warten würde {cost} weniger kosten, wäre der Termin frei "
        "(Wahrscheinlichkeit, vorher auszufallen: {p} statt {q}).",
        "moved": "Verschoben von {old}: Gewinn {gain}.",
        "made_room": "Verschoben von {old}, um Platz zu machen, für {gain}.",
        "displaced": "Es nahm den Termin, den {others} gehabt hätte.",
        "displaced_by": "Es wich {others}, für {cost}.",
    },
}


def sentence(job: PlannedJob, plant: Plant, language: Language = "en") -> str:
    """Return why the job stands where it stands, what waiting would cost and whom it displaced."""
    say = _PARTS[language]
    zone = plant.timezone(job.asset.site)
    reason = _REASONS[language].get(job.reason, job.reason).format(others=_list(job.together_with))
    if job.state in {"cancelled", "done"}:
        state = STATES[language][job.state]
        return say["closed"].format(state=state[0].upper() + state[1:], reason=reason)
    if job.start_ms is None:
        return say["why_none"].format(reason=reason)
    said = [say["why"].format(when=when(job.start_ms, zone, language), reason=reason)]
    said.append(
        say["wait" if job.wait_cost >= 0 else "wait_gain"].format(
            cost=money(abs(job.wait_cost), plant.currency, language),
            p=percent(job.p_fail_week_later, language),
            q=percent(job.p_fail_before, language),
        )
    )
    if job.moved_from_ms is not None:
        said.append(
            say["moved" if job.gain >= 0 else "made_room"].format(
                old=when(job.moved_from_ms, zone, language),
                gain=money(abs(job.gain), plant.currency, language),
            )
        )
    if job.displaced:
        said.append(say["displaced"].format(others=_list(job.displaced)))
    if job.displaced_by:
        cost = money(job.displaced_cost, plant.currency, language)
        said.append(say["displaced_by"].format(others=_list(job.displaced_by), cost=cost))
    return " ".join(said)


def when(ts_ms: int, zone: ZoneInfo, language: Language) -> str:
    """Return a moment in local time: `Mon 23 Mar 08:00`."""
    here = datetime.fromtimestamp(ts_ms / 1000, UTC).astimezone(zone)
    text = here.strftime(_DATE[language].replace("%b", _MONTHS[here.month - 1]))
    return f"{_DAYS[language].split()[here.weekday()]} {text}"


def money(amount: float, currency: str, language: Language) -> str:
    """Return an amount in whole units with the language's thousands mark."""
    mark = {"en": ",", "fr": "\u202f", "de": "."}[language]
    return f"{amount:,.0f}".replace(",", mark) + f" {currency}"


def percent(p: float, language: Language) -> str:
    """Return a probability for people: never 0 % or 100 % of something uncertain."""
    text = f"{100 * p:.0f}"
    if p > 0 and text == "0":
        text = "<1"
    elif p < 1 and text == "100":
        text = ">99"
    return f"{text}\u00a0%" if language != "en" else f"{text} %"


def _list(names: tuple[str, ...]) -> str:
    short = [name.rsplit("/", 1)[-1] for name in names]
    return ", ".join(short[:4]) + (f" (+{len(short) - 4})" if len(short) > 4 else "")

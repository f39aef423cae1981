"""Words that maintenance systems use, in English, French and German, folded by `columns.fold`."""

from __future__ import annotations

from collections.abc import Mapping

#: Headers that usually mean a field; the first that a list has is taken.
USUAL: Mapping[str, tuple[str, ...]] = {
    field: tuple(words.split())
    for field, words in {
        "asset": "asset asset_id assetid asset_number assetnum equipment equipement machine anlage "
        "maschine actif technischer_platz functional_location",
        "done": "done completed_on completed completion_date date_completed datecompleted "
        "actual_finish actfinish actual_end_date finish date_de_fin termine_le erledigt_am "
        "abgeschlossen",
        "start": "start actual_start actstart actstartdate actual_start_date start_date "
        "scheduled_start date_de_debut beginn date",
        "kind": "kind event type work_type worktype order_type art",
        "mode": "mode failure_mode failurecode failure_code mode_de_defaillance schadensbild cause",
        "found": "found condition as_found found_condition condition_code etat_constate befund",
        "planned": "planned is_planned planifie geplant",
        "duration_h": "duration_h duration hours labor_hours downtime duree_h duree dauer_h dauer",
        "note": "note notes description shorttext short_text text title titre titel summary",
        "key": "key work_order wonum order ponumber wo_number numero auftrag id",
        "job": "job external_key external_id custom_id vigie_key reference cle_externe "
        "externer_schluessel",
        "who": "who technician completed_by assigned_to technicien techniker",
    }.items()
}


def _table(**groups: str) -> Mapping[str, str]:
    return {word: meaning for meaning, words in groups.items() for word in words.split()}


#: What the crew found.
FOUND_WORDS = _table(
    failed="failed broken defaillant en_panne ausgefallen defekt",
    degraded="degraded worn degrade use verschlissen beschadigt",
    sound="sound ok good sain bon in_ordnung i_o",
    unknown="unknown inconnu unbekannt",
)
#: What happened.
KIND_WORDS = _table(
    failure="failure breakdown panne ausfall storung",
    maintenance="maintenance corrective preventive pm cm repair reparatur wartung entretien "
    "reparation instandsetzung",
    inspection="inspection inspektion",
    stop="stop arret halt",
    start="start demarrage anlauf",
)
#: Yes and no, lower case.
_BOOL = _table(
    yes="1 true yes y x oui vrai ja wahr planned planifie planifié geplant",
    no="0 false no n non faux nein falsch unplanned imprévu ungeplant",
)
TRUE_WORDS = frozenset(word for word, meaning in _BOOL.items() if meaning == "yes")
FALSE_WORDS = frozenset(word for word, meaning in _BOOL.items() if meaning == "no")

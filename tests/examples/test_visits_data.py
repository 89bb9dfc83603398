"""What examples/visits/README.md promises of the clinic notes, as far as a program can see it."""

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

VISITS = Path(__file__).parents[2] / "examples" / "visits" / "visits.jsonl"
FIELDS = ["patient_name", "age", "diagnosis", "medication", "follow_up_days"]

# Typos the notes make on purpose: the record holds the right spelling, the note does not.
DIAGNOSIS_TYPOS = {
    "otits": "otitis",
    "contolled": "controlled",
    "fascitis": "fasciitis",
    "sholder": "shoulder",
    "impetago": "impetigo",
    "syndrom": "syndrome",
    "inguinel": "inguinal",
    "gastroentritis": "gastroenteritis",
    "psorisis": "psoriasis",
    "costocondritis": "costochondritis",
    "hyponatraema": "hyponatraemia",
    "hypotention": "hypotension",
    "impacton": "impaction",
    "appendisitis": "appendicitis",
    "ulcr": "ulcer",
    "peritonsilar": "peritonsillar",
    "noctural": "nocturnal",
    "prostatits": "prostatitis",
    "concusion": "concussion",
    "periodontits": "periodontitis",
    "pyelonephrits": "pyelonephritis",
    "anxeity": "anxiety",
    "constipaton": "constipation",
    "hypersensetivity": "hypersensitivity",
    "extrena": "externa",
    "traumtic": "traumatic",
    "pnuemonia": "pneumonia",
    "retension": "retention",
}
MEDICATION_TYPOS = {
    "amoxicilin": "amoxicillin",
    "doxycyline": "doxycycline",
    "doxycyclin": "doxycycline",
    "ibuprofn": "ibuprofen",
    "ibuprofin": "ibuprofen",
    "flucloxacilin": "flucloxacillin",
    "sertaline": "sertraline",
    "prednisalone": "prednisolone",
    "naproxin": "naproxen",
    "phenoxymethylpenicilin": "phenoxymethylpenicillin",
    "levothyroxin": "levothyroxine",
    "paracetmol": "paracetamol",
}


@pytest.fixture(scope="module")
def visits() -> list[dict[str, Any]]:
    return [json.loads(line) for line in VISITS.read_text(encoding="utf-8").splitlines()]


def spelled(note: str, typos: dict[str, str]) -> str:
    """The note in lower case with its listed typos put right."""
    return re.sub(r"\w+", lambda word: typos.get(word[0], word[0]), note.lower())


def holds_word(note: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word.lower())}(?!\w)", note.lower()) is not None


def test_there_are_enough_visits_with_the_promised_keys(visits: list[dict[str, Any]]) -> None:
    assert len(visits) >= 300
    assert {tuple(visit) for visit in visits} == {("patient_id", "note", "record")}
    assert {tuple(visit["record"]) for visit in visits} == {tuple(FIELDS)}


def test_every_field_has_its_type_and_range(visits: list[dict[str, Any]]) -> None:
    wrong = []
    for number, visit in enumerate(visits, 1):
        record = visit["record"]
        medication, follow_up = record["medication"], record["follow_up_days"]
        if not (
            re.fullmatch(r"p\d{3}", visit["patient_id"])
            and type(record["age"]) is int
            and 0 <= record["age"] <= 97
            and 1 <= len(record["diagnosis"].split()) <= 5
            and (medication is None or (medication and all(medication.split(", "))))
            and (follow_up is None or (type(follow_up) is int and 1 <= follow_up <= 365))
            and all(text == text.strip() for text in (visit["note"], record["patient_name"], record["diagnosis"]))
        ):
            wrong.append((number, record))
    assert wrong == []


def test_no_note_appears_twice(visits: list[dict[str, Any]]) -> None:
    notes = [" ".join(visit["note"].lower().split()) for visit in visits]
    assert len(set(notes)) == len(notes)


def test_a_patient_id_is_one_person_and_a_person_one_id(visits: list[dict[str, Any]]) -> None:
    names, ids = defaultdict(set), defaultdict(set)
    for visit in visits:
        names[visit["patient_id"]].add(visit["record"]["patient_name"])
        ids[visit["record"]["patient_name"]].add(visit["patient_id"])
    assert [found for found in names.values() if len(found) > 1] == []
    assert [found for found in ids.values() if len(found) > 1] == []


def test_every_word_of_the_name_stands_in_the_note(visits: list[dict[str, Any]]) -> None:
    missing = [
        (number, word)
        for number, visit in enumerate(visits, 1)
        for word in visit["record"]["patient_name"].split()
        if not holds_word(visit["note"], word)
    ]
    assert missing == []


def test_every_diagnosis_is_a_span_of_its_note(visits: list[dict[str, Any]]) -> None:
    missing = [
        (number, visit["record"]["diagnosis"])
        for number, visit in enumerate(visits, 1)
        if not holds_word(visit["note"], visit["record"]["diagnosis"])
        and not holds_word(spelled(visit["note"], DIAGNOSIS_TYPOS), visit["record"]["diagnosis"])
    ]
    assert missing == []


def test_medications_stand_in_the_note_in_its_order(visits: list[dict[str, Any]]) -> None:
    wrong = []
    for number, visit in enumerate(visits, 1):
        note = spelled(visit["note"], MEDICATION_TYPOS)
        names = (visit["record"]["medication"] or "").lower().split(", ")
        places = [note.find(name) for name in names]
        if -1 in places or places != sorted(places):
            wrong.append((number, visit["record"]["medication"]))
    assert wrong == []


def test_every_listed_typo_is_made_somewhere(visits: list[dict[str, Any]]) -> None:
    words = {word for visit in visits for word in re.findall(r"\w+", visit["note"].lower())}
    assert (DIAGNOSIS_TYPOS.keys() | MEDICATION_TYPOS.keys()) - words == set()


def test_the_hard_cases_are_well_represented(visits: list[dict[str, Any]]) -> None:
    records = [visit["record"] for visit in visits]
    share = 1 / len(records)
    assert share * sum(record["medication"] is None for record in records) > 0.15
    assert share * sum(record["follow_up_days"] is None for record in records) > 0.15
    assert share * sum(", " in (record["medication"] or "") for record in records) > 0.15

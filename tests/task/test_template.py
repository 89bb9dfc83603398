from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftkit import ConfigError
from ftkit.task.template import Template

ROW: dict[str, Any] = {
    "note": "Fieber, 39°",
    "patient": {"name": "Zoë", "age": 41, "odd key": "x"},
    "drugs": ["a", {"name": "b"}],
    "none": None,
    "two words": "2",
    "day": dt.date(2024, 1, 2),
    "": "blank",
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{note}", "Fieber, 39°"),
        ("Note: {note}!", "Note: Fieber, 39°!"),
        ("{ note }", "Fieber, 39°"),
        ("{two words}", "2"),
        ("{patient.name} ({patient[age]})", "Zoë (41)"),
        ("{patient[odd key]}{patient.odd key}", "xx"),
        ("{patient}", '{"name": "Zoë", "age": 41, "odd key": "x"}'),
        ("{drugs}", '["a", {"name": "b"}]'),
        ("{drugs[0]}{drugs[1].name}", "ab"),
        ("<{none}>", "<>"),
        ("{day}", "2024-01-02"),
        ('{{"a": {patient.age}}}', '{"a": 41}'),
        ("}}{{{note}", "}{Fieber, 39°"),
        ("{[two words]}", "2"),
    ],
)
def test_values_are_put_in(source: str, text: str) -> None:
    assert Template(source).render(ROW) == text


def test_values_are_not_templates_themselves() -> None:
    assert Template("{note}").render({"note": "{x} {{y}} {0.__class__}"}) == "{x} {{y}} {0.__class__}"


def test_attributes_of_objects_are_out_of_reach() -> None:
    for source in ("{note.__class__}", "{patient.keys}", "{day.year}", "{drugs.append}", "{drugs[-1]}"):
        with pytest.raises(ConfigError, match="has no"):
            Template(source).render(ROW)


def test_columns_are_named_once_in_their_order() -> None:
    assert Template("{b} {a.x} {b[0]}").columns == ("b", "a")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("note", "reads no column"),
        ("", "reads no column"),
        ("{{note}}", "reads no column"),
        ("{}", "a field without a name"),
        ("{note", "not closed"),
        ("a {note}}", "at character 9, .*closes nothing"),
        ("{a{b}}", "not closed"),
        ("{note:>10}", "formats"),
        ("{note!r}", "conversions"),
        ('{"a": 1}', "for a brace itself write it twice"),
        ("{a..b}", "no column"),
        ("{.a}", "no column"),
        ("{a[b}", "no column"),
        ("{a[]}", "no column"),
        ("{a[b]c}", "no column"),
    ],
)
def test_a_template_that_makes_no_sense_is_refused(source: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Template(source)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{text}", 'reads the column "text", and the row has no such column; its columns are: note, patient'),
        ("{patient.nmae}", '"patient" has no "nmae": its keys are: name, age, odd key'),
        ("{drugs[7]}", '"drugs" has no "7": it is a list of 2'),
        ("{none.x}", '"none" has no "x": it is empty'),
        ("{note.x}", '"note" has no "x": it is a str'),
    ],
)
def test_what_a_row_lacks_is_named_with_what_it_has(source: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why.replace("[", r"\[")):
        Template(source).render(ROW)


def test_values_without_a_json_form_are_refused() -> None:
    for value in (object(), float("nan"), {"x": float("inf")}):
        with pytest.raises(ConfigError, match='column "a" cannot be put into the prompt'):
            Template("{a}").render({"a": value})


@given(st.text(), st.text())
def test_any_text_round_trips_through_escapes_and_values(literal: str, value: str) -> None:
    source = literal.replace("{", "{{").replace("}", "}}") + "{a}"
    assert Template(source).render({"a": value}) == literal + value


@given(st.text(alphabet="{}[].:!ab "))
def test_any_template_is_read_or_refused(source: str) -> None:
    try:
        template = Template(source)
    except ConfigError:
        return
    assert template.columns

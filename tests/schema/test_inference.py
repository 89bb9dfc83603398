from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ftkit as ft
from ftkit.schema import ChoiceOutput, JsonOutput, TextOutput, infer_output

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(["a", "b", "c", "$ref", "type", ""])
RECORDS = st.dictionaries(KEYS, JSON, max_size=5)


def blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()


@given(st.lists(JSON, min_size=1, max_size=8) | st.lists(RECORDS, min_size=1, max_size=8))
def test_every_value_is_valid_under_the_output_inferred_from_all(values):
    if all(blank(value) for value in values):
        return
    output = infer_output(values)
    for value in values:
        if not blank(value):
            assert output.problems(output.format(value)) == []


@given(st.lists(st.sampled_from(["yes", "no", " no", "maybe", "{}", "[1]"]), min_size=1, max_size=20))
def test_every_string_is_valid_too(values):
    output = infer_output(values)
    for value in values:
        assert output.problems(output.format(value)) == []


def test_records_become_an_object_with_types_united_over_all_rows():
    output = infer_output(
        [
            {"name": "Ana", "age": 54, "drugs": ["metformin"], "seen": {"by": "ER", "on": None}},
            {"name": "J.", "age": None, "dose": 2, "drugs": [], "seen": {"by": "GP", "on": "Monday"}},
            {"name": "Li", "age": 30, "dose": 0.5, "drugs": ["x", None], "seen": {"by": "GP", "on": None}},
        ],
        name="visit",
    )
    assert isinstance(output, JsonOutput)
    assert output.name == "visit"
    assert output.json_schema == {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": ["integer", "null"]},
            "dose": {"type": "number"},
            "drugs": {"type": "array", "items": {"type": ["string", "null"]}},
            "seen": {
                "type": "object",
                "properties": {"by": {"type": "string"}, "on": {"type": ["string", "null"]}},
                "required": ["by", "on"],
                "additionalProperties": False,
            },
        },
        "required": ["name", "age", "drugs", "seen"],
        "additionalProperties": False,
    }
    assert list(output.fields()) == ["name", "age", "dose", "drugs", "seen"]  # dose where its row has it


def test_a_field_that_is_always_null_may_be_a_string():
    output = infer_output([{"po_box": None}, {"po_box": None}])
    assert output.fields()["po_box"] == {"type": ["string", "null"]}
    assert output.problems('{"po_box": "12"}') == []
    assert [problem.problem for problem in output.problems('{"po_box": 12}')] == ["wrong_type"]


def test_what_was_never_seen_inside_may_be_anything():
    output = infer_output([{"tags": [], "extra": {}}])
    assert output.problems('{"tags": [1, "a"], "extra": {"k": 1}}') == []


def test_strings_that_are_json_objects_are_read_as_these():
    output = infer_output(['{"a": 1}', '{"a": null}'])
    assert output.fields() == {"a": {"type": ["integer", "null"]}}


def test_one_text_among_json_strings_makes_them_all_texts():
    assert infer_output(['{"a": 1}', "none"]) == TextOutput()


def test_few_repeated_strings_become_choices_in_alphabetical_order():
    assert infer_output(["urgent", "routine ", "urgent", "routine", "soon", "soon"] * 2) == ChoiceOutput(
        choices=("routine", "soon", "urgent")
    )


@pytest.mark.parametrize(
    "values",
    [
        ["a"] * 9 + ["b"],  # b is there once: a typing error as likely as a choice
        ["a", "b", "a", "b"],  # twice each, but not three times on average
        ["a"] * 9,  # nothing to choose from
        [str(number % 51) for number in range(510)],
    ],
)
def test_other_strings_are_text(values):
    assert infer_output(values) == TextOutput()


def test_fifty_strings_can_be_choices():
    output = infer_output([f"label {number % 50}" for number in range(150)])
    assert isinstance(output, ChoiceOutput)
    assert len(output.choices) == 50


def test_answers_of_several_kinds_are_all_allowed():
    output = infer_output([{"a": 1}, "unknown", 3])
    assert output.problems('"unknown"') == []
    assert output.problems('{"a": 2}') == []
    assert output.problems('{"b": 2}') != []
    assert output.problems("true") != []


def test_no_values_are_an_error():
    with pytest.raises(ft.ConfigError, match="no wanted answers"):
        infer_output(["  ", ""])

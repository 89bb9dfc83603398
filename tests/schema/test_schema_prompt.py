from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, create_model

from ftkit.schema import output_of
from ftkit.schema.decimal_form import DecimalForm, decimal_form, decimal_pattern
from tests.schema.records import Cat, Node, Open, Order, Owner, Visit


def describe(spec: Any) -> str:
    return output_of(spec)[0].describe()


def test_a_record_is_worded_key_by_key() -> None:
    assert describe(Visit) == (
        "Answer with one JSON object with these keys, in this order:\n"
        "- patient_name: string\n"
        "- age: integer from 0 to 130\n"
        "- diagnosis: string — As written, not coded.\n"
        "- medication: string or null\n"
        "- follow_up_days: integer or null"
    )


def test_nested_objects_are_indented() -> None:
    assert describe(Order) == (
        "Answer with one JSON object with these keys, in this order:\n"
        "- placed: string (date, YYYY-MM-DD)\n"
        '- mood: one of "calm", "low"\n'
        "- items: array of objects, each with these keys, in this order:\n"
        "  - name: string\n"
        "  - price: number\n"
        "- address: null or object with these keys, in this order:\n"
        "  - street: string\n"
        "  - city: string or null\n"
        "- tags: array of strings (at most 3 items)"
    )


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({}, "any JSON value"),
        ({"type": "boolean"}, "true or false"),
        ({"const": "x"}, '"x"'),
        ({"enum": ["a", "b", None]}, 'one of "a", "b" or null'),
        ({"type": ["string", "null"]}, "string or null"),
        ({"type": "integer", "minimum": 1}, "integer, at least 1"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "number, at most 1, greater than 0"),
        ({"type": "string", "minLength": 2, "maxLength": 2}, "string (exactly 2 characters)"),
        ({"type": "string", "pattern": "^[A-Z]{3}$"}, "string (matching ^[A-Z]{3}$)"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1}, "array of strings (at least 1 item)"),
        ({"type": "array", "items": {"enum": ["a"]}}, 'array of items, each "a"'),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "object with any keys, each value: integer"),
    ],
)
def test_values_in_words(schema: dict[str, Any], words: str) -> None:
    text = describe({"type": "object", "properties": {"a": schema}, "required": ["a"]})
    assert text == f"Answer with one JSON object with this key:\n- a: {words}"


def test_keys_that_targets_may_lack_are_said_to_be_optional() -> None:
    assert describe({"properties": {"odd key": {"type": "null"}}, "type": "object"}).endswith(
        '- "odd key": null, may be left out'
    )
    assert "left out" not in describe(Visit)
    assert "then any others" in describe(Open)


def test_an_array_at_the_top() -> None:
    assert describe(list[Visit]).startswith("Answer with one JSON array of objects, each with these keys")
    assert describe(int) == "Answer with one JSON value: integer"


_SELF = {"type": "object", "properties": {"a": {"$ref": "#"}}}
_RAW = [Node, _SELF, {"type": "object", "not": {"required": ["a"]}}]


@pytest.mark.parametrize("spec", _RAW)
def test_what_cannot_be_worded_is_shown_as_the_schema(spec: Any) -> None:
    first, second = describe(spec).split("\n")
    assert first == "Answer with one JSON object that fits this JSON Schema:"
    assert isinstance(json.loads(second), dict)


def test_the_order_of_keywords_does_not_change_the_words() -> None:
    one = {"type": "object", "not": {}, "properties": {"a": {"type": "integer", "title": "A"}}}
    other = {"properties": {"a": {"title": "A", "type": "integer"}}, "not": {}, "type": "object"}
    assert describe(one) == describe(other)


def test_a_union_of_objects_is_worded_one_by_one() -> None:
    assert describe(Owner) == (
        "Answer with one JSON object with this key:\n"
        "- pet: one of these:\n"
        "  - object with these keys, in this order:\n"
        '    - kind: "cat"\n'
        "    - lives: integer\n"
        "  - object with these keys, in this order:\n"
        '    - kind: "dog"\n'
        "    - name: string\n"
        "    - age: integer"
    )
    assert describe(list[Owner | Cat]).startswith(
        "Answer with one JSON array of items, each one of these:\n- object with"
    )


def test_a_dict_of_objects_is_worded() -> None:
    assert describe(dict[str, Cat]) == (
        "Answer with one JSON object with any keys, each value: object with these keys, in this order:\n"
        '- kind: "cat"\n'
        "- lives: integer"
    )


class _Tree(BaseModel):
    title: str
    root: Node
    scores: dict[Annotated[str, Field(pattern="^[a-z]+$")], int] = Field(description="By name.")
    note: str | None = None


def test_only_the_part_that_cannot_be_worded_is_shown_as_its_schema() -> None:
    first, title, root, scores, note = describe(_Tree).split("\n")
    assert first == "Answer with one JSON object with these keys, in this order:"
    assert (title, note) == ("- title: string", "- note: string or null")
    prefix = "- root: value that fits this JSON Schema: "
    schema = json.loads(root.removeprefix(prefix))
    assert root.startswith(prefix)
    assert schema["$ref"] == "#/$defs/Node"
    assert list(schema["$defs"]) == ["Node"]
    assert scores.startswith("- scores: value that fits this JSON Schema: {")
    assert scores.endswith("} — By name.")
    assert scores.count("By name.") == 1


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Decimal, "decimal number in quotes"),
        (Decimal | None, "decimal number in quotes or null"),
        (Annotated[Decimal, Field(decimal_places=2)], "decimal number in quotes with 2 decimal places"),
        (Annotated[Decimal, Field(decimal_places=1)], "decimal number in quotes with 1 decimal place"),
        (Annotated[Decimal, Field(decimal_places=0)], "decimal number in quotes without decimal places"),
        (
            Annotated[Decimal, Field(decimal_places=2, max_digits=8, ge=0, lt=100)],
            "decimal number in quotes with 2 decimal places, at most 8 digits, at least 0, less than 100",
        ),
        (Annotated[Decimal, Field(ge=0, le=1)], "decimal number in quotes, from 0 to 1"),
        (list[Decimal], "array of items, each decimal number in quotes"),
    ],
)
def test_decimals_say_their_precision(kind: Any, words: str) -> None:
    assert describe(create_model("Money", amount=(kind, ...))) == (
        f"Answer with one JSON object with this key:\n- amount: {words}"
    )


@pytest.mark.parametrize(
    ("places", "digits", "valid", "invalid"),
    [
        (None, None, ["1", "-1.50", "+007.25"], ["", ".", "1e5", "a", "1."]),
        (2, None, ["1", "1.5", "1.500", "0.05"], ["1.005"]),
        (0, None, ["1", "1.0"], ["1.5"]),
        (2, 4, ["99.99", "0099.9"], ["100", "100.00"]),
        (2, 2, ["0.99", "00.9"], ["1", "1.00"]),
    ],
)
def test_the_pattern_of_a_decimal_states_its_precision(
    places: int | None, digits: int | None, valid: list[str], invalid: list[str]
) -> None:
    pattern = decimal_pattern(places, digits)
    assert all(re.search(pattern, text) for text in valid)
    assert not any(re.search(pattern, text) for text in invalid)
    form = decimal_form({"anyOf": [{"type": "number"}, {"type": "string", "pattern": pattern}]})
    assert (form.places, form.digits) == (places, digits)


@pytest.mark.parametrize(
    ("places", "value", "text"),
    [
        (None, 12.5, "12.5"),
        (None, "012.500", "12.5"),
        (None, "1E+3", "1000"),
        (None, -0.0, "0"),
        (None, 1e-7, "0.0000001"),
        (None, "1E+999999", "1E+999999"),
        (None, "0." + "1" * 50, "0." + "1" * 50),
        (2, 12.5, "12.50"),
        (2, "1.500", "1.50"),
        (2, 3, "3.00"),
        (0, "3.0", "3"),
        (2, "1.005", None),
        (2, "NaN", None),
        (2, True, None),
        (2, "x", None),
    ],
)
def test_a_decimal_has_one_text(places: int | None, value: Any, text: str | None) -> None:
    assert DecimalForm(places, None, {}, ()).text(value) == text

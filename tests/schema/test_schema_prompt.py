from __future__ import annotations

import json
from typing import Any

import pytest

from ftkit.schema import output_of
from tests.schema.records import Node, Open, Order, Owner, Visit


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


@pytest.mark.parametrize("spec", [Node, Owner, {"type": "object", "not": {"required": ["a"]}}])
def test_what_cannot_be_worded_is_shown_as_the_schema(spec: Any) -> None:
    first, second = describe(spec).split("\n")
    assert first == "Answer with one JSON object that fits this JSON Schema:"
    assert isinstance(json.loads(second), dict)


def test_the_order_of_keywords_does_not_change_the_words() -> None:
    one = {"type": "object", "not": {}, "properties": {"a": {"type": "integer", "title": "A"}}}
    other = {"properties": {"a": {"title": "A", "type": "integer"}}, "not": {}, "type": "object"}
    assert describe(one) == describe(other)

from __future__ import annotations

import datetime as dt
import enum
import json
import pickle
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import TypedDict

from ftkit.errors import ConfigError, OutputError
from ftkit.schema import JsonOutput, Output, output_of
from tests.schema.records import Address, Item, Money, Mood, Node, Open, Order, Owner, Visit

VISIT = {"patient_name": "Zoë", "age": 41, "diagnosis": "flu", "medication": None, "follow_up_days": 7}


def of(spec: Any) -> JsonOutput:
    output, _ = output_of(spec)
    assert isinstance(output, JsonOutput)
    return output


def found(output: Output, value: Any) -> dict[str, str]:
    """Path to problem, and every one has a path and a message."""
    text = value if isinstance(value, str) else json.dumps(value)
    problems = output.problems(text)
    assert all(problem.message and problem.text == text for problem in problems)
    return {problem.path: problem.problem for problem in problems}


def test_a_class_becomes_a_closed_schema_without_programmers_notes() -> None:
    output = of(Visit)
    assert output.name == "Visit"
    assert list(output.json_schema["properties"]) == list(VISIT)
    assert output.json_schema["additionalProperties"] is False
    assert output.json_schema["required"] == ["patient_name", "age", "diagnosis", "medication"]
    assert "title" not in json.dumps(of(Order).json_schema)
    assert "not for the model" not in json.dumps(of(Order).json_schema)
    assert "$ref" not in json.dumps(of(Order).json_schema)


def test_a_recursive_class_keeps_its_definition() -> None:
    output = of(Node)
    assert list(output.json_schema["$defs"]) == ["Node"]
    assert list(output.fields()) == ["name", "children"]
    tree = {"name": "a", "children": [{"name": "b", "children": []}, {"name": 3, "children": [], "x": 1}]}
    assert found(output, tree) == {"$.children[1].name": "wrong_type", "$.children[1].x": "extra_field"}


def test_every_problem_is_named_with_its_path() -> None:
    order = {
        "placed": "2024-13-01",
        "mood": "mad",
        "items": [{"name": "a", "price": 1}, {"name": 3}, "b"],
        "address": {"street": None, "zip": "1"},
        "tags": ["a", "b", "c", "d"],
        "odd key": 1,
    }
    assert found(of(Order), order) == {
        "$.placed": "invalid_value",
        "$.mood": "invalid_value",
        "$.items[1].name": "wrong_type",
        "$.items[1].price": "missing_field",
        "$.items[2]": "wrong_type",
        "$.address.street": "wrong_type",
        "$.address.zip": "extra_field",
        "$.tags": "invalid_value",
        '$["odd key"]': "extra_field",
    }
    assert found(of(Order), []) == {"$": "wrong_type"}
    assert found(of(Visit), {}) == dict.fromkeys(
        ["$.patient_name", "$.age", "$.diagnosis", "$.medication"], "missing_field"
    )


def test_messages_say_what_was_wanted_and_what_was_there() -> None:
    problems = of(Visit).problems(json.dumps({**VISIT, "age": "41", "medication": 3}))
    assert [str(problem) for problem in problems] == [
        '$.age: expected integer, got string "41"',
        "$.medication: expected string or null, got number 3",
    ]
    (problem,) = of(Visit).problems(json.dumps({**VISIT, "age": 200}))
    assert str(problem) == "$.age: 200 is greater than 130"
    (problem,) = of(Order).problems('{"placed": "2024-01-02", "mood": "mad", "items": []}')
    assert str(problem) == '$.mood: "mad" is not one of "calm", "low"'


def test_types_are_strict() -> None:
    assert found(of(Visit), {**VISIT, "age": True}) == {"$.age": "wrong_type"}
    assert found(of(Visit), {**VISIT, "age": 41.5}) == {"$.age": "wrong_type"}
    assert found(of(Visit), {**VISIT, "age": 41.0}) == {}  # the same number, as JSON Schema says
    assert found(of(Visit), {**VISIT, "follow_up_days": "7"}) == {"$.follow_up_days": "wrong_type"}


def test_of_several_shapes_the_one_that_was_meant_is_blamed() -> None:
    output = of(Owner)
    assert found(output, {"pet": {"kind": "dog", "name": "Rex"}}) == {"$.pet.age": "missing_field"}
    assert found(output, {"pet": {"kind": "cat", "lives": "9"}}) == {"$.pet.lives": "wrong_type"}
    assert found(output, {"pet": {"kind": "fish"}}) == {"$.pet.kind": "invalid_value"}
    (problem,) = output.problems('{"pet": {"kind": "fish"}}')
    assert problem.message == '"fish" is not one of "cat", "dog"'
    assert found(output, {"pet": []}) == {"$.pet": "wrong_type"}


@pytest.mark.parametrize(
    ("schema", "value", "wanted"),
    [
        ({"minLength": 2, "type": "string"}, "a", "invalid_value"),
        ({"type": "string", "pattern": "^a"}, "b", "invalid_value"),
        ({"type": "string", "format": "date"}, "2024-02-30", "invalid_value"),
        ({"type": "string", "format": "email"}, "nobody", "invalid_value"),
        ({"type": "number", "exclusiveMinimum": 0}, 0, "invalid_value"),
        ({"type": "number", "multipleOf": 0.5}, 0.7, "invalid_value"),
        ({"const": "x"}, "y", "invalid_value"),
        ({"type": "array", "uniqueItems": True}, [1, 1], "invalid_value"),
        ({"type": "array", "minItems": 1}, [], "invalid_value"),
        ({"type": "array", "contains": {"type": "string"}}, [1], "invalid_value"),
        ({"not": {"type": "null"}}, None, "invalid_value"),
        ({"oneOf": [{"minimum": 1}, {"maximum": 9}], "type": "integer"}, 5, "invalid_value"),
    ],
)
def test_a_value_outside_what_the_schema_allows(schema: dict[str, Any], value: Any, wanted: str) -> None:
    output = of({"type": "object", "properties": {"a": schema}})
    assert found(output, {"a": value}) == {"$.a": wanted}


@pytest.mark.parametrize(
    ("schema", "value", "wanted"),
    [
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, {"$.b": "missing_field"}),
        ({"propertyNames": {"pattern": "^[a-z]+$"}}, {"A1": 1}, {"$.A1": "extra_field"}),
        ({"properties": {"a": False}, "additionalProperties": True}, {"a": 1}, {"$.a": "extra_field"}),
        ({"patternProperties": {"^x": {}}, "additionalProperties": False}, {"x1": 1, "y": 1}, {"$.y": "extra_field"}),
        ({"additionalProperties": {"type": "integer"}}, {"a": 1, "b": "x"}, {"$.b": "wrong_type"}),
        (
            {"allOf": [{"properties": {"a": {"type": "integer"}}}], "properties": {"b": {}}},
            {"a": "x", "b": 1, "c": 2},
            {"$.a": "wrong_type", "$.c": "extra_field"},
        ),
    ],
)
def test_problems_of_keys(schema: dict[str, Any], value: Any, wanted: dict[str, str]) -> None:
    assert found(of({"type": "object", **schema}), value) == wanted


def test_keys_a_dict_schema_does_not_name_are_extra_only_at_the_top_and_unless_it_says_otherwise() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {}}}}}
    assert found(of(schema), {"a": {"c": 1}, "d": 1}) == {"$.d": "extra_field"}
    assert found(of({**schema, "additionalProperties": True}), {"a": {}, "d": 1}) == {}
    assert found(of({"type": "object"}), {"anything": 1}) == {}
    assert found(of(Open), {"name": "a", "more": 1}) == {}


def test_targets_have_the_keys_of_the_class_in_its_order() -> None:
    shuffled = {"follow_up_days": 7, "medication": None, "diagnosis": "flu", "age": 41, "patient_name": "Zoë"}
    wanted = '{"patient_name": "Zoë", "age": 41, "diagnosis": "flu", "medication": null, "follow_up_days": 7}'
    output = of(Visit)
    assert output.format(shuffled) == wanted
    assert output.format(json.dumps(shuffled)) == wanted
    assert output.format(Visit(**shuffled)) == wanted
    assert output.format({**shuffled, "age": 41.0}) == wanted
    del shuffled["follow_up_days"]
    assert output.format(shuffled).endswith('"follow_up_days": null}')


def test_order_and_defaults_reach_into_lists_and_alternatives() -> None:
    order = {
        "items": [{"price": 2, "name": "a"}],
        "address": {"street": "s"},
        "mood": Mood.LOW,
        "placed": dt.date(2024, 1, 2),
    }
    wanted = (
        '{"placed": "2024-01-02", "mood": "low", "items": [{"name": "a", "price": 2}], '
        '"address": {"street": "s", "city": null}, "tags": []}'
    )
    assert of(Order).format(order) == wanted
    made = Order(
        placed=dt.date(2024, 1, 2), mood=Mood.LOW, items=[Item(name="a", price=2)], address=Address(street="s")
    )
    assert of(Order).format(made) == wanted.replace('"price": 2', '"price": 2.0')
    assert of(Node).format({"children": [{"name": "b"}], "name": "a"}) == (
        '{"name": "a", "children": [{"name": "b", "children": []}]}'
    )


def test_a_dict_schema_adds_nothing_and_puts_unnamed_keys_last() -> None:
    schema = {
        "type": "object",
        "properties": {"b": {"default": 1}, "a": {"$ref": "#/$defs/point"}},
        "additionalProperties": {"type": "integer"},
        "$defs": {"point": {"type": "object", "properties": {"y": {}, "x": {}}}},
    }
    assert of(schema).format({"z": 1, "a": {"x": 1, "y": 2}}) == '{"a": {"y": 2, "x": 1}, "z": 1}'
    filled = JsonOutput(json_schema=schema, fill_defaults=True)
    assert filled.format({"a": {}}) == '{"b": 1, "a": {}}'


def test_decimals_ids_and_times_have_one_text() -> None:
    money = {"amount": Decimal("1.50"), "id": UUID(int=1), "at": dt.datetime(2024, 1, 2, 3, 4, tzinfo=dt.UTC)}
    text = '{"amount": "1.5", "id": "00000000-0000-0000-0000-000000000001", "at": "2024-01-02T03:04:00Z"}'
    assert of(Money).format(money) == of(Money).format(Money(**money)) == text


@pytest.mark.parametrize(
    ("value", "problem", "path"),
    [
        ({**VISIT, "age": "41"}, "wrong_type", "$.age"),
        ({**VISIT, "more": 1}, "extra_field", "$.more"),
        ({"patient_name": "x"}, "missing_field", "$.age"),
        ("{", "not_json", "$"),
        ({**VISIT, "age": float("nan")}, "invalid_value", "$.age"),
        ({**VISIT, "age": object()}, "wrong_type", "$"),
        (None, "wrong_type", "$"),
    ],
)
def test_a_target_that_breaks_the_schema_is_refused(value: Any, problem: str, path: str) -> None:
    with pytest.raises(OutputError) as caught:
        of(Visit).format(value)
    assert (caught.value.problem, caught.value.path) == (problem, path)


def test_other_types_than_classes() -> None:
    @dataclass
    class Point:
        x: int
        y: int = 0

    class Pair(TypedDict):
        one: int
        two: str

    assert of(Point).format(Point(1)) == '{"x": 1, "y": 0}'
    assert found(of(Pair), {"one": 1, "two": 2, "three": 3}) == {"$.two": "wrong_type", "$.three": "extra_field"}
    assert of(list[Item]).format([{"price": 1, "name": "a"}]) == '[{"name": "a", "price": 1}]'
    assert of(list[Item]).fields() == {}
    assert found(of(list[Item]), [{"name": "a"}]) == {"$[0].price": "missing_field"}
    assert of(int | None).parse("3") == 3


def test_where_the_schema_allows_a_string_the_string_is_the_value() -> None:
    output = of({"type": "string"})
    assert output.format('say "12"') == '"say \\"12\\""'
    assert output.parse(output.format("12")) == "12"


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "objekt"}, r"at \$\.type"),
        ({"properties": {"a": {"minimum": "1"}}}, r"at \$\.properties\.a\.minimum"),
        ({"type": "string", "pattern": "("}, r"at \$\.pattern"),
        ({"$ref": "https://example.com/schema"}, "points out of the schema"),
        ({"properties": {"a": {"$ref": "#/$defs/A"}}}, 'there is no "\\$defs"'),
        ({"$ref": "#"}, "leads back to itself"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}}, "leads back to itself"),
        ({"$dynamicRef": "#a"}, "is not supported"),
        ({"default": {1, 2}}, "not plain JSON data"),
        ({"default": float("nan")}, "not plain JSON data"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_when_declared(schema: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        output_of(schema)


def test_a_default_that_cannot_be_repeated_is_refused() -> None:
    from pydantic import BaseModel, Field

    class Stamped(BaseModel):
        at: dt.datetime = Field(default_factory=dt.datetime.now)

    with pytest.raises(ConfigError, match="another value each time"):
        output_of(Stamped)


def test_outputs_are_plain_data_and_differ_by_the_order_of_properties() -> None:
    output = of(Order)
    again, _ = output_of(json.loads(json.dumps(output.model_dump(mode="json"))))
    assert again == output
    assert hash(again) == hash(output)
    assert pickle.loads(pickle.dumps(output)) == output
    assert of({"properties": {"a": {}, "b": {}}}) != of({"properties": {"b": {}, "a": {}}})
    assert of({"type": "object", "title": "x", "properties": {}}) == of(
        {"properties": {}, "title": "x", "type": "object"}
    )


def test_a_changed_copy_is_checked_and_compiled_anew() -> None:
    copy = of(Visit).model_copy(update={"json_schema": {"type": "integer"}})
    assert copy.parse("3") == 3
    with pytest.raises(ConfigError):
        copy.model_copy(update={"name": "not a name"})


def test_the_users_schema_is_not_shared() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}
    output = of(schema)
    schema["properties"]["a"]["type"] = "string"
    assert output.parse('{"a": 1}') == {"a": 1}


def test_an_answer_deeper_than_the_stack_is_an_output_error() -> None:
    deep: dict[str, Any] = {"name": "x", "children": []}
    for _ in range(49):
        deep = {"name": "x", "children": [deep]}
    assert found(of(Node), deep) in ({}, {"$": "invalid_value"})
    with pytest.raises(OutputError):
        of(Node).format({"name": "x", "children": [deep]})


# Random schemas with values that they allow.

_names = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
_plain_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def _leaf() -> st.SearchStrategy[tuple[dict[str, Any], Any]]:
    return st.one_of(
        st.tuples(st.just({"type": "string"}), _plain_text),
        st.tuples(st.just({"type": "integer"}), st.integers()),
        st.tuples(st.just({"type": "number"}), st.floats(allow_nan=False, allow_infinity=False)),
        st.tuples(st.just({"type": "boolean"}), st.booleans()),
        st.tuples(st.just({"type": "null"}), st.none()),
        st.tuples(st.just({"enum": ["a", 1, None]}), st.sampled_from(["a", 1, None])),
        st.tuples(st.just({}), st.lists(st.integers() | _plain_text, max_size=2)),
    )


@st.composite
def _object(draw: st.DrawFn, inner: st.SearchStrategy[tuple[dict[str, Any], Any]]) -> tuple[dict[str, Any], Any]:
    parts = draw(st.dictionaries(_names, inner, min_size=1, max_size=4))
    present = [name for name in parts if draw(st.booleans())]
    schema = {"type": "object", "properties": {name: part for name, (part, _) in parts.items()}}
    order = draw(st.permutations(present))
    return {**schema, "required": present, "additionalProperties": False}, {name: parts[name][1] for name in order}


@st.composite
def _list(draw: st.DrawFn, inner: st.SearchStrategy[tuple[dict[str, Any], Any]]) -> tuple[dict[str, Any], Any]:
    schema, value = draw(inner)
    return {"type": "array", "items": schema}, [value] * draw(st.integers(0, 2))


@st.composite
def _either(draw: st.DrawFn, inner: st.SearchStrategy[tuple[dict[str, Any], Any]]) -> tuple[dict[str, Any], Any]:
    (one, value), (two, _) = draw(inner), draw(inner)
    return {"anyOf": draw(st.permutations([one, two]))}, value


_pairs = st.recursive(_leaf(), lambda inner: _object(inner) | _list(inner) | _either(inner), max_leaves=8)


@given(_pairs)
def test_what_is_formatted_is_parsed_back_and_formatted_alike(pair: tuple[dict[str, Any], Any]) -> None:
    schema, value = pair
    output = of(schema)
    text = output.format(value)
    assert output.problems(text) == []
    assert output.parse(text) == value
    if output.problems(json.dumps(text)):  # where a string is allowed, a text would be taken for the answer
        assert output.format(text) == text
    assert output.describe() == of(json.loads(json.dumps(schema))).describe()


@given(_pairs, st.text())
def test_any_text_is_parsed_or_refused(pair: tuple[dict[str, Any], Any], text: str) -> None:
    output = of(pair[0])
    for candidate in (text, json.dumps(pair[1])[:-1], json.dumps([pair[1]]), json.dumps({text: pair[1]})):
        problems = output.problems(candidate)
        if problems:
            with pytest.raises(OutputError) as caught:
                output.parse(candidate)
            assert str(caught.value) == str(problems[0])
        else:
            output.parse(candidate)


class Weekday(enum.Enum):
    MONDAY = 1


def test_types_without_a_schema_are_refused() -> None:
    from collections.abc import Callable

    class Mine:
        pass

    with pytest.raises(ConfigError, match="Mine is not a type that pydantic can describe"):
        output_of(Mine)
    with pytest.raises(ConfigError, match="no JSON Schema"):
        output_of(Callable[[int], int])

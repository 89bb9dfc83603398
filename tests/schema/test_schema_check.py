from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, Field

from ftkit.errors import ConfigError
from ftkit.schema import JsonOutput, output_of

MEANT = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def refusal(schema: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        output_of(schema)
    return str(caught.value)


@pytest.mark.parametrize("written", [{"name": "string"}, {"name": "str"}, {"name": str}, {"name": "Anna"}])
def test_a_dict_of_fields_is_refused_with_the_schema_that_was_meant(written: dict[str, Any]) -> None:
    said = refusal(written)
    assert 'no keyword of JSON Schema limits the answer (the keys are "name")' in said
    assert said.endswith(f"Probably meant: {json.dumps(MEANT)}")
    output_of(MEANT)


def test_what_was_meant_is_worked_out_from_names_examples_and_nested_dicts() -> None:
    said = refusal(
        {
            "title": "string",
            "price": 3.5,
            "tags": ["str"],
            "size": ["s", "m"],
            "owner": {"age": int},
            "at": {"type": "null"},
        }
    )
    meant = json.loads(said.partition("Probably meant: ")[2])
    assert meant["properties"] == {
        "title": {"type": "string"},
        "price": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "size": {"enum": ["s", "m"]},
        "owner": {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]},
        "at": {"type": "null"},
    }
    assert JsonOutput(json_schema=meant).fields().keys() == meant["properties"].keys()


def test_one_inside_a_schema_is_named_by_its_place() -> None:
    said = refusal({"type": "array", "items": {"type": "object", "properties": {"address": {"street": "string"}}}})
    assert "not a JSON Schema at $[].address: " in said


@pytest.mark.parametrize("wrap", [lambda inner: inner, lambda inner: {"type": "json_schema", "json_schema": inner}])
def test_an_openai_wrapper_is_told_from_the_schema_in_it(wrap: Any) -> None:
    assert 'give what is under its key "schema"' in refusal(wrap({"name": "visit", "strict": True, "schema": MEANT}))


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"description": "any value"},
        {"title": "Any", "x-vendor": {"a": 1}},
        {"enum": [1, 2]},
        {"const": "yes"},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"$ref": "#/$defs/Name", "$defs": {"Name": {"type": "string"}}},
        {"required": ["name"]},
        {"type": "object", "strict": True},
        {"type": "object", "properties": {"weight": {"unit": "kg", "title": "Weight"}, "any": {}, "all": True}},
    ],
)
def test_schemas_are_taken_as_json_schema_has_them(schema: dict[str, Any]) -> None:
    assert JsonOutput(json_schema=schema).json_schema == schema


def test_a_class_may_note_things_beside_its_fields() -> None:
    class Parcel(BaseModel):
        weight: Any = Field(json_schema_extra={"unit": "kg"})

    assert output_of(Parcel)[0].fields()["weight"]["unit"] == "kg"

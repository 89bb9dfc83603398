"""No pattern of a schema keeps a validation busy, whichever keyword it stands under."""

from __future__ import annotations

import time
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import ftkit as ft
from ftkit.patterns import pattern
from ftkit.schema import JsonOutput
from ftkit.schema.bounded_validator import bounded_validator

SLOW = "^(a+)+$"
LONG = "a" * 50 + "!"


def object_with(**keywords: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": {"type": "string"}}, **keywords}


SCHEMAS = {
    "pattern": object_with(properties={"x": {"type": "string", "pattern": SLOW}}),
    "pattern under anyOf": object_with(properties={"x": {"anyOf": [{"pattern": SLOW}, {"type": "null"}]}}),
    "pattern under not": object_with(properties={"x": {"not": {"pattern": SLOW}}}),
    "patternProperties": object_with(patternProperties={SLOW: {"type": "integer"}}),
    "patternProperties, open": object_with(patternProperties={SLOW: {"type": "integer"}}, additionalProperties=True),
    "patternProperties, closed": object_with(patternProperties={SLOW: True}, additionalProperties=False),
    "patternProperties, unevaluated": object_with(
        allOf=[{"patternProperties": {SLOW: True}}], unevaluatedProperties=False
    ),
    "propertyNames": object_with(propertyNames={"pattern": SLOW}, additionalProperties=True),
    "if": object_with(**{"if": {"properties": {"x": {"pattern": SLOW}}}, "then": {"required": ["x"]}}),
    "$ref": object_with(
        properties={"x": {"$ref": "#/$defs/node"}},
        **{"$defs": {"node": {"anyOf": [{"type": "string", "pattern": SLOW}, {"items": {"$ref": "#/$defs/node"}}]}}},
    ),
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_slow_pattern_under_any_keyword_is_fast(schema: dict[str, Any]) -> None:
    output = JsonOutput(json_schema=schema)
    start = time.process_time()
    for answer in (f'{{"x": "{LONG}"}}', f'{{"x": "a", "{LONG}": 1}}', '{"x": "aaa"}', f'{{"{LONG}": "b"}}'):
        output.problems(answer)
    assert time.process_time() - start < 2


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_answers_are_judged_as_by_jsonschema(schema: dict[str, Any]) -> None:
    plain, bounded = Draft202012Validator(schema), bounded_validator(schema)
    values: list[Any] = [
        {},
        {"x": "aa"},
        {"x": "b"},
        {"x": None},
        {"x": "a", "aa": 1},
        {"x": "a", "aa": "s", "b": 2},
        3,
    ]
    for value in values:
        assert bounded.is_valid(value) == plain.is_valid(value), value


def test_a_search_that_takes_too_long_is_a_problem_with_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "TIME_LIMIT_S", 0.1)
    output = JsonOutput(json_schema=object_with(properties={"x": {"type": "string", "pattern": "(z+z+)+y(?!q)"}}))
    (problem,) = output.problems(f'{{"x": "{"z" * 5_000}"}}')
    assert (problem.problem, problem.path) == ("invalid_value", "$.x")
    assert "takes more than 0.1 s" in problem.message


@pytest.mark.parametrize("text", ["(", "(" * 3_000 + ")" * 3_000])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    for schema in (object_with(patternProperties={text: True}), object_with(propertyNames={"pattern": text})):
        with pytest.raises(ft.ConfigError, match="not a valid JSON Schema"):
            JsonOutput(json_schema=schema)


def test_arguments_of_tools_are_checked_in_bounded_time() -> None:
    parameters = {"type": "object", "properties": {"x": {"type": "string", "pattern": SLOW}}}
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": f'{{"x": "{LONG}"}}'}}
    row = {
        "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": [call]}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": parameters}}],
    }
    start = time.process_time()
    report = ft.lint(ft.Dataset.from_rows([row]), select=["D010"])
    assert len(report["D010"]) == 1
    assert time.process_time() - start < 5

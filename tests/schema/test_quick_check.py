"""The quick check never accepts what jsonschema refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ftkit.schema import JsonOutput, output_of
from ftkit.schema.compiled_schema import CompiledSchema
from ftkit.schema.quick_check import compile_quick_check
from tests.schema.records import Money, Node, Order, Visit

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.0, 1.0, 1.5, -2.5]),
    st.sampled_from(["", "a", "ab"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3)
    ),
    max_leaves=8,
)
TYPES = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
LEAVES = st.one_of(
    st.just(True),
    TYPES.map(lambda name: {"type": name}),
    st.lists(TYPES, min_size=1, max_size=3, unique=True).map(lambda names: {"type": names}),
    st.lists(SCALARS, min_size=1, max_size=3).map(lambda values: {"enum": values}),
    SCALARS.map(lambda value: {"const": value}),
    st.builds(
        lambda keyword, bound: {keyword: bound},
        st.sampled_from(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]),
        st.integers(-2, 2),
    ),
    st.builds(
        lambda keyword, bound: {keyword: bound},
        st.sampled_from(["minLength", "maxLength", "minItems", "maxItems"]),
        st.integers(0, 2),
    ),
    st.sampled_from([{"pattern": "^a"}, {"format": "date"}, {"type": "string", "description": "x"}]),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"anyOf": parts}),
        st.lists(inner, min_size=1, max_size=2).map(lambda parts: {"allOf": parts}),
        inner.map(lambda part: {"items": part}),
        st.builds(
            lambda parts, required, others: {
                "type": "object",
                "properties": parts,
                "required": required,
                "additionalProperties": others,
            },
            st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
            st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True),
            st.one_of(st.booleans(), inner),
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=400)
@given(SCHEMAS, VALUES)
def test_what_it_accepts_is_valid(schema: Any, value: Any) -> None:
    check = compile_quick_check(schema)
    assert check is not None
    if check(value):
        validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
        assert validator.is_valid(value)


@pytest.mark.parametrize("kind", [Visit, Order, Money])
def test_it_covers_the_schemas_of_ordinary_classes(kind: Any) -> None:
    output, _ = output_of(kind)
    assert isinstance(output, JsonOutput)
    assert CompiledSchema.of(json.dumps(output.json_schema), True).quick_check is not None


def test_it_leaves_recursive_schemas_to_jsonschema() -> None:
    output, _ = output_of(Node)
    assert isinstance(output, JsonOutput)
    assert CompiledSchema.of(json.dumps(output.json_schema), True).quick_check is None


def test_a_valid_record_is_accepted_and_a_wrong_one_is_not() -> None:
    output, _ = output_of(Visit)
    check = compile_quick_check({**output.json_schema})
    assert check is not None
    record = {"patient_name": "Zoë", "age": 41, "diagnosis": "flu", "medication": None}
    assert check(record)
    assert not check({**record, "age": 131})
    assert not check({**record, "age": True})
    assert not check({**record, "more": 1})
    assert not check({"patient_name": "Zoë"})

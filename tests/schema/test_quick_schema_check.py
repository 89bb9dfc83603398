"""What the fast check accepts, jsonschema accepts; and ordinary schemas of classes need no more."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from ftkit.schema.quick_schema_check import _KEYWORDS, is_certainly_schema

plain = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False)
    | st.sampled_from(["string", "object", "array", "#", "#/$defs/a", "x y", "", "#a b", "integer", "any"])
)
names = st.sampled_from([*sorted(_KEYWORDS), "pattern", "$id", "if", "maxContains"])
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(names, values, max_size=4))
@settings(max_examples=400, deadline=None)
def test_what_it_accepts_is_a_schema(schema: dict[str, Any]) -> None:
    if is_certainly_schema(schema):
        Draft202012Validator.check_schema(schema)


class Medicine(BaseModel):
    """One medicine."""

    name: str = Field(max_length=40, description="as on the package")
    dose_mg: float = Field(gt=0)


class Visit(BaseModel):
    """A visit."""

    kind: Literal["first", "later"]
    age: int | None = Field(default=None, ge=0)
    medicines: list[Medicine] = Field(default_factory=list, max_length=5)
    notes: dict[str, str] = {}


def test_the_schema_of_a_class_is_accepted() -> None:
    assert is_certainly_schema(Visit.model_json_schema())


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "text"},
        {"type": []},
        {"required": ["a", "a"]},
        {"required": "a"},
        {"anyOf": []},
        {"minLength": -1},
        {"minimum": True},
        {"properties": {"a": 3}},
        {"items": [{}]},
        {"$ref": 3},
        {"pattern": "("},
        {"title": None},
    ],
)
def test_others_are_left_to_jsonschema(schema: dict[str, Any]) -> None:
    assert not is_certainly_schema(schema)


def test_a_task_does_not_import_jsonschema() -> None:
    code = (
        "import sys, pydantic, ftkit as ft\n"
        "class Visit(pydantic.BaseModel):\n    age: int\n    name: str | None\n"
        "task = ft.Task('Extract.', input='{note}', output=Visit)\n"
        "ft.Dataset.from_rows([{'note': 'a', 'record': {'age': 3, 'name': None}}], task, target='record')[0]\n"
        "print('jsonschema' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftkit.errors import OutputError
from ftkit.schema.json_text import MAX_DEPTH, read_json

_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_text = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    _scalars | _text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(_text, values, max_size=4)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the answer is empty"),
        (" \n", "the answer is empty"),
        ('```json\n{"a": 1}\n```', "wrapped in a Markdown fence"),
        ('Sure!\n```json\n{"a": 1}\n```', "text before a Markdown fence"),
        ('{"a": 1}\n```', "ends with a Markdown fence"),
        ('{"a": 1} I hope this helps', 'text after the JSON value: "I hope this helps"'),
        ('{"a": 1} {"b": 2}', "text after the JSON value"),
        ('Here it is: {"a": 1}', 'text before the JSON value: "Here it is:'),
        ("The patient is well.", "plain text"),
        ('{"a": 1', "cut off after 7 characters"),
        ('{"a": "x', "cut off"),
        ('{"a": tr', "cut off"),
        ('{"a": 1, "a": 2}', 'the key "a" is there more than once'),
        ('{"b": {"a": 1, "a": 1}}', 'the key "a" is there more than once'),
        ('{"a": NaN}', "NaN is not a JSON value"),
        ("[-Infinity]", "-Infinity is not a JSON value"),
        ("[1e999]", "1e999 is too large"),
        ("1" * 5000, "too many digits"),
        ('["\\ud800"]', "half of a surrogate pair"),
        ('{"\\udc00": 1}', "half of a surrogate pair"),
        ("[" * 200 + "]" * 200, f"more than {MAX_DEPTH} deep"),
        ("[" * 100_000, f"more than {MAX_DEPTH} deep"),
        ("{'a': 1}", "expecting property name enclosed in double quotes at line 1, column 2"),
        ('{"a": 1,}', "line 1, column"),
        ('{"a": "line\nbreak"}', "control character"),
        ('{"a": True}', "line 1, column 7"),
    ],
)
def test_text_that_is_not_one_json_value_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(OutputError) as caught:
        read_json(text)
    assert why.lower() in caught.value.message.lower()
    assert caught.value.problem == "not_json"
    assert caught.value.path == "$"
    assert caught.value.text == text


@given(values)
def test_what_json_writes_is_read_back(value: object) -> None:
    assert read_json(f"\n {json.dumps(value)}\t") == value
    assert read_json(json.dumps(value, ensure_ascii=False, indent=2)) == value


@given(objects, st.data())
def test_every_cut_of_an_object_is_called_cut_off(value: dict[str, object], data: st.DataObject) -> None:
    text = json.dumps(value)
    cut = text[: data.draw(st.integers(1, len(text) - 1))]
    with pytest.raises(OutputError, match="cut off after"):
        read_json(cut)


@given(st.text())
def test_any_text_gives_a_value_or_an_output_error(text: str) -> None:
    with contextlib.suppress(OutputError):
        assert json.dumps(read_json(text), allow_nan=False)

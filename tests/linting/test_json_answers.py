from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftkit.linting.json_answers import contradicted_fields, field_spans
from ftkit.linting.row_view import RowRange, read_rows

values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=6), values, max_size=5), st.sampled_from([None, 2]), st.booleans())
def test_a_fields_span_is_its_value(record, indent, ascii_only):
    text = " " + json.dumps(record, indent=indent, ensure_ascii=ascii_only) + "\n"
    spans = field_spans(text)
    assert {name: json.loads(text[begin:end]) for name, (begin, end) in spans.items()} == record
    assert list(spans) == list(record)


@pytest.mark.parametrize("text", ["", "plain", "{", '{"a"', '{"a": ', '{"a": 1'])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(ValueError):
        field_spans(text)


def test_what_the_questions_explain_is_no_contradiction(chats):
    rows = [
        ("Ann Lee of 12 N. Dearborn, Chicago", {"name": "Ann Lee", "way": "N.", "city": "Chicago", "kind": "home"}),
        ("Bo Lee of 12 N Dearborn, CHICAGO", {"name": "Bo Lee", "way": "N", "city": "CHICAGO", "kind": "office"}),
        ("Bo Lee of 12 N Dearborn, CHICAGO", {"name": "Bo Lee", "way": "N", "city": "CHICAGO", "kind": "home"}),
    ]
    data = chats(*((asked, json.dumps(answer)) for asked, answer in rows))
    ann, bo, again = read_rows(RowRange(data, "train", 0, 3, 0))
    assert list(contradicted_fields(ann, bo)) == ["kind"]
    assert list(contradicted_fields(ann, again)) == []

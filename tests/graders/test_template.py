from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftkit.errors import ConfigError
from ftkit.graders.grade import GradingError, Sample
from ftkit.graders.template import Template

CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"drug": "aspirin"}'}}
ITEM = {
    "answer": "4",
    "rubric": {"points": [{"what": "dose"}, {"what": "route"}]},
    "n": 3,
    "odd key": "x",
    "none": None,
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{item.answer}}", "4"),
        ("is it {{ item.answer }}?", "is it 4?"),
        ("{{item.rubric.points[1].what}}", "route"),
        ("{{item.rubric.points.0.what}}", "dose"),
        ('{{item["odd key"]}}', "x"),
        ("{{item.n}}{{item.n}}", "33"),
        ("{{item.none}}", "null"),
        ("{{item.rubric}}", '{"points": [{"what": "dose"}, {"what": "route"}]}'),
        ("{{sample.output_text}}", '{"age": 4, "tags": ["a", "b"]}'),
        ("{{sample.output_json.age}}", "4"),
        ("{{sample.output_json.tags[1]}}", "b"),
        ("{{sample.output_tools[0].function.name}}", "look_up"),
        ("{{sample.choices[0].message.content}}", '{"age": 4, "tags": ["a", "b"]}'),
        ("no variable { } {x}", "no variable { } {x}"),
    ],
)
def test_variables_nest_and_index(source: str, text: str) -> None:
    assert Template.of(source).render(ITEM, Sample('{"age": 4, "tags": ["a", "b"]}', (CALL,))) == text


@pytest.mark.parametrize(
    ("source", "error", "why"),
    [
        ("{{item.absent}}", "invalid_variable_error", 'item has no "absent": its keys are answer'),
        ("{{item.rubric.points[2]}}", "invalid_variable_error", "it is a list of 2"),
        ("{{item.answer.more}}", "invalid_variable_error", "it is a str"),
        ("{{sample.output_json.age}}", "sample_parse_error", "the answer is not JSON"),
        ("{{sample.output_tools[0].function.name}}", "invalid_variable_error", "it is a list of 0"),
    ],
)
def test_what_is_not_there_is_named(source: str, error: str, why: str) -> None:
    with pytest.raises(GradingError) as caught:
        Template.of(source).render(ITEM, Sample("plain"))
    assert caught.value.error == error
    assert why in caught.value.detail


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{{row.answer}}", 'begins with "item."'),
        ("{{item}}", "names nothing"),
        ("{{sample.output_audio}}", "output_text, output_json, output_tools, choices"),
        ("{{item.a b}}", "not a path"),
        ("{{item.a[x]}}", "not a path"),
        ("{{}}", 'begins with "item."'),
    ],
)
def test_what_is_no_path_is_refused(source: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Template.of(source)


def test_json_null_is_a_value() -> None:
    assert Template.of("{{sample.output_json}}").render({}, Sample("null")) == "null"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(json_values)
def test_values_that_are_no_texts_stand_as_json(value: Any) -> None:
    text = Template.of("<{{item.x}}>").render({"x": value}, Sample(""))[1:-1]
    assert text == value if isinstance(value, str) else json.loads(text) == value


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(source: str) -> None:
    with contextlib.suppress(ConfigError, GradingError):
        assert isinstance(Template(source).render({}, Sample("")), str)

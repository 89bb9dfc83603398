"""Calls are told from text, wherever the text is cut."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftkit.server.chat.tools import CallReader, call_format

CALL = '<tool_call>\n{"name": "find", "arguments": {"drug": "aspirin"}}\n</tool_call>'
BARE = '{"name": "find", "parameters": {"drug": "aspirin"}}'


def read(text: str, form: Any = "tagged", cuts: tuple[int, ...] = (), **options: Any) -> tuple[str, list[Any]]:
    reader = CallReader(form, **options)
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    said = "".join(reader.push(text[begin:end]) for begin, end in itertools.pairwise(places))
    rest, calls = reader.end()
    return said + rest, [(one["function"]["name"], json.loads(one["function"]["arguments"])) for one in calls]


@given(cuts=st.lists(st.integers(0, 300), max_size=12).map(tuple))
def test_calls_are_found_wherever_the_text_is_cut(cuts):
    found = ("find", {"drug": "aspirin"})
    assert read(f"I look.\n{CALL}", cuts=cuts) == ("I look.\n", [found])
    assert read(f"{CALL}\n{CALL}", cuts=cuts) == ("", [found, found])
    assert read(f"{CALL}\n{CALL}", cuts=cuts, parallel=False) == ("", [found])
    assert read(BARE, "bare", cuts=cuts) == ("", [found])


@given(text=st.text(st.sampled_from('<tool_call>{"} ab/'), max_size=60), cuts=st.lists(st.integers(0, 60)).map(tuple))
def test_what_is_no_call_stays_text(text, cuts):
    for form in ("tagged", "bare"):
        said, calls = read(text, form, cuts)
        assert calls or said == text


@pytest.mark.parametrize(
    "broken", [CALL[:-30], CALL.replace('"name"', '"nom"'), "<tool_call>[]</tool_call>", BARE[:-1]]
)
def test_broken_calls_stay_text(broken):
    form = "tagged" if broken.startswith("<") else "bare"
    assert read(broken, form) == (broken, [])


def test_a_call_that_was_cut_off_after_its_object_counts():
    assert read(CALL.removesuffix("\n</tool_call>")) == ("", [("find", {"drug": "aspirin"})])


def test_formats_are_known_by_the_template():
    assert call_format("… <tool_call>{{ tool_call | tojson }}</tool_call>") == "tagged"
    assert call_format("<tool_call>\n<function=name>") is None
    assert call_format("{{ message.content }}") is None

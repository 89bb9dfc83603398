"""Calls are told from text, wherever the text is cut."""

from __future__ import annotations

import copy
import itertools
import json
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftkit.errors import ModelError
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.modeling.tool_calls import FormatToolCallParser, detect_tool_call_format, parse_tool_calls

CALL = '<tool_call>\n{"name": "find", "arguments": {"drug": "aspirin"}}\n</tool_call>'
LISTED = '[TOOL_CALLS] [{"name": "find", "arguments": {"drug": "aspirin"}}]'
ASKED = np.arange(5, dtype=np.int32)
BARE = '{"name": "find", "parameters": {"drug": "aspirin"}}'


def read(text: str, form: Any = "tagged", cuts: tuple[int, ...] = (), **options: Any) -> tuple[str, list[Any]]:
    reader = FormatToolCallParser(form, ASKED, **options)
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
    assert read(LISTED, "listed", cuts=cuts) == ("", [found])
    assert read(LISTED.removeprefix("[TOOL_CALLS]"), "listed", cuts=cuts) == ("", [found])


@given(text=st.text(st.sampled_from('<tool_call>{"} ab/'), max_size=60), cuts=st.lists(st.integers(0, 60)).map(tuple))
def test_what_is_no_call_stays_text(text, cuts):
    for form in ("tagged", "bare", "listed"):
        said, calls = read(text, form, cuts)
        assert calls or said == text


@pytest.mark.parametrize(
    "broken",
    [
        *(CALL[:-30], CALL.replace('"name"', '"nom"'), "<tool_call>[]</tool_call>"),
        *(BARE[:-1], '{"name": "Ann", "age": 40}', LISTED[:-1], "[TOOL_CALLS][1]", "[]"),
    ],
)
def test_broken_calls_stay_text(broken):
    form = {"<": "tagged", "{": "bare", "[": "listed"}[broken[0]]
    assert read(broken, form) == (broken, [])


def test_a_call_that_was_cut_off_after_its_object_counts():
    assert read(CALL.removesuffix("\n</tool_call>")) == ("", [("find", {"drug": "aspirin"})])


def test_formats_are_known_by_the_template():
    assert detect_tool_call_format("… <tool_call>{{ tool_call | tojson }}</tool_call>") == "tagged"
    assert detect_tool_call_format("<tool_call>\n<function=name>") is None
    assert detect_tool_call_format("[TOOL_CALLS]{{ calls }}") == "listed"
    assert detect_tool_call_format("[TOOL_CALLS]{{ name }}[ARGS]{{ arguments }}") is None
    assert detect_tool_call_format("{{ message.content }}") is None


RANK = {"type": "object", "properties": {"rank": {"type": "integer"}}}
TOOLS = [{"type": "function", "function": {"name": "find", "parameters": RANK}}]
MARKED = {
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "tool_calls": {
            "open_pattern": r"<call (?P<name>\w+)>",
            "close": "</call>",
            "repeats": True,
            "content": "xml-inline",
            "content_args": {"tag_pattern": r"<(?P<key>\w+)>(?P<value>.*?)</\w+>"},
            "transform": {"type": "function", "function": {"name": "{name}", "arguments": "{content}"}},
        },
        "content": {"content": "text", "close": "<|im_end|>"},
    },
}


@pytest.fixture
def templated(tokenizer: Any) -> ChatTemplate:
    """A renderer whose tokenizer says how answers are to be read."""
    own = copy.deepcopy(tokenizer)
    own.response_template = MARKED
    return ChatTemplate(own)


def asked_and_said(chat_template: ChatTemplate, said: str) -> tuple[Any, list[int]]:
    prompt = chat_template.encode_prompt([{"role": "user", "content": "Which drug?"}])
    return prompt, chat_template.tokenizer(said, add_special_tokens=False)["input_ids"]


def test_a_tokenizers_own_template_is_followed(templated):
    prompt, ids = asked_and_said(templated, "I look.<call find><drug>aspirin</drug><rank>2</rank></call><|im_end|>")
    text, [call] = parse_tool_calls(templated, prompt, ids, TOOLS)
    assert text == "I look."
    assert call["function"]["name"] == "find"
    assert json.loads(call["function"]["arguments"]) == {"drug": "aspirin", "rank": 2}
    assert parse_tool_calls(templated, prompt, ids, TOOLS)[1] == [call]


@pytest.mark.parametrize("said", ["Aspirin.<|im_end|>", "<call fi", "<call find><rank>2<|im_end|>"])
def test_without_a_whole_call_the_answer_is_what_it_was(templated, said):
    prompt, ids = asked_and_said(templated, said)
    text, calls = parse_tool_calls(templated, prompt, ids, TOOLS)
    assert calls or text == templated.decode(ids)


def test_nothing_is_read_as_a_call_where_no_tools_were_offered(tokenizer):
    chat_template = ChatTemplate(copy.deepcopy(tokenizer))
    chat_template.tokenizer.chat_template += "{# <tool_call> #}"
    prompt, ids = asked_and_said(chat_template, CALL)
    assert parse_tool_calls(chat_template, prompt, ids, None) == (CALL, [])
    assert [call["function"]["name"] for call in parse_tool_calls(chat_template, prompt, ids, TOOLS)[1]] == ["find"]


SLOW_PATTERNS = {
    "start_anchor_pattern": {"start_anchor": None, "start_anchor_pattern": r"(?:a|aa)+$"},
    "open_pattern": {"open_pattern": r"(?:(?P<name>a|aa))+$"},
    "close_pattern": {"close": None, "close_pattern": r"(?:a|aa)+$"},
    "tag_pattern": {"content_args": {"tag_pattern": r"(?P<key>(?:a|aa)+)(?P<value>)$"}},
}


@pytest.mark.parametrize("where", SLOW_PATTERNS)
def test_a_template_cannot_stop_the_time(templated, where, caplog, monkeypatch):
    monkeypatch.setattr("ftkit.modeling.response_template._MAX_SECONDS", 0.05)
    own = copy.deepcopy(MARKED)
    (own if where == "start_anchor_pattern" else own["fields"]["tool_calls"]).update(SLOW_PATTERNS[where])
    for part in (own, own["fields"]["tool_calls"]):
        for name in [name for name, value in part.items() if value is None]:
            del part[name]
    templated.tokenizer.response_template = own
    said = f"<call find>{'a' * 60}b</call>"
    prompt = templated.encode_prompt([{"role": "user", "content": "a" * 60}])
    ids = templated.tokenizer(said, add_special_tokens=False)["input_ids"]
    began = time.thread_time()
    for _ in range(4):
        assert parse_tool_calls(templated, prompt, ids, TOOLS) == (said, [])
    assert time.thread_time() - began < 5
    assert len(caplog.messages) == 3
    assert "takes more than" in caplog.messages[0]
    assert "not tried again" in caplog.messages[2]


@pytest.mark.parametrize(
    "broken",
    [
        *([], {}, {"fields": {}}, {**MARKED, "start_anchor": "x" * 70_000}),
        {**MARKED, "fields": {"content": {"open_pattern": "("}}},
    ],
)
def test_a_template_that_is_none_is_named(templated, broken):
    templated.tokenizer.response_template = broken
    prompt, ids = asked_and_said(templated, "Aspirin.")
    with pytest.raises(ModelError, match="response_template"):
        parse_tool_calls(templated, prompt, ids, TOOLS)
    assert parse_tool_calls(templated, prompt, ids, None) == ("Aspirin.", [])

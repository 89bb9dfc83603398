"""Chats in OpenAI's form: what is kept, what is brought into one form, what is refused and where."""

from __future__ import annotations

import pytest

from ftkit import DataError, Dataset

USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}


def call(identity="c1", arguments='{"x": 1}'):
    made = {"id": identity, "type": "function", "function": {"name": "f", "arguments": arguments}}
    return {key: value for key, value in made.items() if value is not None}


def calls(*made):
    return {"role": "assistant", "tool_calls": list(made or [call()])}


def result(identity="c1"):
    return {"role": "tool", "content": "r", **({"tool_call_id": identity} if identity else {})}


def read(write_rows, messages, **columns):
    return Dataset.load(write_rows([{"messages": messages, **columns}]))[0]


def test_prompt_and_completion(write_rows):
    system = {"role": "system", "content": "s"}
    earlier = {"role": "assistant", "content": "b", "weight": 0}
    row = read(write_rows, [system, USER, earlier, USER, {**ANSWER, "weight": 1}])
    assert row.prompt == [system, USER, earlier, USER]
    assert row.completion == {**ANSWER, "weight": 1}
    assert row.messages == [*row.prompt, row.completion]
    assert row.target == "a"


def test_a_chat_that_ends_with_the_user_has_no_completion(write_rows):
    row = read(write_rows, [USER, ANSWER, USER])
    assert row.completion is None
    assert row.target is None
    assert row.messages == [USER, ANSWER, USER]


def test_tool_calls_and_tools_survive(write_rows):
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"default": None}}}]
    messages = [USER, calls(call("c1"), call("c2")), result("c2"), result("c1"), ANSWER]
    row = read(write_rows, messages, tools=tools, parallel_tool_calls=True)
    assert row.messages == messages
    assert row.tools == tools


def test_an_answer_may_be_a_call(write_rows):
    row = read(write_rows, [USER, calls()])
    assert row.completion == calls()
    assert row.target is None


def test_null_entries_are_dropped(write_rows):
    nulls = {"name": None, "tool_calls": None, "tool_call_id": None, "weight": None}
    assert read(write_rows, [{**USER, **nulls}, {**ANSWER, **nulls}]).messages == [USER, ANSWER]
    assert read(write_rows, [USER, {**calls(), "content": None}]).completion == calls()


def test_trl_calls_get_ids_and_argument_texts(write_rows):
    messages = [USER, calls(call(None, {"x": "ü", "y": None}), call(None, {})), result(None), result(None), ANSWER]
    row = read(write_rows, messages)
    assert row.messages == [
        USER,
        calls(call("call_1", '{"x": "ü", "y": null}'), call("call_2", "{}")),
        result("call_1"),
        result("call_2"),
        ANSWER,
    ]


def test_text_parts_are_joined(write_rows):
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    row = read(write_rows, [USER, {"role": "assistant", "content": parts}])
    assert row.completion == {"role": "assistant", "content": "ab"}
    assert row.target == "ab"


def test_messages_as_json_text_in_a_csv(write):
    name = write(
        "a.csv",
        'messages\n"[{""role"": ""user"", ""content"": ""q""}, {""role"": ""assistant"", ""content"": ""a""}]"\n',
    )
    assert Dataset.load(name)[0].messages == [USER, ANSWER]


@pytest.mark.parametrize(
    ("messages", "field", "text"),
    [
        ([], "messages", "empty"),
        ("nonsense", "messages", "not JSON"),
        (3, "messages", "must be a list"),
        ([USER, "a"], "messages[1]", "must be an object with role and content"),
        ([{"content": "q"}, ANSWER], "messages[0].role", "missing; it must be one of system, developer, user"),
        ([{"role": "human", "content": "q"}, ANSWER], "messages[0].role", "'human' is no role; write \"user\""),
        ([{"role": "function", "content": "q"}, ANSWER], "messages[0].role", "the deprecated form"),
        ([{"role": ["user"], "content": "q"}, ANSWER], "messages[0].role", "is no role"),
        ([USER, {"role": "system", "content": "s"}, ANSWER], "messages[1].role", "can only be the first one"),
        ([USER, result(), ANSWER], "messages[1].role", "must follow the assistant turn"),
        ([USER, calls(), USER, result(), ANSWER], "messages[3].role", "must follow the assistant turn"),
        ([USER, calls(), result("c9"), ANSWER], "messages[2].tool_call_id", "'c9' is no call that waits"),
        ([USER, calls(), result(), result(), ANSWER], "messages[3].tool_call_id", "each is answered"),
        ([USER, calls(), result(None), result(None)], "messages[3].tool_call_id", "None is no call that waits"),
        ([USER, calls(call(), call())], "messages[1].tool_calls", "the same id"),
        ([USER, {"role": "assistant", "tool_calls": "f"}], "messages[1].tool_calls", "must be a list"),
        ([USER, calls({"name": "f"})], "messages[1].tool_calls[0]", 'must be {"id"'),
        ([USER, calls(call("c", 3))], "messages[1].tool_calls[0].function.arguments", "JSON text or an object"),
        ([USER, calls(call(7))], "messages[1].tool_calls[0].id", "must be a text"),
        ([{**USER, "tool_calls": [call()]}, ANSWER], "messages[0].tool_calls", "only the assistant calls tools"),
        ([USER, {**ANSWER, "function_call": {"name": "f"}}], "messages[1].function_call", "write tool_calls"),
        ([USER, {"role": "assistant"}], "messages[1]", "an empty assistant turn"),
        ([USER, {"role": "assistant", "content": " \n"}], "messages[1]", "an empty assistant turn"),
        ([USER, {"role": "assistant", "content": "", "tool_calls": []}], "messages[1]", "an empty assistant turn"),
        ([{"role": "user"}, ANSWER], "messages[0].content", "missing"),
        ([{"role": "user", "content": 3}, ANSWER], "messages[0].content", "must be a text or a list of parts"),
        ([{"role": "user", "content": [7]}, ANSWER], "messages[0].content[0]", "a part must be"),
        ([{"role": "user", "content": [{"type": "text"}]}, ANSWER], "messages[0].content[0].text", "must be a text"),
        ([{**USER, "name": 3}, ANSWER], "messages[0].name", "must be a text"),
        ([USER, {**ANSWER, "weight": 2}], "messages[1].weight", "must be 0 (not learned) or 1 (learned)"),
        ([USER, {**ANSWER, "weight": True}], "messages[1].weight", "must be 0"),
        ([USER, {**ANSWER, "weight": "1"}], "messages[1].weight", "must be 0"),
        ([{**USER, "weight": 1}, ANSWER], "messages[0].weight", "only assistant messages have a weight"),
    ],
)
def test_faults(write_rows, messages, field, text):
    with pytest.raises(DataError) as caught:
        read(write_rows, messages)
    assert caught.value.field == field
    assert text in caught.value.message
    assert str(caught.value).startswith(f"rows.jsonl:1: {field}: ")


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"parallel_tool_calls": "yes"}, "parallel_tool_calls"),
        ({"tools": {"f": 1}}, "tools"),
        ({"tools": [{"name": 7}]}, "tools[0]"),
        ({"tools": "{"}, "tools"),
    ],
)
def test_faults_beside_the_messages(write_rows, columns, field):
    with pytest.raises(DataError) as caught:
        read(write_rows, [USER, ANSWER], **columns)
    assert caught.value.field == field

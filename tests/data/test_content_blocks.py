"""Thoughts, calls and results in the content of messages, and items of the Responses API: translated or refused."""

from __future__ import annotations

import pytest

from ftkit import DataError, Dataset

USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
THOUGHT_AND_CALL = {"role": "assistant", "reasoning_content": "hm", "content": "so", "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "r"}
CHAT = [USER, THOUGHT_AND_CALL, RESULT, {"role": "user", "content": "and?"}, ANSWER]

ANTHROPIC = [
    USER,
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "xyz"},
            {"type": "text", "text": "so"},
            {"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "r"}], "is_error": False},
            {"type": "text", "text": "and?"},
        ],
    },
    ANSWER,
]
BEDROCK = [
    USER,
    {
        "role": "assistant",
        "content": [
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "xyz"}}},
            {"text": "so"},
            {"toolUse": {"toolUseId": "c1", "name": "f", "input": {"x": 1}}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"toolResult": {"toolUseId": "c1", "content": [{"text": "r"}], "status": "success"}},
            {"text": "and?"},
        ],
    },
    ANSWER,
]
AI_SDK = [
    USER,
    {
        "role": "assistant",
        "content": [
            {"type": "reasoning", "text": "hm"},
            {"type": "text", "text": "so"},
            {"type": "tool-call", "toolCallId": "c1", "toolName": "f", "input": {"x": 1}},
        ],
    },
    {
        "role": "tool",
        "content": [
            {"type": "tool-result", "toolCallId": "c1", "toolName": "f", "output": {"type": "text", "value": "r"}}
        ],
    },
    {"role": "user", "content": "and?"},
    ANSWER,
]
RESPONSES = [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "q"}]},
    {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
    {"type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "so"}]},
    {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"x": 1}'},
    {"type": "function_call_output", "call_id": "c1", "output": "r"},
    {"role": "user", "content": "and?"},
    ANSWER,
]


@pytest.mark.parametrize("messages", [ANTHROPIC, BEDROCK, AI_SDK, RESPONSES])
def test_other_apis_messages_become_chat_messages(write_rows, messages):
    data = Dataset.load(write_rows([{"messages": messages}]))
    assert data[0].messages == CHAT
    assert not data.unread_columns()


def test_answers_of_pairs_and_completions_are_translated():
    thinking = {"role": "assistant", "content": ANTHROPIC[1]["content"]}
    prompts = [{"prompt": [*ANTHROPIC[:3]], "completion": RESPONSES[1:3]}]
    (row,) = Dataset.from_rows(prompts)
    assert row.completion == {"role": "assistant", "reasoning_content": "hm", "content": "so"}
    assert [message.get("weight") for message in row.prompt] == [None, 0, None, None]
    (pair,) = Dataset.from_rows([{"prompt": [*ANTHROPIC[:3]], "chosen": [thinking], "rejected": [ANSWER]}])
    assert pair.completion == THOUGHT_AND_CALL
    with pytest.raises(DataError, match=r"rejected\[0\]: differs from chosen"):
        list(Dataset.from_rows([{"chosen": [*ANTHROPIC], "rejected": [ANSWER], "prompt": ANTHROPIC[:3]}]))


def test_calls_and_results_in_turn_and_at_once():
    first, second = ({**RESPONSES[3], "call_id": name} for name in ("a", "b"))
    outputs = [{**RESPONSES[4], "call_id": name} for name in ("a", "b")]
    at_once = [*RESPONSES[:1], first, second, *outputs, ANSWER]
    in_turn = [*RESPONSES[:1], first, outputs[0], second, outputs[1], ANSWER]
    roles = [
        [message["role"] for message in row.messages]
        for row in Dataset.from_rows([{"messages": at_once}, {"messages": in_turn}])
    ]
    assert roles == [
        ["user", "assistant", "tool", "tool", "assistant"],
        ["user", "assistant", "tool", "assistant", "tool", "assistant"],
    ]


def test_prompts_that_end_with_a_result_are_prompts():
    (row,) = Dataset.from_rows([{"messages": RESPONSES[:5], "gold": "a"}])
    assert row.prompt[-1] == RESULT
    assert row.completion is None


def assistant(*blocks, **keys):
    return [USER, {"role": "assistant", "content": list(blocks), **keys}]


def results(*blocks, role="user"):
    return [*ANTHROPIC[:2], {"role": role, "content": list(blocks)}, ANSWER]


THINKING, TEXT, TOOL_USE = ANTHROPIC[1]["content"]
TOOL_RESULT = ANTHROPIC[2]["content"][0]


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        (assistant(TEXT, THINKING), r"messages\[1\].content\[1\]: .*behind a later one"),
        (assistant(TOOL_USE, TEXT), r"messages\[1\].content\[1\]: .*behind a later one"),
        (assistant({"type": "redacted_thinking", "data": "x"}, TEXT), r"content\[0\]: an encrypted thought"),
        (assistant({"type": "thinking", "thinking": 3}, TEXT), r"content\[0\].thinking: must be the text"),
        (assistant({**TOOL_USE, "input": "x"}), r"content\[0\].input: must be the arguments"),
        (assistant({**TOOL_USE, "name": None}), r"content\[0\].name: must be the name"),
        (assistant(THINKING, TEXT, reasoning_content="other"), r"reasoning_content: another thought"),
        (assistant(TOOL_USE, tool_calls=[{**CALL, "id": "c2"}]), r"tool_calls: other calls"),
        ([{"role": "user", "content": [TOOL_USE]}, ANSWER], r"messages\[0\].content\[0\]: only the assistant"),
        (results({**TOOL_RESULT, "is_error": True}), r"content\[0\].is_error: a mark that the tool failed"),
        (results(TEXT, TOOL_RESULT), r"content\[1\]: a result behind other parts"),
        (results({**TOOL_RESULT, "tool_use_id": "c9"}), r"messages\[2\].content\[0\].*'c9' is no call"),
        (results(TOOL_RESULT, role="assistant"), r"content\[0\]: only a user's or a tool's"),
        ([USER, {"type": "web_search_call", "id": "x"}, ANSWER], r"messages\[1\].type: .*'web_search_call'"),
        ([USER, {"type": "item_reference", "id": "x"}, ANSWER], r"messages\[1\].type: .*'item_reference'"),
        ([USER, {**RESPONSES[1], "content": [], "summary": [{"text": "s"}]}, ANSWER], r"\[1\].summary: a summary"),
        ([USER, {**RESPONSES[1], "content": None, "encrypted_content": "x"}, ANSWER], r"encrypted_content: an enc"),
        ([USER, {**RESPONSES[3], "arguments": {}}], r"messages\[1\].arguments: must be a text"),
        ([USER, {**RESPONSES[3], "weight": 0}], r"messages\[1\].weight: a mark"),
        ([USER, RESPONSES[1], {**ANSWER, "thinking": "x"}], r"messages\[2\].thinking: another thought"),
    ],
)
def test_what_cannot_be_exact_is_refused_with_its_place(messages, problem):
    with pytest.raises(DataError, match=problem):
        list(Dataset.from_rows([{"messages": messages}]))


def test_thoughts_as_lists_are_read():
    """Mistral's parts of a thought, and the lists of OpenRouter and LiteLLM."""
    mistral = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    openrouter = {**ANSWER, "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}
    litellm = {**ANSWER, "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "x"}]}
    turns = [assistant(mistral, {"type": "text", "text": "a"}), [USER, openrouter], [USER, litellm]]
    for row in Dataset.from_rows([{"messages": messages} for messages in turns]):
        assert row.completion == {**ANSWER, "reasoning_content": "hm"}
    for hidden in ({"type": "reasoning.encrypted", "data": "x"}, {"type": "redacted_thinking", "data": "x"}):
        with pytest.raises(DataError, match="not read; write the thought"):
            list(Dataset.from_rows([{"messages": [USER, {**ANSWER, "reasoning_details": [hidden]}]}]))

"""Writing OpenAI's and TRL's forms, and reading them back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftkit import ConfigError, DataError, Dataset, Task
from ftkit.data.formats import FORMATS
from ftkit.data.formats.traces import TraceFormat

USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
SAID = TEXT.filter(lambda text: text.strip())


@st.composite
def turns(draw):
    """One user turn, some rounds of tool calls, one answer."""
    user = {"role": "user", "content": draw(TEXT)} | draw(st.sampled_from([{}, {"name": "ann"}]))
    made = [user]
    for round_ in range(draw(st.integers(0, 2))):
        identities = [f"c{round_}.{n}" for n in range(draw(st.integers(1, 2)))]
        arguments = draw(st.dictionaries(TEXT, TEXT | st.integers(), max_size=2))
        function = {"name": draw(SAID), "arguments": json.dumps(arguments, ensure_ascii=False)}
        made.append(
            {
                "role": "assistant",
                "tool_calls": [{"id": i, "type": "function", "function": function} for i in identities],
            }
        )
        made += [
            {"role": "tool", "tool_call_id": identity, "content": draw(TEXT)}
            for identity in draw(st.permutations(identities))
        ]
    return [*made, {"role": "assistant", "content": draw(SAID)}]


@st.composite
def chats(draw):
    messages = (
        [{"role": draw(st.sampled_from(["system", "developer"])), "content": draw(TEXT)}] if draw(st.booleans()) else []
    )
    for part in draw(st.lists(turns(), min_size=1, max_size=3)):
        messages += part
    for message in messages:
        if message["role"] == "assistant":
            message |= draw(st.sampled_from([{}, {"weight": 0}, {"weight": 1}]))
    row = {"messages": messages}
    if draw(st.booleans()):
        parameters = {"type": "object", "properties": {draw(SAID): {"default": None}}}
        row["tools"] = [{"type": "function", "function": {"name": draw(SAID), "parameters": parameters}}]
        row["parallel_tool_calls"] = draw(st.booleans())
    return row


@st.composite
def preferences(draw):
    """OpenAI's form: a chat that ends with the user's turn or a tool's, and two answers to it."""
    row = draw(chats())
    asked = [{key: value for key, value in message.items() if key != "weight"} for message in row["messages"]]
    *asked, chosen = asked
    said = draw(SAID.filter(lambda text: text.strip() != chosen["content"].strip()))
    return {
        "input": {**row, "messages": asked},
        "preferred_output": [chosen],
        "non_preferred_output": [{"role": "assistant", "content": said}],
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(rows=st.lists(preferences(), min_size=1, max_size=4))
def test_openai_preferences_round_trip(write_rows, rows):
    data = Dataset.load(write_rows(rows))
    assert data.check() == []
    for read, row in zip(data, rows, strict=True):
        assert (read.completion, read.rejected) == (row["preferred_output"][0], row["non_preferred_output"][0])
    data.write_openai("out.jsonl")
    assert [json.loads(line) for line in Path("out.jsonl").read_bytes().splitlines()] == rows
    assert Dataset.load("out.jsonl").fingerprint == data.fingerprint


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    rows=st.lists(preferences(), min_size=1, max_size=4),
    margin=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_trl_preferences_round_trip(write_rows, rows, margin):
    data = Dataset.load(write_rows([{**row, "by": margin} for row in rows]), margin="by")
    data.write_trl("out.jsonl", form="preference")
    back = Dataset.load("out.jsonl")
    for read, row in zip(back, data, strict=True):
        assert (read.messages, read.rejected_messages) == (row.messages, row.rejected_messages)
        assert (read.margin, read.tools) == (row.margin, row.tools)
    back.write_trl("again.jsonl")
    assert Path("again.jsonl").read_bytes() == Path("out.jsonl").read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(rows=st.lists(chats(), min_size=1, max_size=4))
def test_openai_round_trip(write_rows, rows):
    data = Dataset.load(write_rows(rows))
    assert data.check() == []
    assert [row.messages for row in data] == [row["messages"] for row in rows]
    data.write_openai("out.jsonl")
    assert [json.loads(line) for line in Path("out.jsonl").read_bytes().splitlines()] == rows
    assert Dataset.load("out.jsonl").fingerprint == data.fingerprint


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(rows=st.lists(chats(), min_size=1, max_size=4), form=st.sampled_from(["prompt_completion", "messages"]))
def test_trl_round_trip_or_refusal(write_rows, rows, form):
    """What is learned is the same after the round trip; what TRL cannot say is refused."""
    data = Dataset.load(write_rows(rows))
    weights = [[m.get("weight", 1) for m in row.messages if m["role"] == "assistant"] for row in data]
    sayable = all((w[-1] and not any(w[:-1])) if form == "prompt_completion" else all(w) for w in weights)
    if not sayable:
        with pytest.raises(DataError, match=r"weight|earlier answer"):
            data.write_trl("out.jsonl", form=form)
        return
    data.write_trl("out.jsonl", form=form)
    back = Dataset.load("out.jsonl")
    assert [[{**m, "weight": m.get("weight", 1)} for m in row.messages] for row in back] == [
        [{**m, "weight": m.get("weight", 1)} for m in row.messages] for row in data
    ]
    assert [row.tools for row in back] == [row.tools for row in data]


def test_trl_forms_as_they_look(write_rows):
    tools = [{"type": "function", "function": {"name": "f"}}]
    chat = [
        USER,
        {"role": "assistant", "tool_calls": [CALL], "weight": 0},
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
    ]
    data = Dataset.load(write_rows([{"messages": [*chat, ANSWER], "tools": tools}]))
    data.write_trl("out.jsonl")
    arguments = {**CALL, "function": {"name": "f", "arguments": {"x": 1}}}
    assert json.loads(Path("out.jsonl").read_text()) == {
        "prompt": [USER, {"role": "assistant", "tool_calls": [arguments]}, chat[2]],
        "completion": [ANSWER],
        "tools": tools,
    }


def test_a_table_is_written_as_chats(write_rows):
    task = Task("Say it.", input="{a}")
    Dataset.load(write_rows([{"a": "q", "y": "a"}]), task, target="y").write_openai("out.jsonl")
    assert json.loads(Path("out.jsonl").read_text()) == {
        "messages": [{"role": "system", "content": "Say it."}, USER, ANSWER]
    }


def test_a_refused_row_leaves_the_old_file(write_rows, write):
    data = Dataset.load(write_rows([{"messages": [USER, ANSWER]}, {"messages": [USER, ANSWER, USER]}]))
    write("out.jsonl", "old")
    with pytest.raises(
        DataError, match=r"rows\.jsonl:2: messages\[2\]: the conversation ends with a turn of role 'user'"
    ):
        data.write_openai("out.jsonl")
    assert Path("out.jsonl").read_text() == "old"
    assert sorted(path.name for path in Path().glob("*out*")) == ["out.jsonl"]


def test_refusals_name_the_field(write_rows):
    data = Dataset.load(write_rows([{"messages": [USER, ANSWER, USER, ANSWER]}]))
    with pytest.raises(DataError, match=r"rows\.jsonl:1: messages\[1\]: this earlier answer is learned"):
        data.write_trl("out.jsonl")
    data = Dataset.load(write_rows([{"messages": [USER, {**ANSWER, "weight": 0}]}]))
    for form in ("messages", "prompt_completion"):
        with pytest.raises(DataError, match=r"rows\.jsonl:1: messages\[1\]\.weight: "):
            data.write_trl("out.jsonl", form=form)
    call = {**CALL, "function": {"name": "f", "arguments": "x"}}
    data = Dataset.load(write_rows([{"messages": [USER, {"role": "assistant", "tool_calls": [call]}]}]))
    with pytest.raises(DataError, match=r"messages\[1\]\.tool_calls\[0\]\.function\.arguments: not JSON"):
        data.write_trl("out.jsonl")
    with pytest.raises(ConfigError, match="form='chat' is not known"):
        data.write_trl("out.jsonl", form="chat")


def test_preferences_as_they_look(write_rows):
    bad = {"role": "assistant", "content": "b"}
    tools = [{"type": "function", "function": {"name": "f"}}]
    earlier = [{"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c1", "content": "r"}]
    asked = {"messages": [USER, *earlier], "tools": tools, "parallel_tool_calls": True}
    row = {"input": asked, "preferred_output": [ANSWER], "non_preferred_output": [bad]}
    data = Dataset.load(write_rows([{**row, "unread": 1}]))
    data.write_openai("out.jsonl")
    assert json.loads(Path("out.jsonl").read_text()) == row
    data.write_trl("out.jsonl")
    called = {**CALL, "function": {"name": "f", "arguments": {"x": 1}}}
    assert json.loads(Path("out.jsonl").read_text()) == {
        "prompt": [USER, {"role": "assistant", "tool_calls": [called]}, earlier[1]],
        "chosen": [ANSWER],
        "rejected": [bad],
        "tools": tools,
        "parallel_tool_calls": True,
    }


def test_what_a_form_of_preferences_cannot_hold(write_rows, write):
    task = Task("Say it.", input="{q}")
    rows = [{"q": "q", "up": "a", "down": "b", "by": None}, {"q": "r", "up": "a", "down": "b", "by": 0.5}]
    data = Dataset.load(write_rows(rows), task, chosen="up", rejected="down", margin="by")
    write("out.jsonl", "old")
    with pytest.raises(DataError, match=r"rows\.jsonl:2: margin: OpenAI's preferences have no margin"):
        data.write_openai("out.jsonl")
    for form in ("prompt_completion", "messages"):
        with pytest.raises(ConfigError, match=f"form='{form}' cannot hold preferences; write form='preference'"):
            data.write_trl("out.jsonl", form=form)
    chats = Dataset.load(write_rows([{"messages": [USER, ANSWER]}], "chats.jsonl"))
    with pytest.raises(ConfigError, match="form='preference' cannot hold demonstrations; write form='prompt_comp"):
        chats.write_trl("out.jsonl", form="preference")
    assert Path("out.jsonl").read_text() == "old"
    data.write_trl("out.jsonl")
    assert [json.loads(line).get("margin") for line in Path("out.jsonl").read_text().splitlines()] == [None, 0.5]


SAMPLES = {
    "demonstrations": {"messages": [USER, ANSWER]},
    "preferences": {"prompt": "q", "chosen": "a", "rejected": "b"},
    "unpaired_preferences": {"messages": [USER, ANSWER], "label": False},
    "prompts": {"messages": [{"role": "system", "content": "s"}, USER], "reference_answer": "4"},
    "texts": {"text": "A text."},
}
WRITABLE = {
    "demonstrations": ("openai", "trl_messages", "prompt_completion", "alpaca", "sharegpt"),
    "preferences": ("openai_preference", "trl_preference", "sharegpt_preference"),
    "unpaired_preferences": ("trl_unpaired_preference",),
    "prompts": ("openai_prompts", "trl_prompts"),
    "texts": ("text",),
}


@pytest.mark.parametrize(("kind", "format_"), [(kind, one) for kind, formats in WRITABLE.items() for one in formats])
def test_every_file_that_is_written_is_detected_when_it_is_read(kind, format_, tmp_path):
    data = Dataset.from_rows([SAMPLES[kind]])
    data.write(tmp_path / "out.jsonl", format=format_)
    again = Dataset.load(tmp_path / "out.jsonl")
    assert (again.kind, again[0].messages, again[0].rejected) == (kind, data[0].messages, data[0].rejected)
    assert again[0].item.get("reference_answer") == data[0].item.get("reference_answer")


def test_every_format_is_among_those_that_are_written():
    only_read = {"table", *(name for name, each in FORMATS.items() if isinstance(each, TraceFormat))}
    assert {name for formats in WRITABLE.values() for name in formats} == set(FORMATS.names()) - only_read


def test_prompts_written_for_trl_train_what_they_trained(tmp_path):
    data = Dataset.from_rows([SAMPLES["prompts"]] * 2)
    data.write_trl(tmp_path / "out.jsonl")
    again = Dataset.load(tmp_path / "out.jsonl")
    assert (again.format, again.kind, again.check()) == ("trl_prompts", "prompts", [])

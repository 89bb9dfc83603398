"""What is marked as not learned is not learned; marks that are not known are refused, and other keys are counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

import ftkit as ft
from ftkit.data import Dataset
from ftkit.errors import DataError

USER: dict[str, Any] = {"role": "user", "content": "q"}
ANSWER: dict[str, Any] = {"role": "assistant", "content": "a"}
MASKED = [
    *[(name, zero) for name in ("loss", "loss_mask", "step_loss_mask", "loss_scale", "train", "trainable")
      for zero in (False, 0, 0.0)],
    *[(name, one) for name in ("masked", "is_masked") for one in (True, 1)],
]  # fmt: skip


def weights(row: dict[str, Any], **options: Any) -> list[int | None]:
    messages = Dataset.from_rows([row], **options)[0].messages
    return [message.get("weight") for message in messages if message["role"] == "assistant"]


@pytest.mark.parametrize(("name", "value"), MASKED)
def test_a_mark_of_a_message_or_of_a_row_is_honoured(name, value):
    assert weights({"messages": [USER, {**ANSWER, name: value}, USER, ANSWER]}) == [0, None]
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a", name: value}]
    assert weights({"conversations": [*turns, *turns[:1], {"from": "gpt", "value": "b"}]}) == [0, None]
    rows: list[dict[str, Any]] = [
        {"messages": [USER, ANSWER]},
        {"prompt": "q", "completion": "a"},
        {"instruction": "q", "output": "a"},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
    ]
    for row in rows:
        assert weights({**row, name: value}) == [0]
        assert weights({**row, name: not value}) == [None]
    assert weights({"messages": [USER], "answer": "a", name: value}, target="answer") == [0]
    with pytest.raises(DataError, match=rf"{name}: .*rows of this kind are always learned"):
        list(Dataset.from_rows([{"prompt": "q", "chosen": "a", "rejected": "b", name: value}]))


def test_the_weight_of_a_row_holds_for_an_answer_in_a_column():
    assert weights({"messages": [USER, ANSWER, USER], "answer": "b", "weight": 0}, target="answer") == [0, 0]


def test_marks_in_csv_files_are_texts(tmp_path):
    table = tmp_path / "rows.csv"
    table.write_text("prompt,completion,train,images\nq,a,False,[]\nq,a,true,\nq,a,0,{}\nq,a,test,null\n")
    data = Dataset.load(table)
    assert [row.messages[-1].get("weight") for row in data] == [0, None, 0, None]
    assert data.unread_columns() == {"train": 1}
    turns = json.dumps([{**USER, "language": "en"}, {**ANSWER, "masked": True}]).replace('"', '""')
    table.write_text(f'messages,parallel_tool_calls\n"{turns}",false\n"{turns}",\n')
    assert [row.parallel_tool_calls for row in Dataset.load(table)] == [False, None]
    assert Dataset.load(table)[0].completion == {**ANSWER, "weight": 0}
    assert Dataset.load(table).unread_columns() == {"messages[].language": 2}
    table.write_text("prompt,completion,label\nq,a,0\nq,a,1\nq,a,False\nq,a,spam\n")
    assert [row.label for row in Dataset.load(table)] == [False, True, False, None]


@pytest.mark.parametrize(("name", "value"), [
    ("mask", True), ("ignore", True), ("learn", False), ("supervised", False), ("Weight", 0), ("trainOn", "no"),
    ("turn_weight", 0.5), ("skip_training", 1), ("completionMetadata", {"weight": 0}),
])  # fmt: skip
def test_what_looks_like_a_mark_is_refused_by_name(name, value):
    for row in (
        {"messages": [USER, {**ANSWER, name: value}]},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a", name: value}]},
    ):
        with pytest.raises(DataError, match=rf"\[1\]\.{name}: looks like a mark of whether the turn is learned"):
            list(Dataset.from_rows([row]))


def test_marks_of_a_row_that_say_something_else():
    row = {"messages": [USER, ANSWER]}
    with pytest.raises(DataError, match="loss_mask: a list"):
        list(Dataset.from_rows([{**row, "loss_mask": [0, 1]}]))
    other = Dataset.from_rows([{**row, "loss": 2.31, "train": "gsm8k"}])
    assert weights({**row, "loss": 2.31}) == [None]
    assert other.unread_columns() == {"loss": 1, "train": 1}


def test_keys_of_messages_that_nothing_reads_are_counted_and_named():
    turns = [{**USER, "language": "en"}, {**ANSWER, "metadata": {"train_step": 3}, "id": "m1", "annotations": []}]
    data = Dataset.from_rows([{"messages": turns}, {"messages": [USER, ANSWER]}])
    assert data.unread_columns() == {"messages[].language": 1, "messages[].metadata": 1}
    assert [one.path for one in ft.lint(data, select="D011", workers=1).findings] == [
        "messages[].language",
        "messages[].metadata",
    ]
    pair = {"input": {"messages": [{**USER, "topic": "t"}]}, "preferred_output": [ANSWER],
            "non_preferred_output": [{**ANSWER, "content": "b", "score": 1}]}  # fmt: skip
    assert Dataset.from_rows([pair]).unread_columns() == {
        "input.messages[].topic": 1,
        "non_preferred_output[].score": 1,
    }
    shared = [{"from": "human", "value": "q", "text": "t"}, {"from": "gpt", "value": "a", "markdown": None}]
    assert Dataset.from_rows([{"conversations": shared}]).unread_columns() == {"conversations[].text": 1}


def test_a_sharegpt_turn_keeps_its_calls_its_name_and_its_reasoning(tmp_path):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [
        {"from": "human", "value": "q", "name": "Ana"},
        {"from": "gpt", "value": "a", "tool_calls": [call], "reasoning_content": "r"},
    ]
    data = Dataset.from_rows([{"conversations": turns}])
    assert data[0].messages == [
        {**USER, "name": "Ana"},
        {**ANSWER, "tool_calls": [call], "reasoning_content": "r"},
    ]
    with pytest.raises(DataError, match="holds two turns"):
        list(Dataset.from_rows([{"conversations": [{**turns[0], **USER}, turns[1]]}]))
    with pytest.raises(DataError, match="has no name"):
        data.write(tmp_path / "out.jsonl", format="sharegpt")
    thought = Dataset.from_rows(
        [{"messages": [USER, {**ANSWER, "reasoning_content": "r"}], "parallel_tool_calls": True}]
    )
    thought.write(tmp_path / "out.jsonl", format="sharegpt")
    again = Dataset.load(tmp_path / "out.jsonl")
    assert (again[0].messages, again[0].parallel_tool_calls) == (thought[0].messages, True)
    with pytest.raises(DataError, match="reasoning"):
        thought.write(tmp_path / "out.jsonl", format="alpaca")
    for form in ("messages", "prompt_completion"):
        thought.write_trl(tmp_path / "out.jsonl", form=form)
        assert json.loads((tmp_path / "out.jsonl").read_text())["parallel_tool_calls"] is True


def test_sharegpt_writes_results_in_the_order_of_their_calls_only(tmp_path):
    def call(number):
        return {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": "f", "arguments": f'{{"n": {number}}}'},
        }

    def result(number):
        return {"role": "tool", "tool_call_id": f"call_{number}", "content": str(number)}

    asked = [USER, {"role": "assistant", "content": "", "tool_calls": [call(1), call(2)]}]
    data = Dataset.from_rows([{"messages": [*asked, result(1), result(2), ANSWER]}])
    data.write(tmp_path / "out.jsonl", format="sharegpt")
    assert Dataset.load(tmp_path / "out.jsonl")[0].messages[2:] == data[0].messages[2:]
    for results in ([result(2), result(1)], [result(2)]):
        with pytest.raises(DataError, match=r"messages\[2\]: .* in the order of the calls"):
            Dataset.from_rows([{"messages": [*asked, *results, ANSWER]}]).write(
                tmp_path / "out.jsonl", format="sharegpt"
            )


@pytest.mark.parametrize("content", [
    [{"type": "input_text", "text": "q"}],
    [{"type": "output_text", "text": "q", "annotations": []}],
    [{"text": "q"}],
    ["q"],
    {"type": "text", "text": "q"},
    [{"type": "text", "text": "q", "cache_control": {"type": "ephemeral"}}],
])  # fmt: skip
def test_every_form_of_a_text_is_read_as_text(content):
    for data in (
        Dataset.from_rows(
            [{"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": content}]}]
        ),
        Dataset.from_rows(
            [{"conversations": [{"from": "human", "value": content}, {"from": "gpt", "value": content}]}]
        ),
        Dataset.from_rows([{"system": content, "messages": [USER, {**ANSWER, "content": "q"}]}]),
    ):
        assert data[0].messages[0]["content"] == data[0].messages[-1]["content"] == "q"
        assert data[0].target == "q"


def test_answers_of_other_parts_or_of_calls_are_no_empty_answers():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    for content in ("", "\n", [], [{"type": "text", "text": ""}], None):
        (row,) = Dataset.from_rows([{"messages": [USER, {**ANSWER, "content": content, "tool_calls": [call]}]}])
        assert row.target is None
        assert row.completion["tool_calls"] == [call]
    (row,) = Dataset.from_rows([{"messages": [USER, {**ANSWER, "content": [{"type": "refusal", "refusal": "no"}]}]}])
    assert row.target is None


def test_reasoning_is_a_text_or_parts_of_text():
    def row(**keys):
        return {"messages": [USER, {**ANSWER, **keys}]}

    (data,) = Dataset.from_rows([row(reasoning_content=[{"type": "text", "text": "r"}])])
    assert data.messages[1]["reasoning_content"] == "r"
    (data,) = Dataset.from_rows([row(reasoning="r", reasoning_details=[{"type": "reasoning.text", "text": "r"}])])
    assert "reasoning_details" not in data.messages[1]
    for keys, problem in (
        ({"thinking": {"a": 1}}, r"thinking: must be a text"),
        ({"reasoning_details": [{"text": "r"}]}, r"reasoning_details: .*reasoning_content"),
        ({"refusal": "no"}, r"refusal: .*content"),
    ):
        with pytest.raises(DataError, match=problem):
            list(Dataset.from_rows([row(**keys)]))


def test_pairs_that_differ_in_their_reasoning_are_pairs():
    pair = {"chosen": {**ANSWER, "reasoning_content": "r"}, "rejected": {**ANSWER, "reasoning_content": "s"}}
    (row,) = Dataset.from_rows([{"prompt": [USER], **pair}])
    assert row.rejected == {**ANSWER, "reasoning_content": "s"}


def test_a_weight_in_the_prompt_of_a_completion_is_refused():
    with pytest.raises(DataError, match=r"prompt\[1\]\.weight: must be 0"):
        list(Dataset.from_rows([{"prompt": [USER, {**ANSWER, "weight": 1}, USER], "completion": [ANSWER]}]))


def test_history_is_read_beside_texts_and_refused_beside_messages():
    (row,) = Dataset.from_rows([{"prompt": "q", "completion": "a", "history": [["x", "y"]], "system": "s"}])
    assert [message["content"] for message in row.messages] == ["s", "x", "y", "q", "a"]
    for beside in ({"prompt": [USER], "completion": [ANSWER]}, {"messages": [USER, ANSWER]}):
        with pytest.raises(DataError, match="history: earlier turns"):
            list(Dataset.from_rows([{**beside, "history": [["x", "y"]]}]))
    assert Dataset.from_rows([{"messages": [USER, ANSWER], "history": "asthma"}]).unread_columns() == {"history": 1}


@pytest.mark.parametrize("name", ["functions", "function_call", "chat_template_kwargs"])
def test_settings_of_other_tools_are_refused_by_name(name):
    for row in (
        {"prompt": "q", "completion": "a"},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
    ):
        with pytest.raises(DataError, match=f"{name}: "):
            list(Dataset.from_rows([{**row, name: {"enable_thinking": False}}]))
        assert len(list(Dataset.from_rows([{**row, name: None}]))) == 1


def test_tools_of_other_forms_are_converted():
    schema = {"type": "object", "properties": {}}
    wanted = [{"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}}]
    for tool in (
        wanted[0],
        {"name": "f", "description": "d", "parameters": schema},
        {"name": "f", "description": "d", "input_schema": schema},
        {"type": "function", "name": "f", "description": "d", "parameters": schema},
        json.dumps(wanted[0]),
    ):
        for tools in ([tool], json.dumps([tool])):
            assert Dataset.from_rows([{"messages": [USER, ANSWER], "tools": tools}])[0].tools == wanted
    with pytest.raises(DataError, match=r"tools\[0\]: a tool of type 'web_search"):
        list(Dataset.from_rows([{"messages": [USER, ANSWER], "tools": [{"type": "web_search_20250305", "name": "w"}]}]))


@pytest.mark.parametrize(("role", "advice"), [
    ("System", 'write "system"'), ("Chatbot", 'write "assistant"'), ("USER", 'write "user"'),
    ("tool_response", 'write "tool"'),
    ("tool_call", 'write "assistant" with tool_calls'), ("narrator", "one of system"),
])  # fmt: skip
def test_roles_of_other_tools_are_named_with_advice(role, advice):
    with pytest.raises(DataError, match=rf"messages\[1\]\.role: '{role}' is no role; .*{advice}"):
        list(Dataset.from_rows([{"messages": [USER, {**ANSWER, "role": role}]}]))


@pytest.mark.parametrize("name", ["weight", "image", "images", "functions", "chat_template_kwargs", "system", "tools"])
def test_a_missing_value_of_pandas_is_named(name):
    with pytest.raises(DataError, match=f"{name}: nan is not JSON; use None"):
        list(Dataset.from_rows([{"prompt": "q", "completion": "a", name: float("nan")}]))

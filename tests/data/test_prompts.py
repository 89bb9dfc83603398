"""Rows that only ask: told from their columns, never from one row alone."""

from __future__ import annotations

import json

import pytest

import ftkit as ft
from ftkit import ConfigError, DataError, Dataset, Task

ASKED = {"messages": [{"role": "user", "content": "2 + 2?"}], "reference_answer": "4"}
ANSWERED = {"messages": [*ASKED["messages"], {"role": "assistant", "content": "4"}]}


def test_messages_without_answers_are_prompts_with_what_graders_read(write_rows):
    data = Dataset.load(write_rows([ASKED, ASKED]))
    assert (data.kind, data.format) == ("prompts", "openai_prompts")
    assert data[0].prompt == ASKED["messages"]
    assert data[0].completion is None
    assert data[0].item == {"reference_answer": "4"}
    assert Dataset.from_spec(data.to_spec()).kind == "prompts"
    assert data.check() == []


def test_a_row_without_an_answer_among_others_is_a_fault(write_rows):
    data = Dataset.load(write_rows([ANSWERED, ASKED]))
    assert data.kind == "demonstrations"
    [problem] = data.check()
    assert "no assistant turn" in problem.message
    assert problem.field == "messages"


@pytest.mark.parametrize("role", ["user", "tool"])
def test_a_chat_that_ends_without_an_answer_is_the_same_fault_everywhere(write_rows, tmp_path, role):
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    last = {"user": ASKED["messages"][0], "tool": {"role": "tool", "tool_call_id": "c1", "content": "r"}}[role]
    before = (
        ANSWERED["messages"] if role == "user" else [*ASKED["messages"], {"role": "assistant", "tool_calls": [call]}]
    )
    path = write_rows([ANSWERED, {"messages": [*before, last]}])
    data = Dataset.load(path)
    [problem] = data.check()
    text = (
        f"rows.jsonl:2: messages[2]: the conversation ends with a turn of role {role!r}, so there is no answer to learn"
    )
    assert str(problem).startswith(text)
    assert problem.problem == "no_answer"
    for use in (list, Dataset.split, lambda data: data.write_openai(tmp_path / "x.jsonl"), lambda data: data[1]):
        with pytest.raises(DataError, match="ends with a turn of role"):
            use(data) if use is not Dataset.split else list(use(data, test=1)[0]) + list(use(data, test=1)[1])
    (finding,) = ft.lint(data, select="D003").findings
    assert (finding.line, finding.path) == (2, "messages[2]")
    assert finding.message in str(problem)


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}] * 2}, "conversations[3]"),
        (
            {"system": "s", "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}] * 2},
            "conversations[3]",
        ),
    ],
)
def test_the_field_is_that_of_the_row(write_rows, row, field):
    row["conversations"][3] = {"from": "human", "value": "q"}
    [problem] = Dataset.load(write_rows([row])).check()
    assert problem.field == field
    [problem] = Dataset.load(write_rows([{"conversations": row["conversations"][:1]}])).check()
    assert problem.field == "conversations"


def test_prompts_have_one_answer_everywhere(write_rows, tmp_path):
    data = Dataset.load(write_rows([{"messages": [*ANSWERED["messages"], *ASKED["messages"]]}]))
    assert data.kind == "prompts"
    with pytest.raises(DataError, match="ends with a turn of role 'user'"):
        data.write(tmp_path / "x.jsonl", format="openai")
    report = ft.lint(data)
    assert "the rows are prompts" in report.skipped[0]


def test_a_prompt_with_an_answer_is_a_fault(write_rows):
    data = Dataset.load(write_rows([ANSWERED]), format="openai_prompts")
    with pytest.raises(DataError, match="ends with an answer"):
        data[0]


def test_a_table_is_prompts_until_its_answer_is_named(write_rows):
    path = write_rows([{"q": "2 + 2?", "a": "4"}])
    task = Task(input="{q}")
    assert Dataset.load(path, task).kind == "prompts"
    named = Dataset.load(path, task, target="a")
    assert named.kind == "demonstrations"
    assert named[0].item == {"q": "2 + 2?", "a": "4", "target": "4"}


def test_messages_can_have_their_answer_in_a_column(write_rows):
    data = Dataset.load(write_rows([ASKED]), target="reference_answer")
    assert data.kind == "demonstrations"
    assert data[0].completion == {"role": "assistant", "content": "4"}


def test_prompts_are_written_as_openai_and_trl_read_them(write_rows, tmp_path):
    data = Dataset.load(write_rows([ASKED]))
    data.write_openai(tmp_path / "openai.jsonl")
    assert json.loads((tmp_path / "openai.jsonl").read_text()) == ASKED
    data.write_trl(tmp_path / "trl.jsonl")
    assert json.loads((tmp_path / "trl.jsonl").read_text()) == {"prompt": ASKED["messages"], "reference_answer": "4"}
    with pytest.raises(ConfigError, match="cannot hold prompts"):
        data.write_trl(tmp_path / "trl.jsonl", form="messages")


def test_demonstrations_can_be_written_as_prompts(write_rows, tmp_path):
    data = Dataset.load(write_rows([{"q": "2 + 2?", "a": "4"}]), Task(input="{q}"), target="a")
    data.write_openai(tmp_path / "rows.jsonl", form="reinforcement")
    written = json.loads((tmp_path / "rows.jsonl").read_text())
    assert written["messages"] == ASKED["messages"]
    assert written["a"] == "4"
    assert written["target"] == "4"


def test_prompts_of_sharegpt_turns(write_rows):
    turns = [{"from": "system", "value": "s"}, {"from": "human", "value": "q"}]
    for row, format_ in (({"messages": turns}, "openai_prompts"), ({"prompt": turns}, "trl_prompts")):
        data = Dataset.load(write_rows([row]))
        assert (data.kind, data.format, data[0].prompt[-1]["content"]) == ("prompts", format_, "q")

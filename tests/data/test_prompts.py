"""Rows that only ask: told from their columns, never from one row alone."""

from __future__ import annotations

import json

import pytest

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

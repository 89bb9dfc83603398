"""What a grader says, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ftkit as ft

from .conftest import write_rows

AGE = ft.StringCheckGrader(input="{{sample.output_json.age}}", reference="{{item.age}}")
ROWS = [{"id": "a", "age": 40, "answer": {"age": 40}}, {"id": "b", "age": 41, "answer": "She is 41."}]


@pytest.fixture(autouse=True)
def grader() -> None:
    Path("grader.json").write_text(AGE.model_dump_json(), encoding="utf-8")


def test_each_answer_is_graded_and_what_could_not_be_is_told(ftkit):
    write_rows("answers.jsonl", ROWS)
    found = ftkit("grade", "answers.jsonl", "--grader", "grader.json", "--json")
    first, second = map(json.loads, found.stdout.splitlines())
    assert first == {"id": "a", "reward": 1.0}
    assert (second["id"], second["reward"], second["error"]) == ("b", 0.0, "sample_parse_error")
    assert "mean 0.5 over 2 answers" in found.stderr
    assert "1 of 2 answers could not be graded" in found.stderr
    assert found.exit_code == 1
    write_rows("right.jsonl", ROWS[:1])
    plain = ftkit("grade", "right.jsonl", "--grader", "grader.json")
    assert (plain.exit_code, plain.stdout) == (0, "mean 1 over 1 answer, from 1 to 1\n")


def test_a_row_without_its_answer_is_named(ftkit):
    write_rows("answers.jsonl", [ROWS[0], {"age": 3, "said": "3"}])
    found = ftkit("grade", "answers.jsonl", "--grader", "grader.json")
    assert found.exit_code != 0
    assert "answers.jsonl:2" in found.stderr
    assert "--answer" in found.stderr
    write_rows("said.jsonl", [{"age": 3, "said": '{"age": 3}'}])
    assert ftkit("grade", "said.jsonl", "--grader", "grader.json", "--answer", "said").exit_code == 0
    assert ftkit("grade", "nowhere.jsonl", "--grader", "grader.json").exit_code != 0


def test_a_model_that_earns_nothing_has_nothing_to_learn_from(ftkit, tiny_model):
    write_rows("rows.jsonl", [{"messages": [{"role": "user", "content": f"Age {n}?"}], "age": n} for n in range(2)])
    ft.RFT(grader=AGE, num_generations=2, max_output_tokens=2).to_yaml("rft.yaml")
    ft.SFT().to_yaml("sft.yaml")
    where = ("--data", "rows.jsonl", "--backend", f"local:{tiny_model}")
    found = ftkit("reward-signal", "rft.yaml", *where, "--json")
    assert found.exit_code == 1, found.stderr
    assert json.loads(found.stdout)["error_rate"] == 1
    assert "there is no signal to learn from" in found.stderr
    assert "kind rft" in ftkit("reward-signal", "sft.yaml", *where).stderr

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ftkit as ft
from ftkit.schema import ChoiceOutput, JsonOutput, TextOutput

from .conftest import write_rows

VISITS = [
    {"note": "Ana, 54, metformin", "record": {"name": "Ana", "age": 54, "drug": "metformin"}},
    {"note": "Li, no drugs", "record": {"name": "Li", "age": None, "drug": None}},
]


def written(done) -> ft.Task:
    assert done.exit_code == 0, done.stderr
    return ft.Task.from_yaml(done.stdout)


def test_objects_become_a_schema(ftkit):
    rows = write_rows("visits.jsonl", VISITS)
    done = ftkit(
        *("task", "--data", rows, "--input", "{note}", "--target", "record", "--instructions", "Extract the visit.")
    )
    task = written(done)
    assert task.instructions == "Extract the visit."
    assert task.input == "{note}"
    assert isinstance(task.output, JsonOutput)
    assert task.output.name == "record"
    assert task.output.fields()["age"] == {"type": ["integer", "null"]}
    assert done.stderr == "output inferred from the rows: a JSON object with 3 keys: name, age, drug\n"
    assert not ft.Dataset.load(rows, task, target="record").check()


def test_few_distinct_texts_become_choices(ftkit):
    rows = write_rows("m.jsonl", [{"m": f"message {n}", "label": ["bug", "billing"][n % 2]} for n in range(8)])
    task = written(ftkit("task", "--data", rows, "--input", "{m}", "--target", "label"))
    assert task.output == ChoiceOutput(choices=("billing", "bug"))


def test_other_texts_become_text(ftkit):
    rows = write_rows("m.jsonl", [{"m": f"message {n}", "reply": f"Dear {n}"} for n in range(8)])
    assert written(ftkit("task", "--data", rows, "--input", "{m}", "--target", "reply")).output == TextOutput()


def test_the_answers_of_conversations_are_read_too(ftkit):
    rows = write_rows("chat.jsonl", [
        {"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": json.dumps({"n": n})}]}
        for n in range(5)
    ])  # fmt: skip
    task = written(ftkit("task", "--data", rows))
    assert task.input is None
    assert task.output.fields() == {"n": {"type": "integer"}}
    assert not ft.Dataset.load(rows, task).check()


def test_a_csv_file_and_another_name_of_a_column(ftkit):
    Path("m.csv").write_text("text;label\n".replace(";", ",") + "a,yes\nb,no\n" * 3)
    words = ("task", "--data", "m.csv", "--input", "{note}", "--column", "note=text", "--target", "label")
    assert written(ftkit(*words)).output == ChoiceOutput(choices=("no", "yes"))


def test_a_target_inside_a_column(ftkit):
    rows = write_rows("m.jsonl", [{"m": "a", "meta": {"gold answer": {"n": 1}, "gold": {"n": 2}}}])
    assert written(ftkit("task", "--data", rows, "--input", "{m}", "--target", "meta.gold")).output.name == "gold"
    assert (
        written(ftkit("task", "--data", rows, "--input", "{m}", "--target", "meta.gold answer")).output.name == "answer"
    )


def test_an_output_given_as_schema_class_choices_or_text(ftkit):
    Path("schema.json").write_text('{"type": "object", "properties": {"n": {"type": "integer"}}}')
    Path("visits.py").write_text("from pydantic import BaseModel\nclass Visit(BaseModel):\n    name: str\n")
    task = ("task", "--input", "{note}")
    assert list(written(ftkit(*task, "--schema", "schema.json")).output.fields()) == ["n"]
    assert list(written(ftkit(*task, "--class", "visits.py:Visit")).output.fields()) == ["name"]
    assert written(ftkit(*task, "--choices", "low, high")).output == ChoiceOutput(choices=("low", "high"))
    assert written(ftkit(*task, "--text")).output == TextOutput()
    assert written(ftkit(*task, "--text", "--no-show-schema")).show_schema is False


def test_it_is_written_to_a_file(ftkit):
    done = ftkit("task", "--text", "--input", "{a}", "-o", "task.yaml")
    assert (done.stdout, done.stderr) == ("", "wrote task.yaml\n")
    assert ft.Task.from_yaml(Path("task.yaml")) == ft.Task(input="{a}")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--input", "{note}"], 2, "the output is missing"),
        (["--text", "--choices", "a,b"], 2, "--choices and --text cannot be combined"),
        (["--data", "visits.jsonl", "--input", "{note}"], 2, "give the column of the target answers"),
        (["--data", "visits.jsonl", "--input", "{text}", "--target", "record"], 1, "the task reads text"),
        (["--data", "visits.jsonl", "--input", "{note}", "--target", "gold"], 1, "visits.jsonl:1: gold: missing"),
        (["--data", "visits.jsonl", "--input", "{note}", "--text", "--target", "gold"], 1, "no column 'gold'"),
        (
            ["--data", "null.jsonl", "--input", "{note}", "--target", "record"],
            1,
            "null.jsonl:2: record: the target answer is null",
        ),
        (["--data", "visits.jsonl", "--input", "{note", "--target", "record"], 2, "that is not closed"),
        (
            ["--data", "visits.jsonl", "--input", "{n}", "--column", "n", "--target", "record"],
            2,
            "expected NAME=COLUMN",
        ),
        (["--schema", "no.json"], 2, "no.json: not a JSON Schema: not JSON"),
        (["--schema", "list.json"], 2, "list.json: not a JSON Schema: expected an object"),
        (["--schema", "wrong.json"], 2, "wrong.json: JsonOutput: json_schema: not a valid JSON Schema"),
        (["--class", "nowhere.py:Visit"], 2, 'there is no file "nowhere.py"'),
        (["--choices", "a"], 2, "needs at least two choices"),
    ],
)
def test_what_is_wrong_is_said(ftkit, arguments, status, message):
    write_rows("visits.jsonl", VISITS)
    write_rows("null.jsonl", [VISITS[0], {"note": "a", "record": None}])
    Path("no.json").write_text("{")
    Path("list.json").write_text("[]")
    Path("wrong.json").write_text('{"type": "objekt"}')
    failed = ftkit("task", *arguments)
    assert failed.exit_code == status
    assert message in failed.stderr
    assert failed.stdout == ""


CALLED = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ASKED = {"role": "user", "content": "q"}


def test_answers_that_only_call_tools_say_so(ftkit):
    called = {"messages": [ASKED, {"role": "assistant", "tool_calls": [CALLED]}]}
    said = {"messages": [ASKED, {"role": "assistant", "content": "x"}]}
    failed = ftkit("task", "--data", write_rows("calls.jsonl", [called] * 2))
    assert failed.exit_code == 1
    assert "calls.jsonl:1: each of the 2 answers calls tools and has no text" in failed.stderr
    assert "give --text" in failed.stderr
    done = ftkit("task", "--data", write_rows("mixed.jsonl", [called, said]))
    assert written(done).output == TextOutput()
    assert done.stderr.startswith("1 answer calls tools and has no text and is left out\n")
    assert written(ftkit("task", "--data", "calls.jsonl", "--text")).output == TextOutput()


@pytest.mark.parametrize("form", ["messages", "prompt"])
def test_prompts_say_that_they_have_no_answers(ftkit, form):
    rows = write_rows("prompts.jsonl", [{form: [ASKED], "gold": "4"}] * 2)
    failed = ftkit("task", "--data", rows)
    assert failed.exit_code == 1
    assert "prompts.jsonl:1: the row is a prompt and has no answer" in failed.stderr
    assert "--target COLUMN" in failed.stderr
    assert written(ftkit("task", "--data", rows, "--target", "gold")).output == TextOutput()

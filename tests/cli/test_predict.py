from __future__ import annotations

import json
from decimal import Decimal

import pytest
from pydantic import BaseModel

from ftkit import ToolCall
from ftkit.cli.console import json_line, json_text


def test_one_row_gives_the_answer_itself(ftkit, trained):
    done = ftkit("predict", f"toy:{trained}", "--set", "text=some = words")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == {"first": "some", "words": 3}


def test_text_is_printed_bare(ftkit):
    ftkit("task", "--text", "--input", "{text}", "-o", "text.yaml")
    done = ftkit("predict", "toy:base", "--task", "text.yaml", "--set", "text=ünï\ncode")
    assert done.stdout == "What a text! It says: ünï\ncode\n"


def test_an_answer_that_is_not_valid_is_shown_with_what_is_wrong(ftkit, task):
    failed = ftkit("predict", "toy:base", "--task", task, "--set", "text=hello")
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert failed.stderr.startswith("the model answered: What a text! It says: hello\nerror: $: ")


def test_many_rows_give_a_line_each_in_their_order(ftkit, trained):
    rows = [{"id": n, "text": f"row number {n}", "more": [1]} for n in range(150)]
    done = ftkit("predict", trained, given="\n\n".join(json.dumps(row) for row in rows))
    assert done.exit_code == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert answers == [{"id": n, "answer": {"first": "row", "words": 3}} for n in range(150)]


def test_bad_answers_among_many_keep_their_place(ftkit, trained):
    done = ftkit("predict", trained, given='{"text": "fine"}\n{"text": "an odd one", "id": "x"}\n')
    assert done.exit_code == 1
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"answer": {"first": "fine", "words": 1}},
        {
            "id": "x",
            "answer": None,
            "error": '$.words: expected integer, got string "many"',
            "text": '{"first": "an", "words": "many"}',
        },
    ]
    assert done.stderr == "error: 1 of 2 answers is not valid for the task\n"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ('{"text": "a"}\n{"text": \n', "standard input:2: not JSON"),
        ('{"text": "a"}\n\n{"note": "b"}\n', "standard input:3: "),
        ("[1]\n", "standard input:1: a row must be a JSON object"),
        (b'{"text": "\xff"}\n', "standard input:1: not UTF-8"),
    ],
)
def test_a_line_that_cannot_be_asked_is_named(ftkit, trained, given, message):
    failed = ftkit("predict", trained, given=given)
    assert failed.exit_code == 1
    assert message in failed.stderr


def test_columns_are_written_with_an_equals_sign(ftkit, trained):
    failed = ftkit("predict", trained, "--set", "text")
    assert failed.exit_code == 2
    assert 'expected COLUMN=TEXT, e.g. note="text"' in failed.stderr


def test_a_column_that_the_task_reads_must_be_there(ftkit, trained):
    failed = ftkit("predict", trained, "--set", "note=a")
    assert failed.exit_code == 2
    assert 'reads the column "text"' in failed.stderr


def test_objects_and_calls_of_tools_are_printed_as_json():
    class Bill(BaseModel):
        total: Decimal
        tags: set[str]

    assert (
        json_line({"answer": Bill(total="1.5", tags={"b", "a"})}) == '{"answer": {"total": "1.5", "tags": ["a", "b"]}}'
    )
    call = {"name": "book", "arguments": {"day": 1}, "id": None}
    assert json.loads(json_text([ToolCall("book", {"day": 1})])) == [call]


def test_an_engine_is_for_models_of_this_machine(ftkit, task, trained):
    refused = ftkit("predict", f"toy:{trained}", "--engine", "vllm", "--set", "text=a")
    assert "toy runs its models itself" in refused.stderr
    unknown = ftkit("predict", "local:smollm2-135m", "--task", task, "--engine", "vlm", "--set", "text=a")
    assert "no engine 'vlm'; known are torch, vllm" in unknown.stderr

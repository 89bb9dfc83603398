from __future__ import annotations

import json
from pathlib import Path

import pytest

import ftkit as ft

from .conftest import write_rows


def rows_of(path: str) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def test_check_counts_what_is_there(ftkit, texts, task):
    done = ftkit("data", "check", texts, "--task", task, "--target", "gold")
    assert done.exit_code == 0
    assert done.stdout == "5 rows, format table, 5 with a wanted answer\n"
    assert ftkit("data", "check", texts, "--task", task).stdout == "5 rows, format table, 0 with a wanted answer\n"


def test_check_counts_choices_groups_and_rows_that_are_there_twice(ftkit):
    rows = [{"m": f"m{n % 9}", "label": ["bug", "billing", "bug"][n % 3], "who": n % 2} for n in range(18)]
    write_rows("m.jsonl", rows)
    ftkit("task", "--data", "m.jsonl", "--input", "{m}", "--target", "label", "-o", "task.yaml")
    done = ftkit("data", "check", "m.jsonl", "m.jsonl", "--task", "task.yaml", "--target", "label", "--group", "who")
    assert done.stdout.splitlines() == [
        "36 rows, format table, 36 with a wanted answer",
        "18 rows have the id or the content of an earlier one",
        "2 groups",
        "      24  bug",
        "      12  billing",
    ]


def test_check_shows_rows_as_the_model_sees_them(ftkit, texts, task):
    done = ftkit("data", "check", texts, "--task", task, "--target", "gold", "--show", 1)
    assert done.stdout.partition("\n\n")[2] == (
        "--- texts.jsonl:1  id t0\n[system]\nAnswer with one JSON object with these keys, in this order:\n"
        "- first: string\n- words: integer\n[user]\none\n"
        '[assistant] (the wanted answer)\n{"first": "one", "words": 1}\n'
    )


def test_check_reports_every_faulty_row(ftkit, task):
    Path("bad.jsonl").write_text(
        '{"text": "a", "gold": {"first": "a", "words": 1}}\n{"text": "b", "gold": {"first": "b"}}\n{"text": \n'
        '{"text": "c"}\n'
    )
    failed = ftkit("data", "check", "bad.jsonl", "--task", task, "--target", "gold")
    assert failed.exit_code == 1
    lines = failed.stdout.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["bad.jsonl:2", "bad.jsonl:3", "bad.jsonl:4"]
    assert "$.words: this key is missing" in lines[0]
    assert failed.stderr == "error: 3 of 4 rows cannot be used\n"


def test_a_conversation_with_tools_and_parts_can_be_shown(ftkit):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    row = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Do it."}]},
            {"role": "assistant", "tool_calls": [call]},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
    }
    write_rows("chat.jsonl", [row])
    shown = ftkit("data", "check", "chat.jsonl", "--show", 3)
    assert shown.exit_code == 0, shown.stderr
    assert '[{"type": "text", "text": "Do it."}]' in shown.stdout
    assert json.dumps(call) in shown.stdout


def test_split_writes_whole_rows_as_python_would_divide_them(ftkit):
    rows = [{"text": f"ünï {n}", "who": f"p{n % 17}", "gold": {"n": n, "x": [1.5, None]}} for n in range(100)]
    write_rows("rows.jsonl", rows)
    done = ftkit(
        *("data", "split", "rows.jsonl", "--test", "0.2", "--validation", "10", "--group-by", "who", "--seed", 7),
        *("-o", "parts"),
    )
    assert done.exit_code == 0, done.stderr
    data = ft.Dataset.load("rows.jsonl", ft.Task(input="{text}"))
    train, validation, test = data.split(0.2, validation=10, group_by="who", seed=7)
    for name, part in {"train": train, "validation": validation, "test": test}.items():
        assert rows_of(f"parts/{name}.jsonl") == [dict(row.columns) for row in part]
        assert f"parts/{name}.jsonl: {len(part)} rows" in done.stderr


def test_split_stratifies_and_takes_any_kind_of_file(ftkit):
    Path("m.csv").write_text("m,label\n" + "".join(f"{n},{'ab'[n % 4 == 0]}\n" for n in range(40)))
    assert ftkit("data", "split", "m.csv", "--test", "0.25", "--stratify-by", "label", "-o", "p").exit_code == 0
    labels = [row["label"] for row in rows_of("p/test.jsonl")]
    assert (labels.count("a"), labels.count("b")) in {(8, 2), (7, 3)}
    data = ft.Dataset.load("m.csv", ft.Task(input="{m}"))
    _, test = data.split(0.25, stratify_by="label")
    assert rows_of("p/test.jsonl") == [dict(row.columns) for row in test]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["-o", "p"], 2, "give a size"),
        (["--test", "some", "-o", "p"], 2, '"some" is neither a share'),
        (["--test", "2.5", "-o", "p"], 2, "must be a share between 0 and 1"),
        (["--test", "0.2", "-o", "."], 2, "train.jsonl is a file to be divided"),
        (["--test", "0.2", "-o", ".", "--force"], 2, "train.jsonl is a file to be divided"),
        (["--test", "0.2", "-o", "there"], 2, "there/test.jsonl exists"),
        (["--test", "0.2", "--group-by", "who", "-o", "p"], 1, "train.jsonl:1: who: missing"),
        (["--test", "0.001", "-o", "p"], 1, "leaves test empty"),
    ],
)
def test_split_refuses_what_makes_no_sense(ftkit, arguments, status, message):
    write_rows("train.jsonl", [{"n": n} for n in range(20)])
    Path("there").mkdir()
    write_rows("there/test.jsonl", [])
    failed = ftkit("data", "split", "train.jsonl", *arguments)
    assert failed.exit_code == status
    assert message in failed.stderr
    assert len(rows_of("train.jsonl")) == 20
    assert not Path("p").exists()


def test_split_replaces_files_when_told_to(ftkit):
    write_rows("rows.jsonl", [{"n": n} for n in range(20)])
    for seed in (1, 2):
        assert ftkit("data", "split", "rows.jsonl", "--test", 5, "--seed", seed, "-o", "p", "--force").exit_code == 0
    assert len(rows_of("p/test.jsonl")) == 5

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
    assert done.stdout == "5 rows, format table, 5 with a target answer\n"
    assert ftkit("data", "check", texts, "--task", task).stdout == "5 rows, format table, 0 with a target answer\n"


def test_check_counts_choices_groups_and_rows_that_are_there_twice(ftkit):
    rows = [{"m": f"m{n % 9}", "label": ["bug", "billing", "bug"][n % 3], "who": n % 2} for n in range(18)]
    write_rows("m.jsonl", rows)
    ftkit("task", "--data", "m.jsonl", "--input", "{m}", "--target", "label", "-o", "task.yaml")
    done = ftkit("data", "check", "m.jsonl", "m.jsonl", "--task", "task.yaml", "--target", "label", "--group", "who")
    assert done.stdout.splitlines() == [
        "36 rows, format table, 36 with a target answer",
        "18 rows have the id or the content of an earlier row",
        "2 groups",
        "      24  bug",
        "      12  billing",
    ]


def test_check_shows_rows_as_the_model_sees_them(ftkit, texts, task):
    done = ftkit("data", "check", texts, "--task", task, "--target", "gold", "--show", 1)
    assert done.stdout.partition("\n\n")[2] == (
        "--- texts.jsonl:1  id t0\n[system]\nAnswer with one JSON object with these keys, in this order:\n"
        "- first: string\n- words: integer\n[user]\none\n"
        '[assistant] (target answer)\n{"first": "one", "words": 1}\n'
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


def test_columns_that_nothing_reads_and_labels_are_named_once(ftkit):
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    write_rows("chat.jsonl", [{"messages": turns, "source": n, "system": "s", "label": n > 1} for n in range(3)])
    checked = ftkit("data", "check", "chat.jsonl")
    assert checked.exit_code == 0, checked.stderr
    assert "columns that nothing reads, with their number of rows: source (3)" in checked.stdout
    assert "3 rows, format openai, 1 labelled as good answers and 2 as bad ones (for KTO)" in checked.stdout
    write_rows("some.jsonl", [{"messages": turns} | ({"label": True} if n else {}) for n in range(3)])
    assert "2 rows say whether the answer is a good one. KTO" in ftkit("data", "check", "some.jsonl").stdout


def test_a_conversation_with_tools_and_parts_can_be_shown(ftkit):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    row = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Do it."}, {"type": "image_url"}]},
            {"role": "assistant", "tool_calls": [call]},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
    }
    write_rows("chat.jsonl", [row])
    shown = ftkit("data", "check", "chat.jsonl", "--show", 3)
    assert shown.exit_code == 0, shown.stderr
    assert '[{"type": "text", "text": "Do it."}, {"type": "image_url"}]' in shown.stdout
    assert json.dumps(call) in shown.stdout


PREFERENCES = [
    {"text": "one", "good": {"first": "one", "words": 1}, "bad": "one, I think", "by": 0.5},
    {"text": "two words", "good": {"first": "two", "words": 2}, "bad": {"first": "two", "words": 3}, "by": 2},
]
ANSWERS = ("--chosen", "good", "--rejected", "bad")


def test_check_reads_preferences_and_shows_both_answers(ftkit, task):
    write_rows("p.jsonl", PREFERENCES)
    done = ftkit("data", "check", "p.jsonl", "--task", task, *ANSWERS, "--margin", "by", "--show", 1)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[:2] == [
        "2 rows, format table, 2 with a chosen and a rejected answer",
        "2 margins, from 0.5 to 2",
    ]
    assert done.stdout.endswith(
        '[user]\none\n[assistant] (chosen answer)\n{"first": "one", "words": 1}\n'
        "[assistant] (rejected answer)\none, I think\n(margin 0.5)\n"
    )
    done = ftkit("data", "check", write_rows("t.jsonl", [{"prompt": "q", "chosen": "a", "rejected": "b"}]))
    assert done.stdout == "1 row, format trl_preference, 1 with a chosen and a rejected answer\n"


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--chosen", "good"], 2, "--chosen needs --rejected beside it"),
        ([*ANSWERS, "--target", "good"], 2, "name one kind"),
        (["--target", "good", "--margin", "by"], 2, "it needs --chosen and --rejected"),
        (["--chosen", "good", "--rejected", "worse"], 1, "p.jsonl:1: rejected: there is no column 'worse'"),
        (["--chosen", "bad", "--rejected", "good"], 1, "1 of 2 rows cannot be used"),
    ],
)
def test_preferences_that_make_no_sense(ftkit, task, options, status, message):
    write_rows("p.jsonl", PREFERENCES)
    failed = ftkit("data", "check", "p.jsonl", "--task", task, *options)
    assert failed.exit_code == status
    assert message in failed.stderr


def test_a_preferences_output_is_inferred_from_the_chosen_answers(ftkit, task):
    write_rows("p.jsonl", PREFERENCES)
    done = ftkit("task", "--data", "p.jsonl", "--input", "{text}", "--chosen", "good")
    assert ft.Task.from_yaml(done.stdout).output == ft.Task.from_yaml(Path(task)).output.model_copy(
        update={"name": "good"}
    )
    both = ftkit("task", "--data", "p.jsonl", "--input", "{text}", "--chosen", "good", "--target", "good")
    assert both.exit_code == 2
    assert "give one" in both.stderr


def mask_of(ftkit, *arguments) -> str:
    done = ftkit("data", "mask", *arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_mask_shows_the_tokens_that_are_learned(ftkit, texts, task, tiny_model, tokenizer):
    shown = mask_of(ftkit, texts, "--task", task, "--target", "gold", "--model", tiny_model, "--rows", 2)
    first, second = shown.split("\n\n")
    place, counts, *lines = first.splitlines()
    learned = tokenizer('{"first": "one", "words": 1}<|im_end|>')["input_ids"]
    assert place == "--- texts.jsonl:1  id t0"
    assert lines[0] == "<|im_start|>·system·⏎"
    assert lines[-1] == "⟦" + "·".join(tokenizer.decode([token]) for token in learned) + "⟧"
    assert first.count("⟦") == 1
    tokens = sum(line.count("·") + 1 for line in lines)
    assert counts == f"{tokens} tokens, {len(learned)} supervised"
    assert second.startswith("--- texts.jsonl:2  id t1")


def test_mask_shows_both_answers_of_a_preference(ftkit, task, tiny_model):
    write_rows("p.jsonl", PREFERENCES)
    lines = mask_of(ftkit, "p.jsonl", "--task", task, *ANSWERS, "--model", tiny_model, "--rows", 1).splitlines()
    headings = [at for at, line in enumerate(lines) if line.endswith("supervised")]
    assert [lines[at].partition(":")[0] for at in headings] == ["chosen", "rejected"]
    chosen, rejected = (line for line in lines if "⟦" in line)
    assert chosen.replace("·", "") == '⟦{"first": "one", "words": 1}<|im_end|>⟧'
    assert rejected.replace("·", "") == "⟦one, I think<|im_end|>⟧"
    begin, middle = headings
    assert lines[begin + 1 : middle - 1] == lines[middle + 1 : -1]  # the same prompt


def test_mask_shows_what_cannot_be_seen(ftkit, tiny_model):
    turns = [
        {"role": "user", "content": "a\n\nb\x1b[31m 日本"},
        {"role": "assistant", "content": "not learned", "weight": 0},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "d"},
    ]
    write_rows("chat.jsonl", [{"messages": turns}])
    shown = mask_of(ftkit, "chat.jsonl", "--model", tiny_model).replace("·", "")
    assert "a⏎\n⏎\nb\\x1b[31m 日本<|im_end|>⏎" in shown
    assert "assistant⏎\nnot learned<|im_end|>" in shown
    assert shown.endswith("⟦d<|im_end|>⟧\n")


def test_mask_in_a_terminal_is_coloured():
    from ftkit.cli.data_mask import mark_supervised
    from ftkit.modeling.tokenizer import TokenText

    tokens = [TokenText("a", 1, False), TokenText("b", 1, True), TokenText("c", 1, True)]
    assert mark_supervised(tokens, colored=True) == "\x1b[2ma\x1b[0m\x1b[32mb·c\x1b[0m"
    assert mark_supervised(tokens, colored=False) == "a⟦b·c⟧"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("./nowhere", "no folder './nowhere'"),
        ("owner/not-there", "cannot load the model 'owner/not-there'"),
    ],
)
def test_mask_without_a_model(ftkit, model, message):
    write_rows("chat.jsonl", [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}])
    failed = ftkit("data", "mask", "chat.jsonl", "--model", model)
    assert failed.exit_code == 1
    assert message in failed.stderr


def test_mask_names_a_row_without_an_answer(ftkit, texts, task, tiny_model):
    failed = ftkit("data", "mask", texts, "--task", task, "--model", tiny_model)
    assert failed.exit_code == 1
    assert "texts.jsonl:1: no assistant turn to learn from" in failed.stderr


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
        (["--test", "some", "-o", "p"], 2, '"some" is not a share'),
        (["--test", "2.5", "-o", "p"], 2, "must be a share between 0 and 1"),
        (["--test", "0.2", "-o", "."], 2, "train.jsonl is an input file"),
        (["--test", "0.2", "-o", ".", "--force"], 2, "train.jsonl is an input file"),
        (["--test", "0.2", "-o", "there"], 2, "there/test.jsonl would be overwritten"),
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


TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def test_a_chat_that_ends_with_the_user_is_refused_by_check_and_mask_alike(ftkit):
    rows = write_rows("chats.jsonl", [{"messages": TURNS}, {"messages": [*TURNS, TURNS[0]]}])
    said = (
        "chats.jsonl:2: messages[2]: the conversation ends with a turn of role 'user', so there is no answer to learn"
    )
    checked = ftkit("data", "check", rows)
    assert (checked.exit_code, checked.stdout.startswith(said)) == (1, True)
    masked = ftkit("data", "mask", rows, "--model", "smollm2-135m")
    assert (masked.exit_code, said in masked.stderr) == (1, True)
    linted = ftkit("lint", rows, "--select", "D003")
    assert "chats.jsonl:2: D003" in linted.stdout
    assert "ends with a turn of role 'user'" in linted.stdout


def test_prompts_are_called_prompts_by_check_and_mask(ftkit):
    rows = write_rows("prompts.jsonl", [{"messages": [*TURNS, TURNS[0]]}] * 2)
    assert "the rows are prompts: they have no answers" in ftkit("data", "check", rows).stdout
    masked = ftkit("data", "mask", rows, "--model", "smollm2-135m")
    assert "prompts.jsonl:1: messages[2]: the conversation ends with a turn of role 'user'" in masked.stderr


def test_check_names_unread_columns_once(ftkit):
    rows = write_rows("chats.jsonl", [{"messages": TURNS, "source": "web", "id": n} for n in range(3)])
    assert ftkit("data", "check", rows).stdout.splitlines() == [
        "3 rows, format openai, 3 with a target answer",
        "columns that nothing reads, with their number of rows: source (3)",
    ]


@pytest.mark.parametrize("command", [("data", "check"), ("data", "mask"), ("task",), ("lint",), ("train",)])
def test_the_help_names_every_format(ftkit, command):
    from ftkit.data.formats import FORMATS

    text = " ".join(ftkit(*command, "--help").stdout.split())
    assert f"Format of the rows: auto, {', '.join(FORMATS.names())}." in text


def test_split_refuses_what_it_cannot_write(ftkit, tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"a": ["x"] * 4, "score": [1.0, float("nan"), 1.0, 1.0]}), "a.parquet")
    failed = ftkit("data", "split", "a.parquet", "--test", 1, "-o", "p")
    assert "a.parquet:2: score: nan is not JSON" in failed.stderr

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import ftkit as ft
from ftkit.linting import known_rules, registry
from ftkit.linting.corpus import Corpus
from ftkit.linting.json_answers import field_spans
from ftkit.linting.mixed_formats import open_for_lint
from ftkit.registry import PluginWarning

CONFLICT = [("a question", "yes"), ("A question!", "no"), ("another one", "yes")]


def test_a_finding_names_file_line_row_and_the_rows_it_has_to_do_with(chats):
    report = ft.lint(chats(*CONFLICT), select=["L001"])
    first, second = report.findings
    assert (first.line, second.line) == (1, 2)
    assert first.file.endswith("rows.jsonl")
    assert first.row == chats(*CONFLICT)[0].id
    assert first.related == (second.place,)
    assert not report.ok


def test_rows_with_other_instructions_do_not_contradict_each_other(chats):
    def row(system, answer):
        return {"messages": [{"role": "system", "content": system}, {"role": "user", "content": "the same text"},
                             {"role": "assistant", "content": answer}]}  # fmt: skip

    assert ft.lint(chats(row("Translate.", "x"), row("Classify.", "y")), select=["L001"]).ok


def test_rules_are_chosen_by_code_beginning_and_name(chats):
    rows = chats(*CONFLICT, ("q", "w "))
    codes = lambda **options: {count.code for count in ft.lint(rows, **options).counts}  # noqa: E731
    assert codes(select=["L"]) == {"L001"}
    assert codes(select=["whitespace", "L001"]) == {"C006", "L001"}
    assert "L001" not in codes(ignore=["L"])
    assert codes(select=["L001"], ignore=["L"]) == {"L001"}
    with pytest.raises(ft.ConfigError, match="'Z' matches no rule"):
        ft.lint(rows, select=["Z"])


def test_findings_are_ignored_by_row_id_and_in_the_row_itself(chats):
    def row(name, answer, **more):
        messages = [{"role": "user", "content": "a question"}, {"role": "assistant", "content": answer}]
        return {"id": name, "messages": messages, **more}

    rows = [row("one", "yes"), row("two", "no")]
    assert len(ft.lint(chats(*rows), select=["L"]).findings) == 2
    assert [found.row for found in ft.lint(chats(*rows), select=["L"], ignore_rows={"one": ["L"]}).findings] == ["two"]
    inline = [row("one", "yes", ftkit_ignore="L001, U"), row("two", "no", ftkit_ignore=["ALL"])]
    assert ft.lint(chats(*inline), select=["L"]).ok


def test_several_processes_find_what_one_finds(chats):
    rows = [
        (f"the question number {n % 40} is put here in a sentence of its own", f"answer {n % 3} ") for n in range(90)
    ]
    data = chats(*rows, "no json", {"messages": []})
    one, two = (ft.lint(data, workers=count) for count in (1, 2))
    assert one.model_copy(update={"created_at": ""}) == two.model_copy(update={"created_at": ""})
    assert {"D001", "L001", "C006"} <= {count.code for count in one.counts}


def test_of_very_many_findings_some_are_kept_and_all_are_counted(chats):
    report = ft.lint(chats(*((f"q{n}", "a ") for n in range(50))), select=["C006"], keep=3)
    assert len(report.findings) == 3
    assert (report.counts[0].count, report.counts[0].rows, report.flagged_rows) == (50, 50, 50)


def test_errors_only_runs_the_rules_whose_findings_are_errors(chats):
    report = ft.lint(chats(*CONFLICT, "{"), severity="error")
    assert [count.code for count in report.counts] == ["D001"]


def test_rows_are_read_again_in_one_pass_over_each_split(chats):
    train, test = chats(*((f"q{n}", "a") for n in range(6))), chats(("r0", "a"), ("r1", "a"), name="test.jsonl")
    corpus = Corpus([("train", train), ("test", test)], None, cast(Any, None))
    found = [(view.number, view.split, view.input, view.place.line) for view in corpus.views([7, 4, 1, 4])]
    assert found == [(1, "train", "q1", 2), (4, "train", "q4", 5), (7, "test", "r1", 2)]
    assert [corpus.view(number).input for number in (7, 0, 7)] == ["r1", "q0", "r1"]
    assert [row.place.line for row in train.select([3, 0])] == [4, 1]


def test_density_counts_what_repeats_once_and_what_contradicts_not(chats):
    same = [("what is the capital of the country named here", "Oslo")] * 3
    report = ft.lint(chats(*same, ("x", "1"), ("x", "2"), ("y", "3"), "broken"))
    density = report.density
    assert density.rows == 7
    assert density.effective == 2  # Oslo and y; the two answers to x cancel out
    assert density.usable == pytest.approx(6 / 7, abs=1e-4)
    assert density.unique == pytest.approx(4 / 6, abs=1e-4)
    assert density.agreeing == pytest.approx(4 / 6, abs=1e-4)
    assert density.score == pytest.approx(100 * 6 / 7 * (4 / 6) ** 2, abs=0.1)


@pytest.fixture
def fresh_registry(monkeypatch):
    """Rules that a test registers or plugs in are gone after it."""
    monkeypatch.setattr(registry.lint_rules, "_registered", {})
    monkeypatch.setattr(registry.lint_rules, "_loaded", {})


def test_a_function_becomes_a_rule(chats, fresh_registry):
    @ft.lint_rule("X001", "no-shouting", severity="error")
    def no_shouting(row):
        """Answers are not shouted."""
        return "the answer is shouted" if row.target.isupper() else None

    assert known_rules()["X001"].summary == "Answers are not shouted."
    report = ft.lint(chats(("a", "HELP"), ("b", "help")))
    assert [(found.line, found.severity) for found in report["X001"]] == [(1, "error")]
    with pytest.raises(ft.ConfigError, match="another rule has this code"):
        ft.lint_rule("D001", "mine")(no_shouting)
    with pytest.raises(ft.ConfigError, match="capital letters and three digits"):
        ft.lint_rule("x1", "mine")


def test_rules_are_plugged_in_by_entry_point(chats, tmp_path, monkeypatch, fresh_registry):
    package = tmp_path / "my_rules-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: my-rules\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(
        "[ftkit.lint_rules]\nmine = my_rules:Mine\nours = my_rules:no_bar\nbroken = my_rules:missing\n"
    )
    (tmp_path / "my_rules.py").write_text(
        "import ftkit as ft\n"
        "from ftkit.linting import Found, RowRule\n"
        "class Mine(RowRule):\n"
        "    code, name, summary = 'Q001', 'no-foo', 'There is no foo.'\n"
        "    def check(self, seen, setting):\n"
        "        if 'foo' in seen.input: yield Found('foo is here')\n"
        "@ft.lint_rule('Q002', 'no-bar')\n"
        "def no_bar(row):\n"
        "    return 'bar is here' if 'bar' in row.prompt[0]['content'] else None\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        with pytest.warns(PluginWarning, match=r"the lint rule 'broken' \(my_rules:missing\) cannot be loaded"):
            report = ft.lint(chats(("a foo", "x"), ("a bar", "y")), select=["Q"], workers=2)
        assert [(found.code, found.line) for found in report.findings] == [("Q001", 1), ("Q002", 2)]
    finally:
        sys.modules.pop("my_rules", None)


def test_files_of_several_formats_are_opened_in_the_commonest(tmp_path: Path):
    chat = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    rows = [{"instruction": "i", "output": "o"}, chat, chat, chat]
    path = tmp_path / "mixed.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = ft.lint(open_for_lint(lambda form: ft.Dataset.load(path, format=form), "auto"), select=["D"])
    assert [(found.code, found.line) for found in report.findings] == [("D006", 1)]


def test_a_secret_is_shown_by_no_rule(chats):
    token = "ghp_" + "a1B2" * 9
    report = ft.lint(chats((f"mail joe@acme.com, use {token}", "x"), (f"mail joe@acme.com, use {token}", "y")))
    assert {"S001", "S002", "L001"} <= {count.code for count in report.counts}
    assert token not in report.form("json")


def test_hosts_are_told_by_the_catalogue(chats):
    pairs = [{"prompt": f"q{n}", "chosen": "a", "rejected": "b"} for n in range(4)]
    few = ft.lint(chats(*pairs, format="trl_preference"), backends="openai:gpt-4.1-mini", select=["H"])
    assert any("takes 10 rows or more" in found.message for found in few["H001"])
    schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}, "required": ["age"]}
    task = ft.Task("x", input="{q}", output=schema)
    rows = ft.Dataset.from_rows([{"q": "a", "r": {"age": 3}}], task, target="r")
    strict = ft.lint(rows, backends="openai:gpt-4.1-mini", select=["J008"])
    assert [found.path for found in strict.findings] == ["$.age"]
    assert ft.lint(rows, select=["J008", "H"]).ok


def test_a_host_takes_files_of_a_certain_size(chats, ftkit_home):
    (ftkit_home / "catalog.toml").write_text(
        '[[limits]]\nprovider = "openai"\nmax_upload_bytes = 1000\nsource = "me"\nas_of = 2026-11-24\n'
    )
    small, large = chats(("q", "a"), name="small.jsonl"), chats(("q" * 2_000, "a"), name="large.jsonl")
    assert not ft.lint(small, backends="openai:gpt-4.1-mini", select=["H002"]).findings
    (found,) = ft.lint(large, backends="openai:gpt-4.1-mini", select=["H002"]).findings
    assert found.line is None
    assert found.message.startswith("openai:gpt-4.1-mini takes up to 0 MB")


def test_a_row_twice_as_long_as_the_host_trains_on_is_found(chats):
    data = chats(("word " * 60_000, "fits"), ("word " * 120_000, "does not"))  # about 75,000 and 150,000 tokens
    report = ft.lint(data, backends="openai:gpt-4.1-mini", select=["H003"])
    assert [found.line for found in report.findings] == [2]
    assert "trains on 65,536" in report.findings[0].message
    assert not ft.lint(data, backends="local:gpt-4.1-mini", select=["H003"]).findings


def test_images_are_found_where_the_host_takes_none_or_fewer(chats):
    def row(images):
        image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
        turns = [{"role": "user", "content": [{"type": "text", "text": "what is it"}, *[image] * images]}]
        return {"messages": [*turns, {"role": "assistant", "content": "a bicycle"}]}

    data = chats(row(0), row(1), row(11))
    lines = {
        model: [found.line for found in ft.lint(data, backends=f"openai:{model}", select=["H004"]).errors]
        for model in ("gpt-4.1-mini", "gpt-4o")
    }
    assert lines == {"gpt-4.1-mini": [2, 3], "gpt-4o": [3]}


def test_a_model_that_the_host_does_not_tune_so_or_not_any_more_is_found(chats):
    pairs = chats({"prompt": "q", "chosen": "a", "rejected": "b"}, format="trl_preference")

    def said(backend):
        return [found.message for found in ft.lint(pairs, backends=backend, select=["H005"]).errors]

    (otherwise,) = said("nebius:meta-llama/Llama-3.3-70B-Instruct")
    assert "is tuned by sft, not by dpo" in otherwise
    (closed,) = said("openai:gpt-4.1-nano")
    assert closed.startswith("openai:gpt-4.1-nano takes no jobs since ")
    assert said("together:Qwen/Qwen3.5-4B") == []


def test_a_backend_is_a_name_and_a_model(chats):
    for wrong in ("openai", "openai:", ":gpt"):
        with pytest.raises(ft.ConfigError, match='write it as "name:model"'):
            ft.lint(chats(("q", "a")), backends=wrong)
    unknown = ft.lint(chats(("q", "a")), backends="nowhere:gpt", select=["H001"])
    assert unknown.skipped == ("H001 host-rows: the catalogue knows nothing of nowhere:gpt",)
    (line,) = ft.lint(chats(("q", "a")), backends="nowhere:gpt", select=["H001", "H002"]).skipped
    assert line.startswith("H001 host-rows, H002 ")


def test_tokens_are_the_models_own(chats, tiny_model):
    long = "word " * 3_000
    report = ft.lint(chats((long, "yes"), ("short", "no")), backends=f"local:{tiny_model}", select=["T"])
    assert [(found.code, found.line) for found in report.errors] == [("T001", 1)]
    assert "tokens" in report.errors[0].message


def test_rows_without_a_named_answer_are_said_to_be_linted_in_part(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"q": "a", "r": "b"}\n')
    task = ft.Task("x", input="{q}")
    (line,) = ft.lint(ft.Dataset.load(path, task), select=["D"]).skipped
    assert line.startswith("rules on answers: ")
    assert "--target" in line
    assert ft.lint(ft.Dataset.load(path, task, target="r"), select=["D"]).skipped == ()


def test_a_file_of_no_format_keeps_its_own_error(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ft.DataError, match="the task reads q"):
        open_for_lint(lambda form: ft.Dataset.load(path, ft.Task("x", input="{q}"), format=form), "auto")


def test_a_model_that_cannot_be_loaded_is_said_and_stops_nothing(chats):
    report = ft.lint(chats(*CONFLICT), backends="local:/no/such/model", select=["T001", "L001"])
    assert any("T001" in line and "/no/such/model" in line for line in report.skipped)
    assert report["L001"]


def test_gradients_of_rows_that_contradict_each_other_oppose(chats, tiny_model):
    rows = [("Is the bicycle hire open on Sunday morning", "yes yes yes yes"),
            ("Is the bicycle hire open on Sunday mornings", "no no no no no"),
            ("Is the bicycle hire open on a Sunday morning", "yes yes yes yes")]  # fmt: skip
    from ftkit.training.gradient_sketch import gradient_sketches

    sketches = np.concatenate(gradient_sketches(tiny_model, [(row, [None]) for row in chats(*rows)]))
    cosines = sketches @ sketches.T
    assert cosines[0, 0] == pytest.approx(1, abs=1e-5)
    assert cosines[0, 2] > 0.8  # the same answer to nearly the same question
    assert cosines[0, 1] < 0.6
    record = {"city": "Oslo", "topic": "bicycles of the town", "open": "on all days of the week"}
    other = {**record, "topic": "snow"}
    first, second = (json.dumps(answer) for answer in (record, other))
    asked = [
        (row, [None, field_spans(answer)["city"], field_spans(answer)["topic"]])
        for row, answer in zip(chats((rows[0][0], first), (rows[1][0], second)), (first, second), strict=True)
    ]
    one, two = gradient_sketches(tiny_model, asked)
    whole, city, topic = np.sum(one * two, axis=1)
    assert topic < whole < city  # the field that differs, seen by itself, differs more than the record
    report = ft.lint(chats(*rows), backends=f"local:{tiny_model}", select=["G001"], gradients=3)
    assert not report.skipped
    assert ft.lint(chats(*rows), select=["G001"], gradients=3).skipped


def test_workers_are_processes_of_this_machine() -> None:
    data = ft.Dataset.from_rows([{"q": "1", "a": "2"}], ft.Task("Add one.", input="{q}"), target="a")
    for workers in (0, -1, True, 1.5, "many"):
        with pytest.raises(ft.ConfigError, match="workers is a number of processes of this machine"):
            ft.lint(data, workers=workers)  # type: ignore[arg-type]

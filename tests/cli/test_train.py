from __future__ import annotations

import json
from pathlib import Path

import pytest

import ftkit as ft

from .conftest import write_rows

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def words(texts, task):
    return ("train", "--data", texts, "--task", task, "--target", "gold", "--backend")


def test_only_the_id_of_the_run_goes_to_standard_output(ftkit, words):
    done = ftkit(*words, "toy:base")
    assert done.exit_code == 0, done.stderr
    run = ft.runs.get(done.stdout.removesuffix("\n"))
    assert run.state == "succeeded"
    assert run.recipe == ft.SFT()
    assert run.record.rows == 5
    assert f"run {run.id} succeeded in 0 s, loss 2.000 → 0.500 over 3 steps" in done.stderr
    assert f"ftkit evaluate toy:{run.id} " in done.stderr


def test_a_recipe_with_fields_changed_and_rows_to_watch(ftkit, words, texts):
    recipe = RECIPES / "extract-json.yaml"
    done = ftkit(*words, "toy:base", recipe, "--set", "epochs=1", "--adapter", "dora", "--validation", texts)
    assert done.exit_code == 0, done.stderr
    run = ft.runs.get(done.stdout.strip())
    assert run.recipe == ft.SFT(epochs=1, learning_rate=0.001, adapter=ft.DoRA())
    assert any(event.kind == "validation" for event in run.events())


def test_detached_it_comes_back_at_once(ftkit, words):
    done = ftkit(*words, "toy:slow", "--detach")
    assert done.exit_code == 0
    run = ft.runs.get(done.stdout.strip())
    assert run.state == "running"
    assert f"`ftkit runs wait {run.id}`" in done.stderr


def test_a_run_that_fails_is_status_1_with_its_reason(ftkit, words):
    failed = ftkit(*words, "toy:weak")
    assert failed.exit_code == 1
    run_id = failed.stdout.strip()
    assert failed.stderr == f"run {run_id}\nerror: run {run_id} failed: it is too weak\n"


def test_what_the_backend_refuses_starts_nothing(ftkit, words):
    failed = ftkit(*words, "toy:base", "--adapter", "adalora")
    assert (failed.exit_code, failed.stdout) == (2, "")
    assert "toys do not do AdaLoRA" in failed.stderr
    assert ft.runs.all() == []


def test_faulty_rows_start_nothing_and_are_named(ftkit, words, task):
    good = {"text": "a", "gold": {"first": "a", "words": 1}}
    write_rows("bad.jsonl", [good, *({"text": "b", "gold": {"first": "b", "words": n}} for n in "abcdefg")])
    failed = ftkit("train", "--data", "bad.jsonl", "--task", task, "--target", "gold", "--backend", "toy:base")
    assert (failed.exit_code, failed.stdout) == (1, "")
    lines = failed.stderr.splitlines()
    assert lines[0] == "error: 7 of 8 rows cannot be used"
    assert lines[1].startswith("  bad.jsonl:2: J005 $.words: ")
    assert lines[6] == "  … and 2 more; `ftkit lint --all` lists them"
    failed = ftkit(*words, "toy:base", "--validation", "bad.jsonl")
    assert failed.exit_code == 1
    assert ft.runs.all() == []


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["nowhere.yaml"], 2, "nowhere.yaml: cannot read the recipe"),
        (["bad.yaml"], 2, "bad.yaml: epochs"),
        (["--set", "epoch=1"], 2, "did you mean epochs?"),
        (["--adapter", "lara"], 2, "--adapter lara: there is no adapter 'lara'"),
        (["--format", "openai"], 2, "the task has a template of its own"),
        (["--column", "text"], 2, "expected NAME=COLUMN, e.g. note=text"),
        (["--group", "who"], 1, "there is no column 'who'"),
        (["--validation", "nowhere.jsonl"], 1, "nowhere.jsonl: there is no such file"),
    ],
)
def test_what_is_wrong_is_said(ftkit, words, arguments, status, message):
    Path("bad.yaml").write_text("kind: sft\nepochs: many\n")
    failed = ftkit(*words, "toy:base", *arguments)
    assert (failed.exit_code, failed.stdout) == (status, "")
    assert message in failed.stderr
    assert ft.runs.all() == []


def test_a_missing_extra_is_named_with_its_install_line(ftkit, words, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)  # as if it were not installed
    failed = ftkit(*words, "local:smollm2-135m")
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert 'pip install "ftkit[local]"' in failed.stderr


def test_the_files_of_a_run_are_named_by_their_contents(ftkit, words):
    run = ft.runs.get(ftkit(*words, "toy:base").stdout.strip())
    shown = json.loads(ftkit("runs", "show", run.id, "--json").stdout)
    assert shown["data_fingerprint"] == run.record.data_fingerprint

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import write_rows

ROOT = Path(__file__).parents[2]


def chat(asked, answer, **more):
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}], **more}


@pytest.fixture
def rows():
    return write_rows("rows.jsonl", [chat("q", "yes", id="one"), chat("q", "no ", id="two"), chat("r", "", id="three")])


def test_findings_are_lines_and_decide_the_exit_status(ftkit, rows):
    done = ftkit("lint", rows)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert any(line.startswith("rows.jsonl:3: D003 messages[1]: ") for line in lines)
    assert "rows.jsonl:1: L001 the same input has another answer elsewhere (row one)" in lines
    assert ftkit("lint", rows, "--exit-zero").exit_code == 0
    assert ftkit("lint", rows, "--select", "C006,L", "--fail-on", "error").exit_code == 0
    assert ftkit("lint", rows, "--select", "C006").exit_code == 1
    assert ftkit("lint", rows, "--select", "U").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--select", "Z9"], "'Z9' matches no rule"),
        (["--format", "xml"], "not one of json, sarif, markdown, html, text"),
        (["--fail-on", "panic"], "not one of error, warning, info"),
        (["-o", "x.pdf"], "must end in .json"),
        (["--backend", "openai"], 'write it as "name:model"'),
    ],
)
def test_wrong_usage_is_told(ftkit, rows, arguments, message):
    failed = ftkit("lint", rows, *arguments)
    assert failed.exit_code == 2
    assert message in " ".join(failed.stderr.split()).replace("│ ", "")


def test_all_forms_are_printed_and_written(ftkit, rows):
    assert json.loads(ftkit("lint", rows, "--format", "json").stdout)["kind"] == "ftkit.lint"
    assert json.loads(ftkit("lint", rows, "--format", "sarif").stdout)["version"] == "2.1.0"
    assert ftkit("lint", rows, "--format", "markdown").stdout.startswith("# Lint report")
    done = ftkit("lint", rows, "--statistics", "-o", "r.html", "-o", "r.sarif")
    assert [line.split()[1] for line in done.stdout.splitlines()][:2] == ["D003", "C006"]
    assert Path("r.html").read_text().startswith("<!DOCTYPE html>")
    assert json.loads(Path("r.sarif").read_text())["runs"]


def test_fixing_writes_a_new_file_and_shows_the_difference(ftkit, rows):
    before = Path(rows).read_bytes()
    shown = ftkit("lint", rows, "--diff")
    assert (shown.exit_code, list(Path().glob("*.fixed.*"))) == (1, [])
    assert ftkit("lint", rows, "--diff", "--exit-zero").exit_code == 0
    assert "@@ -2 +2 @@" in shown.stdout
    assert shown.stderr == "rows.jsonl: 1 row to fix\n"
    assert ftkit("lint", rows, "--fix", "--diff").output == shown.output
    assert not list(Path().glob("*.fixed.*"))
    done = ftkit("lint", rows, "--fix")
    assert Path(rows).read_bytes() == before
    assert "wrote rows.fixed.jsonl: 1 row fixed" in done.stderr
    assert "C006" not in done.stdout
    assert "rows.fixed.jsonl:3: D003" in done.stdout
    assert ftkit("lint", "rows.fixed.jsonl", "--fix").stderr.startswith("rows.fixed.jsonl: nothing to fix")
    assert ftkit("lint", "rows.fixed.jsonl", "--diff").exit_code == 0


def test_pyproject_says_what_the_options_would(ftkit, rows):
    Path("pyproject.toml").write_text(
        '[tool.ftkit.lint]\nselect = ["L", "C006"]\nfail-on = "error"\n[tool.ftkit.lint.ignore-rows]\none = ["L001"]\n'
    )
    done = ftkit("lint", rows)
    assert done.exit_code == 0
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("rows.jsonl:")] == ["C006", "L001"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[tool.ftkit.lint]\nselekt = ["L"]', "[tool.ftkit.lint] selekt: there is no such key; use select,"),
        ('[tool.ftkit.lint]\nselect = "L"', "[tool.ftkit.lint] select: Input should be a valid list"),
        ("[tool]\nftkit = 3", "ftkit must be a table, as in [tool.ftkit.lint]"),
        ("a = ", "cannot be read"),
    ],
)
def test_a_pyproject_that_makes_no_sense_is_told(ftkit, rows, text, message):
    Path("pyproject.toml").write_text(text)
    failed = ftkit("lint", rows)
    assert failed.exit_code == 2
    assert "pyproject.toml" in failed.stderr
    assert message in failed.stderr


def test_rules_are_listed_and_explained(ftkit):
    listed = ftkit("lint", "--rules").stdout
    assert "D002  error" in listed
    explained = ftkit("lint", "--explain", "role-order").stdout
    assert explained.startswith("D002 role-order (error)")
    assert ftkit("lint", "--explain", "D2").exit_code == 2


def test_the_page_of_rules_is_what_the_command_makes(ftkit):
    page = (ROOT / "docs" / "lint-rules.md").read_text(encoding="utf-8")
    assert ftkit("lint", "--rules", "--format", "markdown").stdout == page


def test_the_hook_runs_the_command():
    import yaml

    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"] == "ftkit lint"


def test_training_can_be_started_in_spite_of_errors(ftkit, task):
    write_rows("twice.jsonl", [{"text": "a", "gold": {"first": "a", "words": 1}}, {"text": "b", "gold": None}])
    words = ("train", "--data", "twice.jsonl", "--task", task, "--target", "gold", "--backend", "toy:base")
    refused = ftkit(*words)
    assert refused.exit_code == 1
    assert "twice.jsonl:2: D003" in refused.stderr
    assert "--no-lint" in refused.stderr
    assert ftkit(*words, "--no-lint").stderr != refused.stderr

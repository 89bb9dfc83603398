"""Configurations of promptfoo as tasks and rows, and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import ftkit as ft
from ftkit.cli.app import app
from ftkit.interchange import export_promptfoo_config, import_promptfoo_config

CONFIG = """
description: teams
prompts:
  - file://prompt.json
providers: [openai:gpt-4.1-mini]
defaultTest:
  vars: {tone: short}
tests:
  - vars: {question: "case {0}"}
    assert: [{type: equals, value: red}, {type: llm-rubric, value: polite}]
  - vars: {question: case 1}
    assert: [{type: equals, value: blue}]
"""
PROMPT = [
    {"role": "system", "content": "Say which team."},
    {"role": "user", "content": 'In {"json"}: {{question}} ({{ tone }})'},
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTKIT_HOME", str(tmp_path / "home"))


def written(tmp_path: Path, config: str = CONFIG) -> Path:
    (tmp_path / "prompt.json").write_text(json.dumps(PROMPT), encoding="utf-8")
    path = tmp_path / "promptfooconfig.yaml"
    path.write_text(config, encoding="utf-8")
    return path


def test_a_configuration_is_a_task_and_rows(tmp_path: Path) -> None:
    config = import_promptfoo_config(written(tmp_path))
    assert config.task.instructions == "Say which team."
    assert config.left_out == ["1 assertions of type llm-rubric"]
    data = ft.Dataset.from_rows(config.rows, config.task, target="expected")
    assert [row.target for row in data] == ["red", "blue"]
    assert data[0].prompt[-1]["content"] == 'In {"json"}: case {0} (short)'


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    config = import_promptfoo_config(written(tmp_path))
    data = ft.Dataset.from_rows(config.rows, config.task, target="expected")
    (tmp_path / "out").mkdir()
    path = export_promptfoo_config(data, tmp_path / "out" / "promptfooconfig.yaml", providers=["openai:gpt-6-luna"])
    again = import_promptfoo_config(path)
    assert again.task == config.task
    assert again.rows == config.rows


def test_the_command_writes_a_folder(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["convert", str(written(tmp_path)), "--to", "task", "-o", str(tmp_path / "teams")])
    assert done.exit_code == 0, done.output
    assert "not read: 1 assertions of type llm-rubric" in done.stderr
    task = ft.Task.from_yaml(tmp_path / "teams" / "task.yaml")
    data = ft.Dataset.load(tmp_path / "teams" / "rows.jsonl", task, target="expected")
    assert data.check() == []


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("prompts: [x]\ntests: [{vars: {}}]", "has no variable"),
        ("prompts: ['{{ a | upper }}']\ntests: [{vars: {}}]", "no filters or code"),
        ("prompts: ['{% if a %}{{a}}{% endif %}']\ntests: [{vars: {}}]", "no filters or code"),
        ("prompts: [file:///etc/passwd]\ntests: [{vars: {}}]", "lies outside of the folder"),
        ("prompts: [file://../x.txt]\ntests: [{vars: {}}]", "lies outside of the folder"),
        ("prompts: ['{{a}}']\ntests: file://../t.yaml", "lies outside of the folder"),
        ("prompts: ['{{a}}']\ntests: 4", "tests is no list"),
        ("prompts: ['{{a}}']\ntests: [4]", "no test with vars"),
        ("prompts: 4", "there is no prompt"),
        ("[", "promptfooconfig.yaml"),
        (
            "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"{one}: &{one} [{', '.join(['*' + chr(ord(one) - 1)] * 10)}]\n" for one in "bcdefgh")
            + "prompts: ['{{a}}']\ntests: *h",
            "alias",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, config: str, says: str) -> None:
    with pytest.raises(ft.FtkitError) as caught:
        import_promptfoo_config(written(tmp_path, config))
    assert says in str(caught.value)


def config(tmp_path: Path, *tests: object, **more: object) -> Path:
    path = tmp_path / "promptfooconfig.json"
    path.write_text(json.dumps({"prompts": ["Say {{q}}"], "tests": list(tests), **more}), encoding="utf-8")
    return path


def test_variables_are_filled_in_and_lists_become_rows(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("a long case\n", encoding="utf-8")
    wants = {"assert": [{"type": "equals", "value": "{{ team }}"}]}
    default = {"vars": {"team": "red"}}
    path = config(
        tmp_path,
        {"vars": {"q": ["case 0", "case 1"]}, **wants},
        {"vars": {"q": "{{kind}} 2", "kind": "case", "team": "blue"}, **wants},
        {"vars": {"q": "file://long.txt"}},
        defaultTest=default,
        scenarios=[{"config": []}],
    )
    read = import_promptfoo_config(path)
    assert [row["q"] for row in read.rows] == ["case 0", "case 1", "case 2", "a long case"]
    assert [row.get("expected") for row in read.rows] == ["red", "red", "blue", None]
    assert read.left_out == ["scenarios"]


@pytest.mark.parametrize(
    ("test", "says"),
    [
        ({"vars": {"q": "{{ q | upper }}"}}, "filters or code"),
        ({"vars": {"q": "a"}, "assert": [{"type": "equals", "value": "{{gone}}"}]}, "variable without a value"),
        ({"vars": {"q": "file://code.js"}}, "no file of text"),
        ({"vars": {"q": "file://../other.txt"}}, "outside of the folder"),
        ({"vars": [1]}, r"tests\[0\]: no test with vars"),
        ({"vars": {"q": "a"}, "assert": 5}, "assert is no list"),
        ({"vars": {name: list(range(100)) for name in "abcdq"}}, "combinations"),
        ({"vars": {"q": "a"}, "assert": [{"type": "equals", "value": each} for each in "ab"]}, "different answers"),
    ],
)
def test_what_a_row_cannot_say_is_refused_by_place(tmp_path: Path, test: object, says: str) -> None:
    with pytest.raises(ft.FtkitError, match=says):
        import_promptfoo_config(config(tmp_path, test))

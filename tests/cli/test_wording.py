from __future__ import annotations

import ast
import inspect
import json
import re
from pathlib import Path

import pytest

import ftkit
from ftkit.cli.option_names import error_with_options
from ftkit.data import Dataset
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import ConfigError, DataError, Place
from ftkit.exporting import export
from ftkit.recipe import DPO

PACKAGE = Path(ftkit.__file__).parent


@pytest.mark.parametrize(
    ("parts", "python", "command_line"),
    [
        (
            ("name its column with ", Argument("target")),
            "name its column with target=",
            "name its column with --target",
        ),
        (("write ", Argument("form", "messages"), "."), 'write form="messages".', "write --to messages."),
        (
            ("read with ", Argument("columns", "note=text", text='columns={"note": "text"}')),
            'read with columns={"note": "text"}',
            "read with --column note=text",
        ),
        (("or pass ", Argument("overwrite", text="overwrite=True")), "or pass overwrite=True", "or pass --force"),
        ((Argument("max_kl", text="max_kl"), " is too low"), "max_kl is too low", "--max-kl is too low"),
        (("the row holds <a target=x> and x.target=",), "the row holds <a target=x> and x.target=", None),
    ],
)
def test_arguments_become_options(parts: tuple[str, ...], python: str, command_line: str | None) -> None:
    error = ConfigError(ErrorText(*parts))
    assert str(error) == python
    assert error_with_options(error) == (command_line or python)


def test_the_place_and_a_text_within_a_text_keep_the_options() -> None:
    hint = ErrorText("; ", DPO.rows_hint)
    error = DataError(ErrorText("no pair", hint), place=Place("rows.jsonl", 3), field="messages")
    assert str(error).startswith('rows.jsonl:3: messages: no pair; name the columns with chosen="…" and rejected="…",')
    assert "rows.jsonl:3: messages: no pair; name the columns with --chosen … and --rejected …" in error_with_options(
        error
    )


def test_every_message_marks_its_arguments() -> None:
    """An argument in plain text would be shown in Python's spelling on the command line."""
    names = {
        name for function in (Dataset.load, export, ftkit.evaluate) for name in inspect.signature(function).parameters
    }
    spelled = re.compile(rf"""(?<![\w."'<(-])({"|".join(names - {"replay"})})=(?=["'{{\W]|$)""")
    unmarked = [
        f"{path.relative_to(PACKAGE)}:{text.lineno}: {text.value}"
        for path in PACKAGE.rglob("*.py")
        for raised in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(raised, ast.Raise)
        for text in _plain_strings(raised)
        if spelled.search(text.value)
    ]
    assert unmarked == []


def _plain_strings(node: ast.AST) -> list[ast.Constant]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Argument":
        return []
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node]
    return [text for child in ast.iter_child_nodes(node) for text in _plain_strings(child)]


def test_errors_name_options(ftkit, texts, task):
    failed = ftkit("train", "--data", texts, "--task", task, "--backend", "toy:base", "--format", "jsn")
    assert failed.exit_code == 2
    assert "--format jsn is not known" in failed.stderr
    failed = ftkit("train", "--data", texts, "--task", task, "--backend", "toy:base", "--column", "nte=text")
    assert "--column has 'nte'" in failed.stderr
    assert "--column note=text" in failed.stderr


def test_problems_of_rows_name_options(ftkit):
    Path("chats.jsonl").write_text(
        json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})
        + "\n"
        + json.dumps({"messages": [{"role": "user", "content": "a"}]})
        + "\n",
        encoding="utf-8",
    )
    failed = ftkit("data", "check", "chats.jsonl")
    assert failed.exit_code == 1
    assert "name its column with --target" in failed.stdout


def test_an_invalid_choice_has_no_prefix_of_pydantic(ftkit):
    failed = ftkit("compare", "a.json", "b.json", "--require", "fine")
    assert failed.exit_code == 2
    assert "Invalid value for '--require': 'fine' is not one of" in failed.stderr

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from .conftest import write_rows

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


@pytest.fixture
def files() -> None:
    """What the page's reader has at hand."""
    shutil.copy(ROOT / "examples" / "visits" / "visits.jsonl", "visits.jsonl")
    shutil.copy(ROOT / "examples" / "triage" / "messages.jsonl", "messages.jsonl")
    shutil.copy(ROOT / "examples" / "preferences" / "replies.jsonl", "replies.jsonl")
    shutil.copytree(ROOT / "recipes", "recipes")
    first = json.loads(Path("visits.jsonl").read_text(encoding="utf-8").splitlines()[0])
    wrong = {**first, "record": {**first["record"], "age": "39"}}
    write_rows("faulty.jsonl", [first, wrong, {"note": first["note"]}])


def test_the_page_shows_what_its_commands_print(ftkit, files, tiny_model):
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    shown = [command.partition("\n") for block in blocks for command in re.split(r"^\$ ", block, flags=re.MULTILINE)]
    commands = [(line, output) for line, _, output in shown if line]
    assert len(commands) > 6
    for line, output in commands:
        name, *arguments = shlex.split(line)
        assert name == "ftkit"
        # A tiny model with the same tokenizer and template; the embedded one may not have been expanded yet.
        arguments = [tiny_model if argument == "smollm2-135m" else argument for argument in arguments]
        assert ftkit(*arguments).output == output, line


def test_every_command_is_on_the_page(ftkit):
    for group in ("", "data ", "runs ", "serve keys "):
        listed = ftkit(*group.split(), "--help").stdout.partition("Commands:\n")[2]
        names = [line.split()[0] for line in listed.splitlines()]
        assert names
        assert [name for name in names if f"ftkit {group}{name}" not in PAGE] == []


def test_every_option_on_the_page_exists(ftkit):
    helps = "".join(
        ftkit(*words.split(), "--help").stdout
        for words in (
            *("task", "plan", "train", "evaluate", "compare", "overview", "report", "predict", "export", "catalog"),
            *("sweep", "grade", "reward-signal", "migrate", "convert", "optimise-prompt", "data traces", "data stored"),
            *("lint", "import", "data check", "data mask", "data split"),
            *(
                "runs list",
                "runs show",
                "runs events",
                "runs delete",
                "runs plot",
                "runs annotate",
                "runs samples",
                "runs download",
                "freeze",
                "serve",
                "",
            ),
        )
    )
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE))
    assert {option for option in options if option not in helps} == set()

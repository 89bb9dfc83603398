"""A dataset format of the example package, from Python, from a described dataset and a file, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

ROWS = [
    {"dictation": "Dear colleague, seen today.", "speaker": "Dr Okafor", "letter": "Dear Colleague,\n\nSeen today."},
    {"dictation": "No change.", "letter": "There is no change."},
]

FROM_PYTHON = """
import json
import ftkit as ft

named = ft.Dataset.load("letters.jsonl", format="clinic_dictation")
detected = ft.Dataset.load("letters.jsonl")
print(named.format, detected.format, named.kind)
print(named[0].prompt, json.dumps(named[0].completion["content"]))
again = ft.Dataset.from_spec(json.loads(json.dumps(detected.to_spec())))
print([row.messages for row in again] == [row.messages for row in named])
named.write("copy.jsonl", format="clinic_dictation")
print([json.loads(line) for line in open("copy.jsonl")] == [dict(row.columns) for row in named])
named.write("chats.jsonl", format="openai")
print([row.messages for row in ft.Dataset.load("chats.jsonl")] == [row.messages for row in named])
"""

AMBIGUOUS = """
import ftkit as ft
try:
    ft.Dataset.load("both.jsonl")
except ft.FormatError as error:
    print(error)
print(ft.Dataset.load("both.jsonl", format="clinic_dictation").format)
"""


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_from_python(installed, tmp_path):
    write(tmp_path / "letters.jsonl", ROWS)
    assert installed.python(FROM_PYTHON).splitlines() == [
        "clinic_dictation clinic_dictation demonstrations",
        "[{'role': 'user', 'content': 'Dear colleague, seen today.', 'name': 'Dr Okafor'}] "
        '"Dear Colleague,\\n\\nSeen today."',
        "True",
        "True",
        "True",
    ]


def test_rows_that_fit_two_formats_are_refused_with_both_names(installed, tmp_path):
    write(tmp_path / "both.jsonl", [{**ROWS[0], "prompt": "q", "completion": "a"}])
    message, chosen = installed.python(AMBIGUOUS).splitlines()
    assert 'fit prompt_completion and clinic_dictation. Say which: format="prompt_completion" or' in message
    assert chosen == "clinic_dictation"


def test_from_the_command_line(installed, tmp_path):
    write(tmp_path / "letters.jsonl", ROWS)
    printed = installed.ftkit("data", "check", "letters.jsonl", "--format", "clinic_dictation", "--show", "1")
    assert "2 rows, format clinic_dictation, 2 with" in printed
    assert "answer)\nDear Colleague," in printed
    assert "format clinic_dictation" in installed.ftkit("data", "check", "letters.jsonl")


def test_from_a_configuration_file(installed, tmp_path):
    write(tmp_path / "letters.jsonl", [{**row, "prompt": "q", "completion": "a"} for row in ROWS])
    (tmp_path / "pyproject.toml").write_text('[tool.ftkit.lint]\nrow-format = "clinic_dictation"\n')
    report = json.loads(installed.ftkit("lint", "letters.jsonl", "--format", "json", "--fail-on", "error"))
    assert report["rows"] == {"train": 2}
    assert not any(finding["severity"] == "error" for finding in report["findings"])

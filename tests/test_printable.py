"""Control characters of hosts, models and files are shown and not obeyed, wherever ftkit prints."""

from __future__ import annotations

import io
import json
import logging
import re
from pathlib import Path

import pytest

import ftkit as ft
from ftkit.cli.console import print_warnings
from ftkit.errors import ConfigError, HostError, OutputError, RunNotFoundError
from ftkit.printable import printable, rich_console
from ftkit.render.table import Line, Table, to_rich, to_text
from ftkit.testing import FakeModel

EVIL = "\x1b]0;owned\x07\x1b[2Jred\x9b31m\u202egnp\r\x08"
SHOWN = r"\u001b]0;owned\u0007\u001b[2Jred\u009b31m\u202egnp\u000d\u0008"
CLI = Path(__file__).parents[1] / "ftkit" / "cli"


def test_controls_are_shown_and_text_stays() -> None:
    assert printable(EVIL) == SHOWN
    text = "naïve 日本語 🙂 \tשלום\r\nnext line\n"
    assert printable(text) == text
    assert printable("half \ud800").encode()
    assert json.loads(printable(json.dumps({"a": EVIL}, ensure_ascii=False))) == {"a": EVIL}


@pytest.mark.parametrize("error", [HostError(EVIL), ConfigError(EVIL), RunNotFoundError(EVIL),
                                   OutputError(EVIL, problem="not_json")])  # fmt: skip
def test_errors_show_them(error: Exception) -> None:
    assert SHOWN in str(error)
    assert "\x1b" not in str(error)


def test_tables_and_lines_show_them() -> None:
    blocks = [Line.of(EVIL, "bold"), Line([EVIL]), Table([EVIL], [[EVIL]])]
    assert "\x1b" not in to_text(blocks)
    with io.StringIO() as file:
        rich_console(file=file, width=200, force_terminal=True, color_system=None).print(to_rich(blocks))
        assert not re.search("[\x07\x9b\u202e]|\x1b[^\\[]|\x1b\\[2J", file.getvalue())


def test_a_rich_console_prints_nothing_else() -> None:
    from rich.text import Text

    with io.StringIO() as file:
        console = rich_console(file=file, width=200)
        console.print(EVIL, markup=False)
        console.print(Text(EVIL))
        assert "\x1b" not in file.getvalue()
        assert "owned" in file.getvalue()


def test_the_command_line_prints_through_the_filter_only() -> None:
    for path in CLI.glob("*.py"):
        if path.name != "console.py":
            assert not re.search(r"typer\.s?echo|(?<![\w.])print\(|click\.echo|stdout\.write", path.read_text()), path


def test_what_the_command_line_logs_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("ftkit.server.evil")
    print_warnings("ftkit.server.evil")
    try:
        raise ValueError(EVIL)
    except ValueError:
        log.exception("a request of %s", EVIL)
    said = capsys.readouterr().err
    assert said.startswith(f"error: a request of {SHOWN}\nTraceback")
    assert "\x1b" not in said


def test_a_report_of_evil_answers(tmp_path: Path) -> None:
    task = ft.Task("Say.", input="{text}")
    data = ft.Dataset.from_rows([{"text": EVIL, "said": EVIL}] * 3, task, target="said")
    assert "\x1b" not in str(ft.lint(data))
    model = FakeModel(task, lambda question: EVIL, name=EVIL)
    report = ft.evaluate(model, data, probes=None, progress=False)
    comparison = ft.compare(
        report, ft.evaluate(FakeModel(task, lambda question: "x"), data, probes=None, progress=False)
    )
    for result, suffixes in ((report, ("md", "html", "json")), (comparison, ("md", "html", "json", "xml"))):
        for suffix in suffixes:
            text = result.save(tmp_path / f"result.{suffix}").read_text()
            assert "gnp" in text or suffix == "xml"
            assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text), suffix
    assert ft.Report.load(report.save(tmp_path / "again.json")).rows == report.rows

from __future__ import annotations

import html.parser
import json
from typing import Any

import pytest

import ftkit as ft
from ftkit.linting import LintReport

NASTY = "</code><script>alert(1)</script> | `x` \n## head"


@pytest.fixture
def report(chats: Any) -> ft.LintReport:
    return ft.lint(chats((NASTY, "yes"), (NASTY, "no"), "broken", ("mail bo@corp.com", "x ")))


def test_the_text_has_ruffs_form(report):
    lines = str(report).splitlines()
    assert any(
        line.endswith("rows.jsonl:3: D001 not JSON: Expecting value at character 1, near 'broken\\n'") for line in lines
    )
    assert any(": L001 the same input has another answer elsewhere (row " in line for line in lines)
    assert any(line.startswith("1 error, ") for line in lines)
    assert any(line.startswith("Signal density ") for line in lines)


def test_print_shows_the_first_findings_of_each_rule_and_the_file_all(chats, tmp_path):
    report = ft.lint(chats(*((f"q{number}", "a ") for number in range(8))), select=["C006"], keep=7)
    assert str(report).count(": C006 ") == 5
    assert "… and more: 3 C006; --all shows them" in str(report)
    written = report.save(tmp_path / "report.txt").read_text()
    assert written.count(": C006 ") == 7
    assert "… and more: 1 C006\n" in written  # which the report itself does not hold


def test_every_form_names_the_other_row(report):
    assert "; see `" in report.form("markdown")
    assert " see " in report._repr_html_()
    (first, *_) = [
        result for result in json.loads(report.form("sarif"))["runs"][0]["results"] if result["ruleId"] == "L001"
    ]
    assert first["relatedLocations"][0]["physicalLocation"]["region"] == {"startLine": 2}


def test_a_files_name_becomes_an_uri(chats, tmp_path, monkeypatch):
    chats(("q", "a "), name="my rows#1.jsonl")
    monkeypatch.chdir(tmp_path)
    (result,) = json.loads(ft.lint(ft.Dataset.load("my rows#1.jsonl", format="openai"), select=["C006"]).form("sarif"))[
        "runs"
    ][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "my%20rows%231.jsonl"


def test_json_is_complete(report):
    assert LintReport.model_validate_json(report.form("json")) == report


def test_sarif_has_a_rule_and_a_place_for_each_result(report):
    run = json.loads(report.form("sarif"))["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert len(run["results"]) == len(report.findings)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        place = result["locations"][0]["physicalLocation"]
        assert place["region"]["startLine"] >= 1
        assert place["artifactLocation"]["uri"].endswith("rows.jsonl")
    assert {result["level"] for result in run["results"]} == {"error", "warning", "note"}


def test_nothing_of_a_row_becomes_markup(report):
    class Tags(html.parser.HTMLParser):
        seen: set[str] = set()  # noqa: RUF012

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.seen.add(tag)

    tags = Tags()
    tags.feed(report.form("html"))
    assert "script" not in tags.seen
    assert "<script>" not in report._repr_html_()
    assert not any(line.startswith("## head") for line in report.form("markdown").splitlines())


def test_the_suffix_says_the_form(report, tmp_path):
    for suffix in ("json", "sarif", "md", "html", "txt"):
        assert report.save(tmp_path / f"report.{suffix}").read_text()
    with pytest.raises(ft.ConfigError, match="names no form"):
        report.save(tmp_path / "report.pdf")


def test_a_rich_console_shows_what_print_shows(report):
    from rich.console import Console

    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(report)
    assert [line.rstrip() for line in console.export_text().splitlines()] == [
        line.rstrip() for line in str(report).splitlines()
    ]

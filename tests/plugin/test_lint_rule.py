from __future__ import annotations

import json
from pathlib import Path

import pytest

FROM_PYTHON = """
import sys
import ftkit as ft
report = ft.lint(ft.Dataset.load(sys.argv[1], format="prompt_completion"), select=["CLINIC"], workers=2)
for finding in report.findings:
    print(finding.line, finding.code, finding.severity, finding.message)
print(report.counts[0].summary, report.density.usable)
"""
ROWS = ("take 500 twice a day", "take 500 mg twice a day", "rest", "give 2 drops and a dose of 7")


@pytest.fixture
def rows(tmp_path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": "letter", "completion": text}) + "\n" for text in ROWS))
    return path


def test_from_python_in_several_processes(installed, rows):
    assert installed.python(FROM_PYTHON, str(rows)).splitlines() == [
        "1 CLINIC001 error the dose 500 has no unit",
        "4 CLINIC001 error the dose 7 has no unit",
        "An answer names a dose without its unit. 0.5",
    ]


def test_from_the_command_line(installed, rows):
    printed = installed.ftkit("lint", rows, "--select", "CLINIC001,D", "--exit-zero")
    assert "rows.jsonl:1: CLINIC001 the dose 500 has no unit" in printed
    assert "CLINIC001  error" in installed.ftkit("lint", "--rules")
    assert "can misread" in installed.ftkit("lint", "--explain", "dose-without-unit")


def test_from_a_configuration_file(installed, rows, tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.ftkit.lint]\nselect = ["CLINIC"]\nfail-on = "error"\n')
    printed = installed.ftkit("lint", rows.name, "--exit-zero", folder=tmp_path)
    assert printed.count(": CLINIC001 ") == 2
    (tmp_path / "pyproject.toml").write_text('[tool.ftkit.lint]\nselect = ["CLINIC", "D"]\nignore = ["CLINIC001"]\n')
    assert "CLINIC001" not in installed.ftkit("lint", rows.name, folder=tmp_path)


def test_a_broken_rule_warns_and_the_others_run(installed, rows, tmp_path):
    package = tmp_path / "broken-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[ftkit.lint_rules]\nBROKEN001 = no_such_module:Rule\n")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport warnings\n"
    script += "with warnings.catch_warnings(record=True) as caught:\n    warnings.simplefilter('always')\n"
    script += "".join(f"    {line}\n" for line in FROM_PYTHON.strip().splitlines())
    script += "print(caught[0].category.__name__, caught[0].message)\n"
    *lines, warning = installed.python(script, str(rows)).splitlines()
    assert len(lines) == 3
    assert warning.startswith("PluginWarning the lint rule 'BROKEN001' (no_such_module:Rule) cannot be loaded")

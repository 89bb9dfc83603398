from __future__ import annotations

from .conftest import ROOT

FROZEN = ROOT / "tests" / "evaluation" / "frozen" / "report-1.json"


def test_from_python(installed, tmp_path):
    script = "import sys, ftkit as ft; report = ft.Report.load(sys.argv[1]); report.save(sys.argv[2])"
    installed.python(script, str(FROZEN), str(tmp_path / "report.csv"))
    lines = (tmp_path / "report.csv").read_text().splitlines()
    assert lines[0] == "metric,value,low,high,rows"
    assert any(line.startswith("record_exact,0.5,") for line in lines)


def test_from_the_command_line(installed, tmp_path):
    installed.ftkit("report", FROZEN, "-o", tmp_path / "report.csv")
    assert (tmp_path / "report.csv").read_text().startswith("metric,value")

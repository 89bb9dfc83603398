"""Results reach their renderers by type and form, also those of a script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ftkit as ft
from ftkit.results.result import RENDERERS, forms_of, suffixes_of

FROZEN = Path(__file__).parents[1] / "evaluation" / "frozen" / "report-1.json"


def test_every_renderer_can_be_loaded() -> None:
    assert {name for name, renderer in RENDERERS.items() if callable(renderer)} == set(RENDERERS.names())
    assert forms_of("report") == ["json", "html", "markdown", "text"]
    assert suffixes_of("comparison") == [".json", ".html", ".md", ".xml", ".txt"]


def test_a_script_adds_a_form(tmp_path: Path) -> None:
    report = ft.Report.load(FROZEN)
    RENDERERS.register("report.names", lambda report: ",".join(metric.name for metric in report.metrics))
    try:
        assert report.save(tmp_path / "x.names").read_text().startswith("parse_rate,")
    finally:
        RENDERERS.unregister("report.names")
    with pytest.raises(ft.ReportError, match=r'the suffix ".names" names no form; use .json, .html, .md'):
        report.save(tmp_path / "x.names")


def test_jinja_is_loaded_for_html_only() -> None:
    code = (
        "import sys, ftkit as ft\n"
        f"report = ft.Report.load({str(FROZEN)!r}); str(report); report.render('markdown')\n"
        "assert 'jinja2' not in sys.modules\n"
        "report._repr_html_(); assert 'jinja2' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""A notebook that is executed shows progress, curves and a report in its cells, and a browser draws them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.browser import needs_browser, opened_browser

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

pytestmark = pytest.mark.slow

CELLS = [
    """
import time
from typing import Literal
import ftkit as ft
from ftkit.progress import ProgressBar
from ftkit.store import RunRecord, Store
from ftkit.testing import FakeModel
task = ft.Task("Which?", input="{q}", output=Literal["yes", "no"])
data = ft.Dataset.from_rows([{"q": str(n), "a": "yes" if n % 2 else "no"} for n in range(40)], task, target="a")

def answer(question):
    time.sleep(0.02)
    return "yes"
""",
    """
store = Store()
store.create(RunRecord(id="run-1", backend="local", model="m", created_at=1.0, recipe={}, task={}, rows=1,
                       data_fingerprint="s"))
for step in range(1, 30):
    store.append("run-1", "step", {"step": step, "steps": 30, "loss": 2 / step})
    if step % 10 == 0:
        store.append("run-1", "validation", {"step": step, "loss": 3 / step})
store.update("run-1", state="succeeded")
run = ft.runs.get("run-1").wait()
""",
    "run.metrics",
    "report = ft.evaluate(FakeModel(task, answer), data)\nreport",
]


def executed(folder: Path) -> Any:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    nbclient.NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": folder}}
    ).execute()
    return notebook


def html_of(cell: Any) -> str:
    return "\n".join(str(output.data["text/html"]) for output in cell.outputs if "text/html" in output.get("data", {}))


@pytest.fixture
def notebook(tmp_path: Path, ftkit_home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    )
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    return executed(tmp_path)


def test_a_notebook_shows_progress_curves_and_the_report(notebook: Any) -> None:
    _, waited, metrics, evaluated = (html_of(cell) for cell in notebook.cells)
    assert "<div>run run-1</div>" in waited
    assert '<progress value="29" max="30">' in waited
    assert "local:m succeeded: 29 of 30" in waited
    assert metrics.count("<polyline") == 2
    assert "accuracy" in evaluated
    assert "50" in evaluated
    assert not [out for cell in notebook.cells for out in cell.outputs if out.output_type == "error"]


@needs_browser
def test_a_browser_draws_what_the_cells_show(notebook: Any, tmp_path: Path) -> None:
    page = tmp_path / "cells.html"
    page.write_text(f"<!DOCTYPE html><meta charset='utf-8'>{'<hr>'.join(html_of(cell) for cell in notebook.cells)}")
    with opened_browser() as browser:
        browser.get(page.as_uri())
        width = (
            "return Math.max(...[...document.querySelectorAll('polyline')].map(l => l.getBoundingClientRect().width))"
        )
        assert browser.execute_script(width) > 200
        assert "accuracy" in browser.execute_script("return document.body.innerText")
        assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []

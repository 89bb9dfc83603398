"""Progress is seen everywhere: a bar in a terminal, a cell's output in a notebook, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
import types
from pathlib import Path

import pytest

import ftkit as ft
from ftkit import progress
from ftkit.progress import ProgressBar
from ftkit.runs.run import Run
from ftkit.store import RunRecord, Store


def test_without_a_terminal_there_are_lines_at_growing_distances(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_FIRST_LINE_S", 0.05)
    with ProgressBar("asking m", 40, completed=10) as bar:
        bar.update(completed=20, detail="$0.02")
        time.sleep(0.3)
        bar.print("a warning")
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert shown.out == ""
    assert lines[0] == "asking m: 20 of 40 (50%), 0 s so far, about 0 s left, $0.02"
    assert 2 <= len(lines) <= 5
    assert lines[-1] == "a warning"


def test_a_short_work_and_a_silent_one_say_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ProgressBar("asking m", 40) as bar:
        bar.update(completed=40)
    monkeypatch.setattr(progress, "_FIRST_LINE_S", 0.01)
    with ProgressBar("asking m", 40, enabled=False) as bar:
        time.sleep(0.1)
        bar.print("hidden")
    monkeypatch.setenv("FTKIT_PROGRESS", "off")
    with ProgressBar("asking m", 40) as bar:
        time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_a_notebook_gets_one_output_that_changes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, html: str) -> None:
            shown.append(html)

    def display(html: str, display_id: bool) -> Handle:
        shown.append(html)
        return Handle()

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    module = types.ModuleType("IPython.display")
    module.HTML, module.display = str, display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(progress, "_NOTEBOOK_PAUSE_S", 0.0)
    with ProgressBar("m <waiting>", 4, transient=False) as bar:
        bar.print("run 1")
        bar.update(completed=2)
    assert '<progress value="0" max="4"></progress> m &lt;waiting&gt;: 0 of 4 (0%)' in shown[0]
    assert shown[-1].startswith("<div>run 1</div>")
    assert '<progress value="2" max="4">' in shown[-1]
    assert capsys.readouterr().err == ""


def test_the_id_of_a_run_is_never_lost(
    ftkit_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store()
    store.create(
        RunRecord(
            id="run-1", backend="local", model="m", created_at=1.0, recipe={}, task={}, rows=1, data_fingerprint="s"
        )
    )

    def interrupted(run: Run) -> RunRecord:
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "record", property(interrupted))
    for shown in (True, False):
        with pytest.raises(KeyboardInterrupt):
            Run(store.get("run-1"), store).wait(progress=shown)
        lines = capsys.readouterr().err.splitlines()
        assert lines[-1] == "run run-1 continues; find it with ft.runs.get('run-1') or `ftkit runs wait run-1`"
        assert (lines[0] == "run run-1") is shown
    assert ft.runs.table()[0]["id"] == "run-1"

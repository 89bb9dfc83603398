"""Results in a shell and in a notebook: one line where they stand among others, all of it where they are looked at."""

from __future__ import annotations

from pathlib import Path

import ftkit as ft
from ftkit.results.result import Result


class Told(Result):
    def __str__(self) -> str:
        return "<script>\n&"


def test_text_of_a_model_cannot_become_markup_in_a_notebook() -> None:
    assert Told()._repr_html_() == "<pre>&lt;script&gt;\n&amp;</pre>"
    assert repr(Told()) == "<Told: <script>>"


def test_a_plan_says_in_a_line_where_it_fits() -> None:
    rows = ft.Dataset.from_rows([{"note": "a", "answer": "b"}], ft.Task(input="{note}"), target="answer")
    plan = ft.plan(ft.SFT(), rows, "local:./nowhere", lint=False)
    assert repr(plan) == "<Plan: 1 row; local:./nowhere does not fit>"
    assert "there is no" in plan._repr_html_() or "no folder" in plan._repr_html_()


def test_a_plan_is_saved_as_a_page_and_as_markdown(tmp_path: Path, tiny_model: str) -> None:
    rows = ft.Dataset.from_rows([{"note": "a", "answer": "b"}], ft.Task(input="{note}"), target="answer")
    plan = ft.plan(ft.SFT(epochs=1), rows, f"local:{tiny_model}", lint=False)
    page = plan.save(tmp_path / "plan.html").read_text()
    text = plan.save(tmp_path / "plan.md").read_text()
    for label in ("peak memory", "total time", "tokens per epoch"):
        assert f'<th scope="row">{label}</th>' in page
        assert f"| {label} |" in text
    assert "<script" not in page

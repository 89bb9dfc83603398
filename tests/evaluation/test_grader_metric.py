"""Graders as metrics of a report."""

from __future__ import annotations

from pathlib import Path

import pytest

import ftkit as ft
from ftkit.errors import ConfigError
from ftkit.evaluation import graded

from .scripted import ECHO, ScriptedModel, answered

ROWS = [
    {"note": "2+2", "right": "4", "unit": "kg"},
    {"note": "2+3", "right": "5", "unit": "kg"},
    {"note": "2+4", "right": "6", "unit": "kg"},
    {"note": "2+5", "right": "7", "unit": "kg"},
]
ANSWERS = {"2+2": "4", "2+3": '{"n": 5}', "2+4": "6"}
RIGHT = ft.StringCheckGrader(name="right", reference="{{item.right}}")
FIELD = ft.StringCheckGrader(name="field", input="{{sample.output_json.n}}", reference="{{item.right}}")
BOTH = ft.MultiGrader(name="both", graders={"right": RIGHT, "field": FIELD}, calculate_output="max(right, field)")
PYTHON = ft.PythonGrader(source="def grade(sample, item):\n    return len(item['unit'])", name="code")


@pytest.fixture
def model() -> ScriptedModel:
    from dataclasses import replace

    failed = replace(answered(""), finish_reason="error", error="overloaded")
    return ScriptedModel(ECHO, {**ANSWERS, "2+5": failed})


@pytest.fixture
def data() -> ft.Dataset:
    return ft.Dataset.from_rows(ROWS, ECHO)


def test_a_grader_is_a_metric(model: ScriptedModel, data: ft.Dataset) -> None:
    twice = ft.MultiGrader(name="twice", graders={"right": RIGHT}, calculate_output="2*right")
    report = ft.evaluate(model, data, metrics=["auto", RIGHT, BOTH, twice], progress=False)
    right, both, doubled = report["right"], report["both"], report["twice"]
    assert (right.value, right.n, right.unit) == (0.5, 4, "rate")  # the row that was not asked is wrong
    assert (both.value, both.n, both.unit) == (0.75, 4, "rate")
    assert (doubled.value, doubled.n, doubled.unit) == (4 / 3, 3, "number")  # and has no place on another scale
    assert (report["both:right"].value, report["both:field"].value) == (0.5, 0.25)
    assert "field" not in [metric.name for metric in report.metrics]


def test_what_could_not_be_graded_is_counted_in_a_note(model: ScriptedModel, data: ft.Dataset, tmp_path: Path) -> None:
    report = ft.evaluate(model, data, metrics=[FIELD], progress=False)
    (note,) = [note for note in report.notes if "could not grade" in note]
    assert note.startswith("field could not grade 2 of 4 rows (invalid_variable_error 2); they count as 0")
    assert report.rows[0].failures["field"].startswith("invalid_variable_error: ")
    loaded = ft.Report.load(report.save(tmp_path / "report.json"))
    assert loaded.rows == report.rows
    assert note in loaded.notes


def test_a_report_keeps_the_columns_that_graders_read(model: ScriptedModel, data: ft.Dataset) -> None:
    report = ft.evaluate(model, data, metrics=[RIGHT], progress=False)
    assert report.rows[0].item == {"right": "4"}
    assert report.rescore([RIGHT])["right"].value == 0.5
    with pytest.raises(ConfigError, match=r"reads the column unit, which no row has"):
        report.rescore([ft.StringCheckGrader(reference="{{item.unit}}")])
    assert ft.evaluate(model, data, progress=False).rows[0].item == {}
    every = ft.evaluate(model, data, metrics=[*graded(PYTHON, allow_python=True)], progress=False)
    assert every.rows[0].item == ROWS[0]
    assert every["code"].value == 2.0


def test_python_must_be_allowed(model: ScriptedModel, data: ft.Dataset) -> None:
    with pytest.raises(ConfigError, match="allow"):
        ft.evaluate(model, data, metrics=[PYTHON], progress=False)
    assert model.asked == []  # it is said before anything is asked and paid


def test_several_answers_to_a_row_are_graded_each(data: ft.Dataset) -> None:
    turns = iter(["4", "5", "6", "7", "4", "4", "4", "4"])

    class Twice(ScriptedModel):
        def _answer(self, request: ft.Request) -> ft.Answer:
            return answered(next(turns))

    report = ft.evaluate(
        Twice(ECHO, {}), data, metrics=[FIELD, RIGHT], samples=2, sampling=ft.Sampling(temperature=1), progress=False
    )
    assert report["right"].value == pytest.approx((1 + 0.5 * 3) / 4)
    assert [len(answer.failures) for answer in report.rows[0].answers] == [1, 1]


def test_comparisons_pair_grades(model: ScriptedModel, data: ft.Dataset) -> None:
    better = ScriptedModel(ECHO, {row["note"]: row["right"] for row in ROWS}, name="better")
    before, after = (ft.evaluate(each, data, metrics=[RIGHT], progress=False) for each in (model, better))
    assert ft.compare(before, after)["right"].difference == 0.5

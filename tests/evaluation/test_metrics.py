"""What each metric counts."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftkit.errors import ConfigError
from ftkit.evaluation import Report, RowResult, evaluate, metric
from ftkit.evaluation.metrics import METRICS, confusion
from ftkit.evaluation.metrics.metric import MetricContext
from ftkit.evaluation.metrics.selection import select_metrics
from ftkit.schema.equality import normalize_text, same_normalized_value, same_value
from ftkit.task import Task
from tests.evaluation.scripted import ECHO, TRIAGE, VISITS, ScriptedModel, answered, answers, dataset, failed, visit


def measured(folder: Path, task: Task, targets: list[Any], said: list[Any], **options: Any) -> Report:
    return evaluate(ScriptedModel(task, answers(said)), dataset(folder, task, targets), **options)


def values(report: Report) -> dict[str, float | None]:
    return {item.name: item.value for item in report.metrics}


def test_structured_metrics_count_every_row(tmp_path: Path) -> None:
    targets = [visit(index, drug="Ibuprofen") for index in range(10)]
    said: list[Any] = list(targets)
    said[0] = "no idea"
    said[1] = failed("timeout")
    said[2] = {"age": 22, "drug": "Ibuprofen"}  # the name is missing
    said[3] = {**targets[3], "dose": 1}
    said[4] = {**targets[4], "age": "24"}
    said[5] = {**targets[5], "drug": " ibuprofen."}
    found = values(measured(tmp_path, VISITS, targets, said))
    assert found["parse_rate"] == pytest.approx(0.8)
    assert found["schema_valid_rate"] == pytest.approx(0.5)
    # Of the eight answers that are JSON.
    assert found["missing_field_rate"] == found["extra_field_rate"] == found["wrong_type_rate"] == pytest.approx(1 / 8)
    assert found["invalid_value_rate"] == 0
    assert found["record_exact"] == pytest.approx(0.4)
    assert found["record_normalised"] == pytest.approx(0.5)
    assert found["field:name"] == pytest.approx(0.7)
    assert found["field:age"] == pytest.approx(0.7)
    assert found["field:drug"] == pytest.approx(0.7)
    assert found["mean_field_accuracy"] == pytest.approx(0.7)


def test_a_key_left_out_counts_as_its_default(tmp_path: Path) -> None:
    report = measured(tmp_path, VISITS, [visit(0)], ['{"name": "P0", "age": 20}'])
    assert report["record_exact"].value == 1
    assert report["field:drug"].value == 1


def test_an_answer_that_is_not_an_object_has_no_field_right(tmp_path: Path) -> None:
    report = measured(tmp_path, VISITS, [visit(0)], ["[]"])
    assert values(report) | {"parse_rate": 1.0, "record_exact": 0.0, "mean_field_accuracy": 0.0} == values(report)


def test_classification_by_hand(tmp_path: Path) -> None:
    wanted = ["urgent", "urgent", "urgent", "soon", "soon", "later"]
    said = ["urgent", "urgent", "soon", "soon", "Soon!", "urgent"]
    report = measured(tmp_path, TRIAGE, wanted, said)
    found = values(report)
    assert found["valid_rate"] == pytest.approx(5 / 6)
    assert found["accuracy"] == pytest.approx(3 / 6)
    assert found["precision:urgent"] == pytest.approx(2 / 3)
    assert found["recall:urgent"] == pytest.approx(2 / 3)
    assert found["precision:soon"] == pytest.approx(1 / 2)
    assert found["recall:soon"] == pytest.approx(1 / 2)
    assert found["f1:later"] == 0
    assert found["precision:later"] is None  # never answered
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert confusion(report.rows, ["urgent", "soon", "later"]) == [[2, 1, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0]]


def test_macro_f1_leaves_out_choices_that_never_come_up(tmp_path: Path) -> None:
    report = measured(tmp_path, TRIAGE, ["urgent", "soon"], ["urgent", "soon"])
    assert report["macro_f1"].value == 1
    assert report["f1:later"].value is None


def test_text_metrics(tmp_path: Path) -> None:
    report = measured(tmp_path, ECHO, ["Hello, World", "a", "b"], ["  hello world!", " a\n", failed("gone")])
    assert report["exact_match"].value == pytest.approx(1 / 3)
    assert report["normalised_match"].value == pytest.approx(2 / 3)


def test_whitespace_around_texts_is_kept_and_not_counted(tmp_path: Path) -> None:
    said = [answered("  x = 1\n"), answered("y"), answered(" z")]
    said = [dataclasses.replace(answer, logprob=-0.1) for answer in said]
    report = measured(tmp_path, ECHO, ["  x = 1", "\ty\n", "z z"], said, metrics=["exact_match", "brier"])
    assert [row.value for row in report.rows] == ["  x = 1\n", "y", " z"]
    assert [row.target for row in report.rows] == ["  x = 1", "\ty\n", "z z"]
    assert report["exact_match"].value == pytest.approx(2 / 3)
    likely = math.exp(-0.1)
    assert report["brier"].value == pytest.approx((2 * (1 - likely) ** 2 + likely**2) / 3)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (3, 3.0, True),
        (True, 1, False),
        (None, 0, False),
        ("e\u0301", "\u00e9", True),
        ("a", "A", False),
        ({"a": 1, "b": [1, {"c": 2.0}]}, {"b": [1.0, {"c": 2}], "a": 1}, True),
        ([1, 2], [2, 1], False),
        ([1], [1, 1], False),
    ],
)
def test_same_value(first: object, second: object, same: bool) -> None:
    assert same_value(first, second) is same
    assert same_value(second, first) is same


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Type-2  Diabetes.", "type 2 diabetes"),
        ("1.5 mg", "1.5 mg"),
        ("-5 °C", "-5 c"),
        ("COVID-19", "covid 19"),
        ("2026-01-05,", "2026-01-05"),
        ("snake_case", "snake case"),
        ("５％", "5%"),
        ("", ""),
    ],
)
def test_normalised(text: str, expected: str) -> None:
    assert normalize_text(text) == expected


def test_normalising_keeps_numbers_apart() -> None:
    assert not same_normalized_value("1.5", "15")
    assert not same_normalized_value("-5", "5")
    assert same_normalized_value({"a": ["X, y"]}, {"a": ["x y"]})


@given(st.text())
def test_normalising_twice_is_normalising_once(text: str) -> None:
    once = normalize_text(text)
    assert normalize_text(once) == once


def test_own_metrics(tmp_path: Path) -> None:
    @metric("brief", description="answers below six characters")
    def brief(row: RowResult) -> bool:
        return len(row.text) < 6

    def length(row: RowResult) -> float | None:
        """Characters of the answer."""
        return None if row.text == "" else len(row.text) / 100

    try:
        report = measured(
            tmp_path, ECHO, ["a", "b", "c"], ["abcdefgh", "b", failed("x")], metrics=["auto", "brief", length]
        )
    finally:
        METRICS.unregister("brief")
    assert report["brief"].value == pytest.approx(2 / 3)
    assert report["brief"].description == "answers below six characters"
    assert report["length"].value == pytest.approx(0.045)
    assert (report["length"].n, report["length"].description) == (2, "Characters of the answer.")
    assert report.rows[0].scores["brief"] == 0
    assert report.primary == "exact_match"


def test_own_metrics_that_cannot_work(tmp_path: Path) -> None:
    def length(row: RowResult) -> float:
        return len(row.text)

    with pytest.raises(ConfigError, match=r'"length": 8 for row r0 .*unit="number"'):
        measured(tmp_path, ECHO, ["a"], ["abcdefgh"], metrics=length)
    with pytest.raises(ConfigError, match='no metric "acuracy"; known are: auto, exact_match'):
        measured(tmp_path, ECHO, ["a"], ["a"], metrics="acuracy")
    with pytest.raises(ConfigError, match="lambda has no name"):
        measured(tmp_path, ECHO, ["a"], ["a"], metrics=[lambda row: 1.0])
    with pytest.raises(ConfigError, match="no finite number"):
        measured(tmp_path, ECHO, ["a"], ["a"], metrics=[metric("odd", unit="number")(lambda row: float("nan"))])
    METRICS.unregister("odd")


def test_a_number_metric_gets_an_interval(tmp_path: Path) -> None:
    long = metric("characters", unit="number", higher_is_better=False)(lambda row: len(row.text))
    METRICS.unregister("characters")
    report = measured(tmp_path, ECHO, ["a"] * 12, ["x" * n for n in range(1, 13)], metrics=[long], primary="characters")
    found = report.headline
    assert (found.value, found.method, found.higher_is_better) == (6.5, "score", False)
    assert found.low is not None
    assert found.high is not None
    assert 4 < found.low < 6.5 < found.high < 9


def test_auto_and_one_of_its_metrics_by_name_are_measured_once() -> None:
    context = MetricContext(VISITS.output, ())
    every = [item.name for item in select_metrics("auto", context)]
    assert [item.name for item in select_metrics(["auto", "record_exact", "auto"], context)] == every
    assert select_metrics(["record_exact", "auto"], context)[0].name == "record_exact"

    def record_exact(row: RowResult) -> float:
        return 1.0

    with pytest.raises(ConfigError, match="two different metrics"):
        select_metrics(["auto", record_exact], context)

"""Comparing fields by more than equality."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from ftkit.errors import ConfigError, ReportError
from ftkit.evaluation import Report, compare, evaluate
from ftkit.schema.comparators import (
    Aligned,
    Comparator,
    Date,
    Exact,
    NormalisedText,
    NullAgreement,
    Numeric,
    SetOf,
)
from ftkit.task import Task
from tests.evaluation.scripted import ECHO, VISITS, ScriptedModel, answers, dataset, visit


@pytest.mark.parametrize(
    ("comparator", "given_value", "wanted", "agreement"),
    [
        (Exact(), 3, 3.0, 1),
        (NormalisedText(), "Type-2  Diabetes.", "type 2 diabetes", 1),
        (NormalisedText(), "1.5 mg", "15 mg", 0),
        (Numeric(absolute=0.1), 0.2, 0.3, 1),
        (Numeric(absolute=0.1), 0.19, 0.3, 0),
        (Numeric(relative=0.01), 101, 100, 1),
        (Numeric(relative=0.01), -102, -100, 0),
        (Numeric(absolute=5), "100", 100, 0),
        (Numeric(absolute=5), True, 1, 0),
        (Numeric(absolute=5), None, None, 1),
        (Date(), "2026-01-05", "2026-01-05T10:30:00Z", 1),
        (Date(), "05.01.2026", "2026-01-05", 0),
        (Date(formats=("%d.%m.%Y",)), "05.01.2026", "2026-01-05", 1),
        (Date(days=1), "2026-01-04", "2026-01-05", 1),
        (Date(), "soon", "soon", 1),
        (Date(), None, "2026-01-05", 0),
        (SetOf(), ["b", "a", "a"], ["a", "b"], 1),
        (SetOf(), ["a"], ["a", "b"], 0),
        (SetOf(), [3.0, {"x": 1}], [{"x": 1}, 3], 1),
        (SetOf(partial=True), ["a", "b"], ["a", "b", "c"], 0.8),
        (SetOf(partial=True), [], [], 1),
        (SetOf(normalised=True), ["Aspirin "], ["aspirin"], 1),
        (Aligned(), [{"n": "b"}, {"n": "a"}], [{"n": "a"}, {"n": "b"}], 1),
        (Aligned(), [{"n": "a", "q": 1}], [{"n": "a", "q": 2}], 0.5),
        (Aligned(fields={"q": Numeric(absolute=1)}), [{"n": "a", "q": 1}], [{"n": "a", "q": 2}], 1),
        (Aligned(), ["x"], ["x", "y"], 2 / 3),
        (Aligned(), [], ["x"], 0),
        (NullAgreement(), None, None, 1),
        (NullAgreement(), "wrong", "right", 1),
        (NullAgreement(), "wrong", None, 0),
    ],
)
def test_agreement(comparator: Comparator, given_value: Any, wanted: Any, agreement: float) -> None:
    assert comparator.agreement(given_value, wanted) == pytest.approx(agreement)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["a", "A", "2026-01-05", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=2),
    max_leaves=6,
)
EVERY = [
    Exact(),
    NormalisedText(),
    Numeric(relative=0.1),
    Date(days=2),
    SetOf(),
    SetOf(partial=True),
    Aligned(),
    NullAgreement(),
]


@settings(deadline=None)  # scipy is imported by the first list
@given(VALUES, VALUES)
def test_every_comparator_takes_every_value_and_finds_a_value_equal_to_itself(one: Any, two: Any) -> None:
    for comparator in EVERY:
        assert 0 <= comparator.agreement(one, two) <= 1
        assert comparator.agreement(one, one) == pytest.approx(1)


class Order(BaseModel):
    day: str
    total: float
    lines: list[dict[str, Any]]


ORDERS = Task("Read the order.", input="{note}", output=Order)
WANTED = [{"day": "2026-01-05", "total": 100.0, "lines": [{"n": "a"}, {"n": "b"}]} for _ in range(4)]
SAID = [
    {"day": "2026-01-05", "total": 100.4, "lines": [{"n": "b"}, {"n": "a"}]},
    {"day": "2026-01-06", "total": 100.0, "lines": [{"n": "a"}, {"n": "b"}]},
    {"day": "2026-01-05", "total": 100.0, "lines": [{"n": "a"}]},
    WANTED[3],
]


def test_fields_count_as_right_by_their_comparator(tmp_path: Path) -> None:
    comparators = {"day": "date", "total": Numeric(absolute=0.5), "lines": Aligned()}
    data = dataset(tmp_path, ORDERS, WANTED)
    report = evaluate(ScriptedModel(ORDERS, answers(SAID)), data, comparators=comparators, label="one")
    assert report.primary == "record_match"
    assert report["record_match"].value == 0.5
    assert report["record_exact"].value == 0.25
    assert report["field:day"].value == 0.75
    assert report["field:total"].value == 1
    assert report["field:lines"].value == pytest.approx((3 + 2 / 3) / 4)
    assert "comparator numeric (absolute=0.5)" in report["field:total"].description
    loaded = Report.load(report.save(tmp_path / "one.json"))
    assert loaded == report
    other = evaluate(ScriptedModel(ORDERS, answers(WANTED)), data, comparators=comparators, label="two")
    with pytest.raises(ReportError, match="the fields day, total, lines had different comparators"):
        compare(loaded, other.rescore(comparators={}))
    assert compare(loaded, other)["record_match"].difference == 0.5


def test_unknown_fields_and_comparators_are_refused(tmp_path: Path) -> None:
    data = dataset(tmp_path, VISITS, [visit(0)])
    model = ScriptedModel(VISITS, answers([visit(0)]))
    with pytest.raises(ConfigError, match='no field "ages"; it has name, age, drug'):
        evaluate(model, data, comparators={"ages": "numeric"})
    with pytest.raises(
        ConfigError, match=r"comparators: age: there is no comparator 'number'.*exact, normalised.*numeric"
    ):
        evaluate(model, data, comparators={"age": "number"})
    with pytest.raises(ConfigError, match="not a JSON object with known fields"):
        evaluate(ScriptedModel(ECHO, {}), dataset(tmp_path, ECHO, ["x"]), comparators={"age": "numeric"})

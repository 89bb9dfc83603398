"""The model for users' unit tests behaves as a model."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

import ftkit as ft
from ftkit.testing import FakeModel


class Visit(BaseModel):
    age: int


TASK = ft.Task("Extract.", input="{note}", output=Visit)
ANSWERS = {"Ana, 54": Visit(age=54), "Bo": '{"age": 3}', "torn": '{"age"', "down": RuntimeError("no line")}


def test_it_answers_from_a_table() -> None:
    model = FakeModel(TASK, ANSWERS)
    assert model.predict(note="Ana, 54") == Visit(age=54)
    assert asyncio.run(model.apredict(note="Bo")).age == 3
    assert model.requests[0].messages[-1]["content"] == "Ana, 54"
    with pytest.raises(ft.OutputError):
        model.predict(note="torn")
    with pytest.raises(ft.ModelError, match="no line"):
        model.predict(note="down")
    with pytest.raises(ft.ConfigError, match="has no answer for 'Cy'"):
        model.predict(note="Cy")


def test_it_answers_by_a_function_and_can_be_evaluated() -> None:
    rows = [{"note": f"{number}", "record": {"age": number}} for number in range(6)]
    data = ft.Dataset.from_rows(rows, TASK, target="record")
    model = FakeModel(TASK, lambda question: Visit(age=min(int(question), 3)), name="capped")
    report = ft.evaluate(model, data, probes=None, progress=False)
    assert report["record_exact"].value == pytest.approx(4 / 6)
    assert "capped" in report.label

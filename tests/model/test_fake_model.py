"""The model for users' unit tests behaves as a model."""

from __future__ import annotations

import asyncio
import copy
import pickle
import time

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


def test_calls_end_at_their_time_limit() -> None:
    model = FakeModel(TASK, lambda question: time.sleep(1) or Visit(age=1) if question == "slow" else Visit(age=2))
    assert model.predict(note="x", timeout=5).age == 2
    started = time.monotonic()
    with pytest.raises(ft.AnswerTimeoutError, match=r"fake:model: no answer within 0\.05 s"):
        model.predict(note="slow", timeout=0.05)
    found = model.predict_many([{"note": "x"}, {"note": "slow"}], on_error="return", timeout=0.05)
    assert [type(one) for one in found] == [Visit, ft.AnswerTimeoutError]
    assert time.monotonic() - started < 0.95
    for wrong in (0, -1, "5", True, float("inf")):
        with pytest.raises(ft.ConfigError, match="timeout must be a number of seconds above 0"):
            model.predict(note="x", timeout=wrong)  # type: ignore[arg-type]


def test_a_column_called_timeout_is_a_column() -> None:
    model = FakeModel(ft.Task(input="{timeout} s"), {"7 s": "yes"})
    assert model.predict(timeout=7) == "yes"


def test_rows_that_cannot_be_asked_are_returned_in_place() -> None:
    rows = [{"note": "Bo"}, {"text": "x"}, {"note": "down"}, {"note": "torn"}, {"note": "Bo", "tools": 3}]
    model = FakeModel(TASK, ANSWERS)
    for found in (
        model.predict_many(rows, on_error="return"),
        asyncio.run(model.apredict_many(rows, on_error="return")),
    ):
        kinds = [type(one).__name__ for one in found]
        assert kinds == ["Visit", "ConfigError", "ModelError", "OutputError", "ConfigError"]
    with pytest.raises(ft.ConfigError, match="no such column"):
        model.predict_many(rows)


def test_models_are_copied_and_pickled_by_name() -> None:
    model = FakeModel(TASK, ANSWERS, name="tiny")
    assert copy.deepcopy(model).predict(note="Bo") == Visit(age=3)
    again = pickle.loads(pickle.dumps(FakeModel(TASK, {"Bo": '{"age": 3}'}, name="tiny")))
    assert (again.name, again.predict(note="Bo")) == ("fake:tiny", Visit(age=3))
    local = ft.Model("local:smollm2-135m", TASK, sampling=ft.Sampling(max_output_tokens=7))
    raw = pickle.dumps(local)
    assert len(raw) < 5_000
    found = pickle.loads(raw)
    assert (found.name, found.task, found.sampling) == (local.name, local.task, local.sampling)
    assert found.task.answer_type is Visit
    assert copy.copy(local)._backend is local._backend

"""Models: typed answers, errors in their place, and no other task than the one that was learnt."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel

import ftkit as ft
from ftkit.backends import OnAnswer


class Visit(BaseModel):
    name: str
    age: int


TASK = ft.Task("Extract.", input="{note}", output=Visit)


class Script:
    """A backend whose model says what a table tells it to."""

    name = "script"
    model = "said"

    def __init__(self, said: dict[str, str], known: ft.Task | None = None) -> None:
        self.said, self.known = said, known

    def answerer(self) -> Script:
        return self

    def known_task(self) -> ft.Task | None:
        return self.known

    def answer_many(
        self, requests: Sequence[ft.Request], sampling: ft.Sampling, on_answer: OnAnswer | None = None
    ) -> list[ft.Answer]:
        texts = [self.said.get(str(request.messages[-1]["content"])) for request in requests]
        return [
            ft.Answer("", "error", 0, 0, 0.0, error="the line is dead")
            if text is None
            else ft.Answer(text, "stop", 5, 3, 0.1)
            for text in texts
        ]

    def about(self) -> dict[str, Any]:
        return {"model": "said"}


def model(said: dict[str, str], task: ft.Task | None = TASK, known: ft.Task | None = None, **options: Any) -> ft.Model:
    return ft.Model(Script(said, known), task, **options)  # type: ignore[arg-type]


def test_an_answer_is_the_typed_value() -> None:
    one = model({"Ada, 62": '{"name": "Ada", "age": 62}'})
    assert one.predict(note="Ada, 62") == Visit(name="Ada", age=62)
    assert asyncio.run(one.apredict(note="Ada, 62")) == Visit(name="Ada", age=62)
    assert (one.name, one.backend_name, repr(one)) == ("script:said", "script", "Model('script:said')")


def test_a_wrong_answer_says_what_is_wrong_where() -> None:
    one = model({"Ada": '{"name": "Ada", "age": "old"}'})
    with pytest.raises(ft.OutputError, match=r"\$\.age") as caught:
        one.predict(note="Ada")
    assert caught.value.problem == "wrong_type"
    assert caught.value.text == '{"name": "Ada", "age": "old"}'


def test_many_answers_keep_their_order_and_errors_their_place() -> None:
    one = model({"a": '{"name": "A", "age": 1}', "b": "no idea", "c": '{"name": "C", "age": 3}'})
    rows = [{"note": "a"}, {"note": "b"}, {"note": "c"}]
    first, second, third = one.predict_many(rows, on_error="return")
    assert (first, third) == (Visit(name="A", age=1), Visit(name="C", age=3))
    assert isinstance(second, ft.OutputError)
    assert second.problem == "not_json"
    with pytest.raises(ft.OutputError):
        one.predict_many(rows)
    assert len(asyncio.run(one.apredict_many(rows, on_error="return"))) == 3


def test_a_model_that_cannot_be_asked_is_no_wrong_answer() -> None:
    with pytest.raises(ft.ModelError, match="the line is dead"):
        model({}).predict(note="a")


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ft.ConfigError, match="note"):
        model({}).predict(text="a")


@pytest.mark.parametrize("option", [{"temperature": 1}, {"max_new_tokens": 8}, {"sampling": ft.Sampling()}])
def test_options_of_sampling_are_no_columns(option: dict[str, Any]) -> None:
    with pytest.raises(ft.ConfigError, match=r"columns of a row.*ft\.Model\(…, sampling="):
        model({"a": "x"}).predict(note="a", **option)


def test_a_column_that_is_called_like_an_option_is_read() -> None:
    weather = ft.Task(input="{place}: {temperature}")
    assert model({"Oslo: 3": "cold"}, weather).predict(place="Oslo", temperature=3) == "cold"


def test_a_tuned_model_knows_its_task_and_takes_no_other() -> None:
    said = {"a": '{"name": "A", "age": 1}'}
    assert model(said, task=None, known=TASK).predict(note="a") == Visit(name="A", age=1)
    other = ft.Task("Extract it all.", input="{note}", output=Visit)
    with pytest.raises(ft.ConfigError, match="tuned for another task"):
        model(said, task=other, known=TASK)
    assert model(said, task=other, known=TASK, other_task=True).task == other


def test_a_base_model_must_be_told_what_to_do() -> None:
    with pytest.raises(ft.ConfigError, match="which task"):
        model({}, task=None)

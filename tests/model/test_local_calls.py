"""Calls of a model on this machine: loading, time limits, and prompts that it does not take."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import ftkit as ft
from ftkit.inference.shared_pool import shared_pool

TASK = ft.Task(input="{text}")


@pytest.fixture
def model(tiny_model: Path) -> ft.Model[str]:
    return ft.Model(f"local:{tiny_model}", TASK, sampling=ft.Sampling(max_output_tokens=4))


def test_a_model_is_loaded_before_the_first_call_and_unloaded(model: ft.Model[str]) -> None:
    assert model.load() is model
    assert len(shared_pool().stats()) >= 1
    assert model.predict_many([{"text": "a"}], on_error="return", timeout=60) != []
    model.close()


def test_a_call_ends_at_its_time_limit_and_the_model_stays_usable(model: ft.Model[str]) -> None:
    whole = model.predict_many([{"text": "a"}], timeout=60, on_error="return")
    slow = ft.Model(model.name, TASK, sampling=ft.Sampling(max_output_tokens=200)).load()
    for ask in (
        lambda: slow.predict_many([{"text": "a"}] * 2, timeout=0.001, on_error="return"),
        lambda: asyncio.run(slow.apredict_many([{"text": "a"}] * 2, timeout=0.001, on_error="return")),
    ):
        assert [type(one) for one in ask()] == [ft.AnswerTimeoutError] * 2
    with pytest.raises(ft.AnswerTimeoutError, match=r"no answer within 0\.001 s"):
        slow.predict(text="a", timeout=0.001)
    assert model.predict_many([{"text": "a"}], timeout=60, on_error="return") == whole


def test_only_a_written_limit_must_fit_behind_the_prompt(model: ft.Model[str]) -> None:
    row = {"text": "word " * 100}  # the model has 512 positions, and 512 is the limit where nothing bounds an answer
    assert ft.Model(model.name, TASK).predict(**row)
    with pytest.raises(ft.PromptError, match=r"with max_output_tokens=512 that is above the model's 512"):
        ft.Model(model.name, TASK, sampling=ft.Sampling(max_output_tokens=512)).predict(**row)


def test_a_prompt_that_is_too_long_costs_no_other_answer(model: ft.Model[str]) -> None:
    rows = [{"text": "a"}, {"text": "word " * 600}, {"text": "a"}]  # the model has 512 positions
    for found in (
        model.predict_many(rows, on_error="return"),
        asyncio.run(model.apredict_many(rows, on_error="return")),
    ):
        assert found[0] == found[2]
        assert isinstance(found[1], ft.ModelError)
        assert "above the model's" in str(found[1])
    with pytest.raises(ft.PromptError, match="request 2 has") as caught:
        model.predict_many(rows)
    assert list(caught.value.problems) == [1]

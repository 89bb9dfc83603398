"""The longest answer follows from the task, with room to spare; answers that are cut off are counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

import ftkit as ft
from ftkit.backends import OnAnswer
from ftkit.backends.answer_limit import automatic_limit, longest_json
from ftkit.schema import Output


class Closed(BaseModel):
    ok: bool
    kind: Literal["x", "long kind"] | None
    code: str = Field(max_length=4)


class Open(BaseModel):
    note: str


def output_of(kind: Any) -> Output:
    return ft.Task("Do it.", input="{q}", output=kind).output


@pytest.mark.parametrize(
    ("output", "targets", "tokens"),
    [
        (output_of(Literal["no", "lost_or_stolen_card"]), (), 35),
        (output_of(Literal["no", "lost_or_stolen_card"]), ("no",), 35),  # the longest choice, whatever was seen
        (output_of(Literal["a", "b"]), (), 32),
        (output_of(str), (), 512),
        (output_of(str), ("Paris",), 128),
        (output_of(str), ("ü" * 100,), 316),
        (output_of(str), ("x" * 4000,), 3016),
        (output_of(Open), (), 512),
        (output_of(Open), ('{"note": "' + "x" * 88 + '"}',), 166),
        (output_of(Closed), (), 80),
    ],
)
def test_the_limit_of_a_task(output: Output, targets: Sequence[str], tokens: int) -> None:
    assert automatic_limit(output, targets)[0] == tokens


def test_no_answer_of_a_closed_schema_is_longer_than_its_bound() -> None:
    longest = Closed(ok=False, kind="long kind", code="\U0001f600" * 4).model_dump_json()
    bound = longest_json(Closed.model_json_schema() | {"additionalProperties": False})
    assert bound is not None
    assert len(longest.encode()) <= bound
    assert longest_json({"type": "array", "items": {"type": "integer"}}) is None
    assert longest_json({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}}) is None


class Model:
    """Answers with the limit that it was asked with."""

    name = "m"

    def __init__(self, task: ft.Task[Any], thought: int | None = 0) -> None:
        self.task, self.sampling, self.thought = task, ft.Sampling(), thought

    def thought_tokens(self) -> int | None:
        return self.thought

    def about(self) -> dict[str, Any]:
        return {}

    def answer_many(
        self, requests: Sequence[ft.Request], sampling: ft.Sampling | None = None, on_answer: OnAnswer | None = None
    ) -> list[ft.Answer]:
        assert sampling is not None
        return [ft.Answer("blue blue", "length", 1, sampling.token_limit, 0.1) for _ in requests]


def test_a_report_records_the_limit_and_counts_what_was_cut_off() -> None:
    task = ft.Task("Which?", input="{q}", output=Literal["red", "lost_or_stolen_card"])
    data = ft.Dataset.from_rows([{"q": str(n), "a": "red"} for n in range(4)], task, target="a")
    report = ft.evaluate(Model(task), data)
    assert report.sampling.max_output_tokens == 35
    assert report.usage.output_tokens == 4 * 35
    assert report.limit_source == "the longest choice has 19 bytes"
    said = "4 of 4 rows cut off at max_output_tokens=35 (auto: the longest choice has 19 bytes)"
    assert said in report.notes
    assert ft.evaluate(Model(task, thought=None), data).sampling.max_output_tokens == 512
    assert ft.evaluate(Model(task, thought=512), data).sampling.max_output_tokens == 547
    written = ft.evaluate(Model(task), data, sampling=ft.Sampling(max_output_tokens=9))
    assert (written.sampling.max_output_tokens, written.limit_source) == (9, None)
    assert "cut off at max_output_tokens=9" in " ".join(written.notes)


def test_a_local_model_writes_no_more_than_the_longest_choice(tiny_model: str) -> None:
    task = ft.Task("Which?", input="{q}", output=Literal["red", "blue"])
    with ft.Model(f"local:{tiny_model}", task) as model:
        (answer,) = model.answer_many([ft.Request(task.prompt({"q": "sky"}))])
        (free,) = model.answer_many([ft.Request(task.prompt({"q": "sky"}))], ft.Sampling(max_output_tokens=40))
    assert answer.output_tokens <= 32 < free.output_tokens

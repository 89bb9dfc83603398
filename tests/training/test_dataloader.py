"""The rows of a run as tokens: in order, and of several problems the first row's is raised."""

from __future__ import annotations

from typing import Any

import pytest

import ftkit as ft
from ftkit.errors import DataError
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.training.dataloader import render_rows
from ftkit.training.losses import loss_of


def chats(answers: list[Any]) -> ft.Dataset:
    rows = [
        {"messages": [{"role": "user", "content": f"{number}?"}, {"role": "assistant", "content": answer}]}
        for number, answer in enumerate(answers)
    ]
    return ft.Dataset.from_rows(rows)


def test_rows_keep_their_order(tokenizer: Any) -> None:
    data = chats([f"answer {number}" for number in range(300)])
    template = ChatTemplate(tokenizer)
    rendered = render_rows(data, template, loss_of(ft.SFT()).render, None)
    assert len(rendered.rows) == 300
    for row, [example] in zip(data, rendered.rows, strict=True):
        [expected] = template.encode_examples(row.messages)
        assert example.sequences[0].ids.tolist() == expected.ids.tolist()


@pytest.mark.parametrize(("long", "broken", "expected"), [(20, 250, 21), (250, 20, 21), (66, 67, 67), (67, 66, 67)])
def test_the_first_row_that_cannot_be_used_is_named(tokenizer: Any, long: int, broken: int, expected: int) -> None:
    answers: list[Any] = ["yes"] * 300
    answers[long], answers[broken] = "yes " * 200, ""
    with pytest.raises(DataError) as error:
        render_rows(chats(answers), ChatTemplate(tokenizer), loss_of(ft.SFT()).render, 100)
    assert error.value.place is not None
    assert error.value.place.line == expected


def test_no_rows_are_refused(tokenizer: Any) -> None:
    with pytest.raises(DataError, match="there are no rows to train on"):
        render_rows([], ChatTemplate(tokenizer), loss_of(ft.SFT()).render, None)

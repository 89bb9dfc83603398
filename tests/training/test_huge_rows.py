"""A row that is far too long is refused for a little work, and one that fits is not."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

import ftkit as ft
from ftkit.errors import DataError
from ftkit.modeling.chat_template import ChatTemplate
from ftkit.training.dataloader import render_rows
from ftkit.training.losses import loss_of
from ftkit.training.row_length import is_huge

LIMIT = 2_048


@pytest.fixture(scope="module")
def template(tokenizer: Any) -> ChatTemplate:
    return ChatTemplate(tokenizer)


def dataset(folder: Path, *rows: dict[str, Any]) -> ft.Dataset:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return ft.Dataset.load(path)


def turns(question: str, answer: str = "Yes.") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@pytest.mark.parametrize(
    "huge", [turns("many words " * 900_000), turns("x", "many words " * 900_000)], ids=["asked", "answer"]
)
def test_a_huge_row_is_not_tokenised_whole(
    template: ChatTemplate, tmp_path: Path, huge: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = dataset(tmp_path, turns("Hi"), huge)
    loss = loss_of(ft.SFT())
    rendered: list[str] = []

    def render(row: Any, chat_template: ChatTemplate) -> Any:
        rendered.append(row.id)
        return loss.render(row, chat_template)

    began = time.thread_time()
    with pytest.raises(
        DataError, match=rf"rows.jsonl:2: the row has more than {LIMIT} tokens, and the limit is {LIMIT}"
    ):
        render_rows(data, template, render, LIMIT)
    assert len(rendered) == 1
    assert time.thread_time() - began < 5


def test_only_what_cannot_fit_is_huge(template: ChatTemplate, tmp_path: Path) -> None:
    long = turns("word " * 150_000)
    thought = turns("Why?", "<think>" + "hm " * 300_000 + "</think>Yes.")
    thought["messages"] += turns("And?")["messages"]
    pair = {"prompt": "Why?", "chosen": "Yes.", "rejected": "no " * 300_000}
    rows = [*dataset(tmp_path, turns("Hi"), long, thought), *dataset(tmp_path, pair)]
    assert not any(is_huge(row, template, 400_000) for row in rows)
    assert [is_huge(row, template, 50_000) for row in rows] == [False, True, False, True]
    assert not any(is_huge(row, template, None) for row in rows)

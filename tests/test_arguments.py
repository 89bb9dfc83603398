"""Arguments of another kind: refused at the door, with what to give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import ftkit as ft

TASK = ft.Task("Extract.", input="{note}")
ROWS = [{"note": "a", "record": "b"}]


def data() -> ft.Dataset:
    return ft.Dataset.from_rows(ROWS, TASK, target="record")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda x: ft.train(x("sft"), data(), backend="local:x"),
            "recipe is 'sft'; pass a recipe such as",
        ),
        (lambda x: ft.train(x(ft.SFT), data(), backend="local:x"), "recipe is the class SFT; pass a recipe"),
        (
            lambda x: ft.train(ft.SFT(), x(ROWS), backend="local:x"),
            "data is a list; pass an ft.Dataset: ft",
        ),
        (lambda x: ft.train(ft.SFT(), data(), backend=x(7)), 'backend is 7; pass it as "name:model"'),
        (
            lambda x: ft.train(ft.SFT(), data(), backend="local:x", validation=x(0.1)),
            "validation is 0.1; pass",
        ),
        (lambda x: ft.plan(ft.SFT(), x("rows.jsonl"), "local:x"), "data is 'rows.jsonl'; pass an ft.Dataset"),
        (lambda x: ft.evaluate(x("local:x"), data()), "model is 'local:x'; pass an ft.Model: ft.Model"),
        (lambda x: ft.diagnose(TASK, data(), x("local:x")), "model is 'local:x'; pass an ft.Model"),
        (lambda x: ft.compare(x("a.json"), x("b.json")), "before is 'a.json'; pass an ft.Report: ft.evaluate"),
        (lambda x: ft.overview(x(None)), "reports is None; pass a list"),
        (lambda x: ft.lint(x(ROWS)), "train is a list; pass an ft.Dataset"),
        (lambda x: ft.lint(data(), backends=x([7])), 'backend is 7; pass it as "name:model"'),
        (
            lambda x: ft.train(ft.SFT(), data(), backend="local:x", trackers=x("jsonl")),
            "trackers is 'jsonl'; pass a list",
        ),
        (lambda x: ft.train(ft.SFT(), data(), backend="local:x", trackers=x([3])), "the tracker 3 has no on_start and"),
        (lambda x: ft.evaluate(x(None), data(), probes=x(3)), "probes is 3; pass ft.Probes"),
        (lambda x: ft.evaluate(x(None), data(), asking=x(4)), "asking is 4; pass ft.RequestOptions"),
        (lambda x: ft.Model("local:x", x("Extract.")), "task is 'Extract.'; pass an ft.Task"),
        (lambda x: ft.Dataset.from_rows(ROWS, x("Extract.")), "task is 'Extract.'; pass an ft.Task"),
        (
            lambda x: ft.Dataset.from_rows(ROWS, TASK, target=x(["record"])),
            "target is a list; pass the name",
        ),
        (
            lambda x: ft.Dataset.from_rows(ROWS, TASK, columns=x(["note"])),
            "columns is a list; pass which column is",
        ),
    ],
)
def test_another_kind_of_argument_is_refused_with_what_to_give(call: Callable[[Any], object], says: str) -> None:
    def untyped(value: Any) -> Any:
        return value

    with pytest.raises(ft.ConfigError) as caught:
        call(untyped)
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize("read", [ft.Report.load, ft.Certificate.load, ft.Task.from_yaml])
def test_readers_of_files_say_which_call_fits(read: Callable[..., Any]) -> None:
    with pytest.raises(ft.ConfigError, match=rf"{read.__qualname__}"):
        read("a.json", encoding="utf-8")

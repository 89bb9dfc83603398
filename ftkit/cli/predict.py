"""``ftkit predict``: ask a model about one row, or about each line of standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ftkit.cli.console import fail, json_line, json_text, note
from ftkit.cli.data_options import TaskFile
from ftkit.cli.json_lines import placed_rows
from ftkit.cli.model_options import MaxOutputTokens, ModelName, OtherTask, model_of, sampling_of

if TYPE_CHECKING:
    from ftkit.model import Model

__all__ = ["predict"]

_AT_ONCE = 64
"""Lines asked together: a local model computes what they share once. Answers to the first appear before the last."""


def predict(
    model: ModelName,
    *,
    columns: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="COLUMN=TEXT", help="A column that the task's input reads. Repeatable."),
    ] = None,
    task: TaskFile = None,
    other_task: OtherTask = False,
    max_output_tokens: MaxOutputTokens = None,
) -> None:
    """Ask a model about one row, or about many.

    One row is given with --set, and the answer itself is printed. Many are JSON lines on standard input, and one JSON
    line comes out for each: its "answer" and, when the row has one, its "id". An answer that breaks the task's schema
    is null, with the "error" and the "text" of the model; the exit status is then 1.
    """
    if columns:
        row = _row(columns)
        asked = model_of(model, task, other_task, sampling_of(max_output_tokens))
        _one(asked, row)
        return
    if sys.stdin.isatty():
        raise typer.BadParameter('give --set column="text", or JSON lines on standard input', param_hint="--set")
    asked = model_of(model, task, other_task, sampling_of(max_output_tokens))
    _many(asked)


def _row(columns: list[str]) -> dict[str, str]:
    pairs = [item.partition("=") for item in columns]
    for name, equals, text in pairs:
        if not (name and equals):
            raise typer.BadParameter(f'{name}{text}: write it as note="text"', param_hint="--set")
    return {name: text for name, _, text in pairs}


def _one(model: Model, row: dict[str, str]) -> None:
    from ftkit.errors import OutputError

    try:
        answer = model.predict(**row)
    except OutputError as error:
        note(f"the model's text: {error.text}")
        raise
    typer.echo(answer if isinstance(answer, str) else json_text(answer))


def _many(model: Model) -> None:
    from ftkit.errors import OutputError

    rows = _read(model)
    asked = wrong = 0
    while batch := list(islice(rows, _AT_ONCE)):
        answers = model.predict_many(batch, on_error="return")
        for row, answer in zip(batch, answers, strict=True):
            asked += 1
            line: dict[str, Any] = {"id": row["id"]} if "id" in row else {}
            if isinstance(answer, OutputError):
                wrong += 1
                line |= {"answer": None, "error": str(answer), "text": answer.text}
            else:
                line |= {"answer": answer}
            typer.echo(json_line(line))
    if wrong:
        fail(f"{wrong:,} of {asked:,} answers are not valid for the task")
        raise typer.Exit(1)


def _read(model: Model) -> Iterator[dict[str, Any]]:
    """The rows of standard input, each of which the task can ask about."""
    from ftkit.errors import ConfigError, DataError

    for row, place in placed_rows(sys.stdin.buffer, "standard input"):
        try:
            model.task.prompt(row)
        except ConfigError as error:
            raise DataError(str(error), place=place) from None
        yield row

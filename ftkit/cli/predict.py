"""``ftkit predict``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ftkit.cli.console import fail, json_line, json_text, note, out
from ftkit.cli.data_options import TaskFile
from ftkit.cli.json_lines import placed_rows
from ftkit.cli.model_options import (
    ChatTemplateFile,
    EngineName,
    MaxOutputTokens,
    MaxReasoningTokens,
    ModelName,
    OtherTask,
    ReasoningEffort,
    load_model,
    sampling_of,
)
from ftkit.counts import counted, verb

if TYPE_CHECKING:
    from ftkit.model import Model

__all__ = ["predict"]

_BATCH_ROWS = 64
"""Rows per batch. The answers of a batch are printed before the next one is read."""


def predict(
    model: ModelName,
    *,
    columns: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="COLUMN=TEXT", help="Value of a column of the task's input. Repeatable."),
    ] = None,
    task: TaskFile = None,
    other_task: OtherTask = False,
    max_output_tokens: MaxOutputTokens = None,
    reasoning_effort: ReasoningEffort = None,
    max_reasoning_tokens: MaxReasoningTokens = None,
    chat_template: ChatTemplateFile = None,
    engine: EngineName = None,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Give up after this time; of many rows, for each 64 [default: no limit]"),
    ] = None,
) -> None:
    """Predict the answers of one row or of many rows.

    Give one row with --set; its answer is printed. Without --set, rows are read as JSON lines from standard input, and
    a JSON line with the "answer" and the row's "id", if any, is printed for each. An answer that does not match the
    task's schema is null, with the "error" and the model's "text", and so is that of a row that was refused or failed;
    the exit status is then 1.
    """
    sampling = sampling_of(
        max_output_tokens, reasoning_effort=reasoning_effort, max_reasoning_tokens=max_reasoning_tokens
    )
    if columns:
        row = _row(columns)
        _predict_row(
            load_model(model, task, other_task, sampling, chat_template=chat_template, engine=engine), row, timeout
        )
        return
    if sys.stdin.isatty():
        raise typer.BadParameter("give --set COLUMN=TEXT, or JSON lines on standard input", param_hint="--set")
    _predict_rows(load_model(model, task, other_task, sampling, chat_template=chat_template, engine=engine), timeout)


def _row(columns: list[str]) -> dict[str, str]:
    pairs = [item.partition("=") for item in columns]
    for name, equals, text in pairs:
        if not (name and equals):
            raise typer.BadParameter(f'{name}{text}: expected COLUMN=TEXT, e.g. note="text"', param_hint="--set")
    return {name: text for name, _, text in pairs}


def _predict_row(model: Model, row: dict[str, str], timeout: float | None) -> None:
    from ftkit.errors import OutputError

    try:
        (answer,) = model.predict_many([row], timeout=timeout)
    except OutputError as error:
        note(f"the model answered: {error.text}")
        raise
    if isinstance(answer, Enum):
        answer = answer.value
    out(answer if isinstance(answer, str) else json_text(answer))


def _predict_rows(model: Model, timeout: float | None) -> None:
    from ftkit.errors import FtkitError, OutputError

    rows = _read_rows(model)
    total = invalid = unanswered = 0
    while batch := list(islice(rows, _BATCH_ROWS)):
        answers = model.predict_many(batch, on_error="return", timeout=timeout)
        for row, answer in zip(batch, answers, strict=True):
            total += 1
            line: dict[str, Any] = {"id": row["id"]} if "id" in row else {}
            if isinstance(answer, OutputError):
                invalid += 1
                line |= {"answer": None, "error": str(answer), "text": answer.text}
            elif isinstance(answer, FtkitError):
                unanswered += 1
                line |= {"answer": None, "error": str(answer), "text": None}
            else:
                line |= {"answer": answer}
            out(json_line(line))
    if invalid:
        fail(f"{invalid:,} of {counted(total, 'answer')} {verb(invalid, 'is', 'are')} not valid for the task")
    if unanswered:
        fail(f"{unanswered:,} of {counted(total, 'row')} {verb(unanswered, 'has', 'have')} no answer")
    if invalid or unanswered:
        raise typer.Exit(1)


def _read_rows(model: Model) -> Iterator[dict[str, Any]]:
    """Read the rows of standard input and check that they have the task's columns."""
    from ftkit.errors import ConfigError, DataError

    for row, place in placed_rows(sys.stdin.buffer, "standard input"):
        try:
            model.task.prompt(row)
        except ConfigError as error:
            raise DataError(str(error), place=place) from None
        yield row

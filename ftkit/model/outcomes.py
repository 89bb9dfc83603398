"""From the answers to rows to what ``predict_many`` returns or raises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ftkit.backends import Answer
from ftkit.errors import AnswerTimeoutError, ConfigError, FtkitError, ModelError
from ftkit.results.tool_call import typed_tool_calls
from ftkit.task import Task

__all__ = ["OnError", "check_on_error", "outcomes"]

OnError = Literal["raise", "return"]
"""Raise the error of a row, or return it in place of the row's answer."""


def check_on_error(value: str) -> None:
    """Check the argument ``on_error``.

    Args:
        value: the argument.

    Raises:
        ConfigError: it is neither ``"raise"`` nor ``"return"``.
    """
    if value not in ("raise", "return"):
        raise ConfigError(f'on_error={value!r} is not known; it must be "raise" or "return"')


def outcomes(
    name: str,
    task: Task[Any],
    count: int,
    answers: Mapping[int, Answer],
    errors: Mapping[int, FtkitError],
    on_error: OnError,
) -> list[Any]:
    """Parse answers.

    Args:
        name: name of the model, for errors.
        task: parses the texts.
        count: number of rows.
        answers: the answers by number of the row.
        errors: the errors of the other rows.
        on_error: whether errors of rows are raised or returned.

    Returns:
        The typed value of each row, its tool calls, or its error.

    Raises:
        OutputError: a text is not a valid answer, and errors are raised.
        AnswerTimeoutError, ModelError: a row was not answered, and errors are raised.
        FtkitError: the first of these.
    """
    values: list[Any] = []
    for number in range(count):
        try:
            values.append(errors[number] if number in errors else _value(name, task, answers[number]))
        except FtkitError as error:
            if on_error == "raise":
                raise
            values.append(error)
    return values


def _value(name: str, task: Task[Any], answer: Answer) -> Any:
    if answer.timed_out:
        raise AnswerTimeoutError(f"{name}: {answer.error}")
    if answer.finish_reason == "error":
        raise ModelError(f"{name} gave no answer: {answer.error}")
    return typed_tool_calls(answer.tool_calls) if answer.tool_calls else task.parse(answer.text)

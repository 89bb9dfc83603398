"""Writing rows in the forms that others read. What a form cannot hold is refused, with the row and the field."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any, Literal

from ftkit.data.row import Row
from ftkit.data.strict_json import parse
from ftkit.errors import ConfigError, DataError
from ftkit.files import atomic_writer
from ftkit.task import Message

__all__ = ["TrlForm", "write_openai", "write_trl"]

TrlForm = Literal["prompt_completion", "messages"]
"""The two ways in which TRL reads a conversation."""


def write_openai(rows: Iterable[Row], path: str | os.PathLike[str]) -> None:
    """See :meth:`ftkit.data.Dataset.write_openai`."""
    _write((_openai(row) for row in rows), path)


def write_trl(rows: Iterable[Row], path: str | os.PathLike[str], form: TrlForm) -> None:
    """See :meth:`ftkit.data.Dataset.write_trl`."""
    forms = {"prompt_completion": _trl_prompt_completion, "messages": _trl_messages}
    if form not in forms:
        raise ConfigError(f"form={form!r} is not known; it must be {' or '.join(forms)}.")
    _write((forms[form](row) for row in rows), path)


def _write(lines: Iterable[dict[str, Any]], path: str | os.PathLike[str]) -> None:
    with atomic_writer(path) as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def _openai(row: Row) -> dict[str, Any]:
    _answer(row)
    line: dict[str, Any] = {"messages": row.messages}
    if row.tools:
        line["tools"] = row.tools
    parallel = row.columns.get("parallel_tool_calls")
    if isinstance(parallel, bool):
        line["parallel_tool_calls"] = parallel
    return line


def _trl_prompt_completion(row: Row) -> dict[str, Any]:
    answer = _answer(row)
    for number, message in enumerate(row.prompt):
        if message["role"] == "assistant" and message.get("weight", 1):
            raise DataError(
                "this earlier answer is learned, but TRL's prompt and completion learn the last one only. "
                'Give it weight 0, or write form="messages".',
                place=row.place,
                field=f"messages[{number}]",
            )
    if not answer.get("weight", 1):
        raise DataError(
            "the last answer has weight 0, but TRL's completion is always learned. Leave the row out.",
            place=row.place,
            field=f"messages[{len(row.prompt)}].weight",
        )
    line = {
        "prompt": [_trl(message, row, number) for number, message in enumerate(row.prompt)],
        "completion": [_trl(answer, row, len(row.prompt))],
    }
    return {**line, "tools": row.tools} if row.tools else line


def _trl_messages(row: Row) -> dict[str, Any]:
    _answer(row)
    for number, message in enumerate(row.messages):
        if not message.get("weight", 1):
            raise DataError(
                "TRL's messages cannot say that one answer is not learned. "
                'Write form="prompt_completion", or leave the row out.',
                place=row.place,
                field=f"messages[{number}].weight",
            )
    line: dict[str, Any] = {"messages": [_trl(message, row, number) for number, message in enumerate(row.messages)]}
    return {**line, "tools": row.tools} if row.tools else line


def _answer(row: Row) -> Message:
    if row.completion is None:
        raise DataError(
            "the row has no answer to learn; leave it out, or name the answer's column with target=", place=row.place
        )
    return row.completion


def _trl(message: Message, row: Row, number: int) -> dict[str, Any]:
    """``message`` without its weight, which the form says, and with arguments as objects, as templates want them."""
    made: dict[str, Any] = {key: value for key, value in message.items() if key != "weight"}
    if "tool_calls" in made:
        made["tool_calls"] = [
            _call(call, row, f"messages[{number}].tool_calls[{n}]") for n, call in enumerate(made["tool_calls"])
        ]
    return made


def _call(call: dict[str, Any], row: Row, field: str) -> dict[str, Any]:
    at = f"{field}.function.arguments"
    arguments = parse(call["function"]["arguments"], row.place, at)
    if not isinstance(arguments, dict):
        raise DataError("must be a JSON object for TRL's chat templates", place=row.place, field=at)
    return {**call, "function": {**call["function"], "arguments": arguments}}

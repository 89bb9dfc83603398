"""Writing rows in the forms that others read. What a form cannot hold is refused, with the row and the field."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from ftkit.data.row import Row
from ftkit.data.row_reader import Kind
from ftkit.data.strict_json import parse
from ftkit.errors import ConfigError, DataError
from ftkit.files import atomic_writer
from ftkit.task import Message

__all__ = ["OpenAIForm", "TrlForm", "write_openai", "write_trl"]

OpenAIForm = Literal["reinforcement"]
"""The way of writing rows for reinforcement, whatever kind they are."""

TrlForm = Literal["prompt_completion", "messages", "preference", "prompt"]
"""The ways in which TRL reads a conversation."""


def write_openai(rows: Iterable[Row], kind: Kind, path: str | os.PathLike[str], form: OpenAIForm | None) -> None:
    """See :meth:`ftkit.data.Dataset.write_openai`."""
    if form not in (None, "reinforcement"):
        raise ConfigError(f"form={form!r} is not known; it must be 'reinforcement', or None for that of the rows.")
    line = _openai_prompt if form == "reinforcement" else _OPENAI_FORMS[kind]
    _write((line(row) for row in rows), path)


def write_trl(rows: Iterable[Row], kind: Kind, path: str | os.PathLike[str], form: TrlForm | None) -> None:
    """See :meth:`ftkit.data.Dataset.write_trl`."""
    forms = _TRL_FORMS[kind]
    chosen: str = form or next(iter(forms))
    if chosen not in forms:
        known = [name for some in _TRL_FORMS.values() for name in some]
        if chosen not in known:
            raise ConfigError(f"form={form!r} is not known; it must be {' or '.join(known)}.")
        raise ConfigError(f"form={form!r} cannot hold {kind}; write form={' or '.join(map(repr, forms))}.")
    _write((forms[chosen](row) for row in rows), path)


def _write(lines: Iterable[dict[str, Any]], path: str | os.PathLike[str]) -> None:
    with atomic_writer(path) as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def _openai(row: Row) -> dict[str, Any]:
    _answer(row)
    return _asked(row, row.messages)


def _openai_preference(row: Row) -> dict[str, Any]:
    if row.margin is not None:
        raise DataError(
            "OpenAI's preferences have no margin. Leave margin= out, or write TRL's form",
            place=row.place,
            field="margin",
        )
    return {
        "input": _asked(row, [_without_weight(message) for message in row.prompt]),
        "preferred_output": [row.completion],
        "non_preferred_output": [row.rejected],
    }


def _openai_prompt(row: Row) -> dict[str, Any]:
    return {**_asked(row, [_without_weight(message) for message in row.prompt]), **row.item}


_OPENAI_FORMS: dict[Kind, Callable[[Row], dict[str, Any]]] = {
    "demonstrations": _openai,
    "preferences": _openai_preference,
    "prompts": _openai_prompt,
}


def _asked(row: Row, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``messages`` with what OpenAI lays beside them."""
    line: dict[str, Any] = {"messages": messages}
    if row.tools:
        line["tools"] = row.tools
    if row.parallel_tool_calls is not None:
        line["parallel_tool_calls"] = row.parallel_tool_calls
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


def _trl_preference(row: Row) -> dict[str, Any]:
    at = len(row.prompt)
    line: dict[str, Any] = {
        "prompt": [_trl(message, row, number) for number, message in enumerate(row.prompt)],
        "chosen": [_trl(row.messages[-1], row, at)],
        "rejected": [_trl(row.rejected_messages[-1], row, at)],
    }
    if row.margin is not None:
        line["margin"] = row.margin
    return {**line, "tools": row.tools} if row.tools else line


def _trl_prompt(row: Row) -> dict[str, Any]:
    line = {**row.item, "prompt": [_trl(message, row, number) for number, message in enumerate(row.prompt)]}
    return {**line, "tools": row.tools} if row.tools else line


_TRL_FORMS: dict[Kind, dict[str, Callable[[Row], dict[str, Any]]]] = {
    "demonstrations": {"prompt_completion": _trl_prompt_completion, "messages": _trl_messages},
    "preferences": {"preference": _trl_preference},
    "prompts": {"prompt": _trl_prompt},
}
"""By what rows are; the first is the default."""


def _answer(row: Row) -> Message:
    if row.completion is None:
        raise DataError(
            "the row has no answer to learn; leave it out, or name the answer's column with target=", place=row.place
        )
    return row.completion


def _without_weight(message: Message) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key != "weight"}


def _trl(message: Message, row: Row, number: int) -> dict[str, Any]:
    """``message`` without its weight, which the form says, and with arguments as objects, as templates want them."""
    made = _without_weight(message)
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

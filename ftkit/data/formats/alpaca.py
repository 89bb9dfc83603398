"""Alpaca: ``instruction``, ``input``, ``output``; ``system`` and ``history`` as LLaMA-Factory adds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from ftkit.data.formats.base import Conversation, Format, RawRow, read_text
from ftkit.data.formats.content import REASONING
from ftkit.data.formats.history import read_history
from ftkit.data.formats.messages import read_system, read_turns
from ftkit.data.row import Row
from ftkit.errors import DataError
from ftkit.task import Message

__all__ = ["Alpaca"]


class Alpaca(Format):
    """The user's turn is the instruction, and after an empty line the input; a blank one of them is left out."""

    name = "alpaca"
    required = "instruction and output"
    answer_field = "output"
    columns = ("instruction", "input", "output", "system", "history")

    @override
    def matches(self, columns: Mapping[str, Any]) -> bool:
        return "instruction" in columns and "output" in columns

    @override
    def read(self, row: RawRow) -> Conversation:
        columns, place = row.columns, row.place
        turns: list[tuple[str, Message]] = []
        turns += read_history(row)
        answer = read_text(row, "output")
        if not answer.strip():
            raise DataError("an empty assistant turn", place=place, field="output", problem="empty_answer")
        turns += [
            ("instruction", {"role": "user", "content": _question(row)}),
            ("output", {"role": "assistant", "content": answer}),
        ]
        messages = read_turns(turns, place)
        read_system(messages, columns.get("system"), place)
        return Conversation(messages)

    @override
    def write(self, row: Row) -> dict[str, Any]:
        answer = _plain_text(row, len(row.prompt), row.require_answer())
        texts = [_plain_text(row, number, message) for number, message in enumerate(row.prompt)]
        has_system = row.prompt[0]["role"] in ("system", "developer")
        turns = texts[has_system:]
        roles = [message["role"] for message in row.prompt[has_system:]]
        if (
            row.tools
            or row.parallel_tool_calls is not None
            or roles != ["user", *["assistant", "user"] * (len(roles) // 2)]
        ):
            raise DataError("Alpaca rows hold questions and answers in turn, and no tools", place=row.place)
        line: dict[str, Any] = {"instruction": turns[-1], "input": "", "output": answer}
        if has_system:
            line["system"] = texts[0]
        if len(turns) > 1:
            line["history"] = [list(pair) for pair in zip(turns[:-1:2], turns[1::2], strict=True)]
        return line


def _question(row: RawRow) -> str:
    """The instruction, and after an empty line the input; either of them alone if the other one is blank."""
    has_input = row.columns.get("input") not in (None, "")
    if row.columns.get("instruction") is None and has_input:
        return read_text(row, "input")
    texts = [read_text(row, "instruction"), *([read_text(row, "input")] if has_input else [])]
    return "\n\n".join([text for text in texts if text.strip()] or texts[:1])


def _plain_text(row: Row, number: int, message: Message) -> str:
    content: Any = message.get("content")
    others = [name for name in ("tool_calls", "name", *REASONING) if message.get(name)]
    if not isinstance(content, str) or others or message.get("weight", 1) == 0:
        raise DataError(
            "Alpaca rows hold texts that are all learned: no parts, tool calls, names, reasoning or weight 0",
            place=row.place,
            field=f"messages[{number}]",
        )
    return content

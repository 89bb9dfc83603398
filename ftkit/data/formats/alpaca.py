"""Alpaca: ``instruction``, ``input``, ``output``; ``system`` and ``history`` as LLaMA-Factory adds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from ftkit.data.formats.base import Conversation, Format, RawRow, read_list, read_text
from ftkit.data.formats.messages import read_messages
from ftkit.data.row import Row
from ftkit.errors import DataError
from ftkit.task import Message

__all__ = ["Alpaca"]


class Alpaca(Format):
    """The user's turn is the instruction, and after an empty line the input where it is not empty."""

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
        messages: list[Message] = []
        if columns.get("system"):
            messages.append({"role": "system", "content": read_text(row, "system")})
        for number, pair in enumerate(read_list(row, "history") if columns.get("history") else []):
            if not isinstance(pair, list) or len(pair) != 2:
                raise DataError("must be a pair of texts: question, answer", place=place, field=f"history[{number}]")
            messages += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
        question = read_text(row, "instruction")
        if columns.get("input"):
            question += f"\n\n{read_text(row, 'input')}"
        answer = read_text(row, "output")
        if not answer.strip():
            raise DataError("an empty assistant turn", place=place, field="output")
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return Conversation(read_messages(messages, place, "history"))

    @override
    def write(self, row: Row) -> dict[str, Any]:
        answer = _plain_text(row, len(row.prompt), row.require_answer())
        texts = [_plain_text(row, number, message) for number, message in enumerate(row.prompt)]
        has_system = row.prompt[0]["role"] in ("system", "developer")
        turns = texts[has_system:]
        roles = [message["role"] for message in row.prompt[has_system:]]
        if row.tools or roles != ["user", *["assistant", "user"] * (len(roles) // 2)]:
            raise DataError("Alpaca rows hold questions and answers in turn, and no tools", place=row.place)
        line: dict[str, Any] = {"instruction": turns[-1], "input": "", "output": answer}
        if has_system:
            line["system"] = texts[0]
        if len(turns) > 1:
            line["history"] = [list(pair) for pair in zip(turns[:-1:2], turns[1::2], strict=True)]
        return line


def _plain_text(row: Row, number: int, message: Message) -> str:
    content: Any = message.get("content")
    if not isinstance(content, str) or "tool_calls" in message or message.get("weight", 1) == 0:
        raise DataError(
            "Alpaca rows hold texts that are all learned: no parts, tool calls or weight 0",
            place=row.place,
            field=f"messages[{number}]",
        )
    return content

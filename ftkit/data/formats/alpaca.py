"""Alpaca: ``instruction``, ``input``, ``output``; ``system`` and ``history`` as LLaMA-Factory adds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ftkit.data.formats.base import Conversation, RawRow, list_of, text_of
from ftkit.data.formats.messages import read_messages
from ftkit.errors import DataError
from ftkit.task import Message

__all__ = ["Alpaca"]


class Alpaca:
    """The user's turn is the instruction, and after an empty line the input where it is not empty."""

    name: ClassVar[str] = "alpaca"
    needs: ClassVar[str] = "instruction and output"
    answer: ClassVar[str] = "output"
    rejected: ClassVar[str | None] = None
    answered: ClassVar[bool] = True
    reads = ("instruction", "input", "output", "system", "history")

    def recognises(self, columns: Mapping[str, Any]) -> bool:
        return "instruction" in columns and "output" in columns

    def conversation(self, row: RawRow) -> Conversation:
        columns, place = row.columns, row.place
        messages: list[Message] = []
        if columns.get("system"):
            messages.append({"role": "system", "content": text_of(row, "system")})
        for number, pair in enumerate(list_of(row, "history") if columns.get("history") else []):
            if not isinstance(pair, list) or len(pair) != 2:
                raise DataError("must be a pair of texts: question, answer", place=place, field=f"history[{number}]")
            messages += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
        question = text_of(row, "instruction")
        if columns.get("input"):
            question += f"\n\n{text_of(row, 'input')}"
        answer = text_of(row, "output")
        if not answer.strip():
            raise DataError("an empty assistant turn", place=place, field="output")
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return Conversation(read_messages(messages, place, "history"))

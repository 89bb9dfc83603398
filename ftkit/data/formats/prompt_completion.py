"""``prompt`` and ``completion``: two texts (the old OpenAI form and TRL's standard one) or two lists of messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ftkit.data.formats.base import Conversation, RawRow, list_of, text_of
from ftkit.data.formats.messages import read_parts, read_tools
from ftkit.errors import DataError
from ftkit.task import Message

__all__ = ["PromptCompletion"]


class PromptCompletion:
    """Texts become one user and one assistant turn. Of lists only the completion is learned, as TRL does it, so the
    assistant turns of the prompt get ``weight`` 0.
    """

    name: ClassVar[str] = "prompt_completion"
    needs: ClassVar[str] = "prompt and completion"
    answer: ClassVar[str] = "completion"
    rejected: ClassVar[str | None] = None
    answered: ClassVar[bool] = True
    reads = ("prompt", "completion", "tools")

    def recognises(self, columns: Mapping[str, Any]) -> bool:
        return "prompt" in columns and "completion" in columns

    def conversation(self, row: RawRow) -> Conversation:
        columns, place = row.columns, row.place
        tools = read_tools(columns.get("tools"), place, "tools", nulls_are_absent=row.nulls_are_absent)
        if not isinstance(columns.get("prompt"), list):
            prompt, completion = text_of(row, "prompt"), text_of(row, "completion")
            if not completion.strip():
                raise DataError("an empty assistant turn", place=place, field="completion")
            turns: list[Message] = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
            return Conversation(turns, tools)
        first, second = list_of(row, "prompt"), list_of(row, "completion")
        if not second:
            raise DataError("empty; it must hold the assistant's turn", place=place, field="completion")
        parts = [("prompt", first), ("completion", second)]
        messages = read_parts(parts, place, nulls_are_absent=row.nulls_are_absent)
        if messages[-1]["role"] != "assistant":
            last = f"completion[{len(second) - 1}].role"
            raise DataError("the last message must be the assistant's", place=place, field=last)
        for message in messages[: len(first)]:
            if message["role"] == "assistant":
                message["weight"] = 0
        return Conversation(messages, tools)

"""``messages``: OpenAI's chat form, and TRL's conversational one, which is the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ftkit.data.formats.base import Conversation, RawRow, list_of, switch_of
from ftkit.data.formats.messages import read_messages, read_tools
from ftkit.errors import DataError

__all__ = ["OpenAI"]


class OpenAI:
    """``{"messages": […], "tools": […], "parallel_tool_calls": …}``; each assistant message may have a ``weight``."""

    name: ClassVar[str] = "openai"
    needs: ClassVar[str] = "messages"
    answer: ClassVar[str] = "the last message"
    rejected: ClassVar[str | None] = None
    answered: ClassVar[bool] = True
    reads = ("messages", "tools", "parallel_tool_calls", "functions", "function_call")

    def recognises(self, columns: Mapping[str, Any]) -> bool:
        return "messages" in columns

    def conversation(self, row: RawRow) -> Conversation:
        columns, place = row.columns, row.place
        for old in ("functions", "function_call"):
            if columns.get(old) is not None:
                raise DataError("the old form of tools is not read; write tools and tool_calls", place=place, field=old)
        messages = read_messages(list_of(row, "messages"), place, "messages", nulls_are_absent=row.nulls_are_absent)
        tools = read_tools(columns.get("tools"), place, "tools", nulls_are_absent=row.nulls_are_absent)
        return Conversation(messages, tools, switch_of(row, "parallel_tool_calls"))

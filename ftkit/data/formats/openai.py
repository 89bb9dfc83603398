"""``messages``: OpenAI's chat form, with answers for fine-tuning, or without for reinforcement fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from ftkit.data.formats.base import Conversation, Format, RawRow, read_boolean, read_list
from ftkit.data.formats.messages import read_messages
from ftkit.data.formats.sharegpt_turn import turn_role
from ftkit.data.formats.tools import read_tools
from ftkit.data.row import Row
from ftkit.errors import DataError
from ftkit.task import Message

__all__ = ["OpenAI", "OpenAIPrompts", "openai_request", "tools_beside", "without_weight"]


class OpenAI(Format):
    """``{"messages": […], "tools": […], "parallel_tool_calls": …}``; each assistant message may have a ``weight``.

    TRL's conversational language-modelling form is the same.
    """

    name = "openai"
    columns = ("messages", "tools", "parallel_tool_calls", "functions", "function_call")
    required = "messages"
    answer_field = "the last message"
    prompts_format: ClassVar[str | None] = "openai_prompts"

    @override
    def matches(self, columns: Mapping[str, Any]) -> bool:
        return "messages" in columns

    @override
    def read(self, row: RawRow) -> Conversation:
        columns, place = row.columns, row.place
        for old in ("functions", "function_call"):
            if columns.get(old) is not None:
                raise DataError(
                    "the deprecated form of tools is not supported; write tools and tool_calls", place=place, field=old
                )
        messages = read_messages(read_list(row, "messages"), place, "messages")
        tools = read_tools(columns.get("tools"), place, "tools", nulls_are_absent=row.nulls_are_absent)
        return Conversation(messages, tools, read_boolean(row, "parallel_tool_calls"))

    @override
    def write(self, row: Row) -> dict[str, Any]:
        row.require_answer()
        return openai_request(row, row.messages)


class OpenAIPrompts(OpenAI):
    """``{"messages": […], "tools": […], …}``: a conversation to answer, and columns that graders read.

    Source: https://platform.openai.com/docs/guides/reinforcement-fine-tuning.
    """

    name = "openai_prompts"
    required = "messages that end with a question"
    has_answers = False
    is_detected = False
    prompts_format = None

    @override
    def matches(self, columns: Mapping[str, Any]) -> bool:
        messages = columns.get("messages")
        last = messages[-1] if isinstance(messages, list) and messages else None
        return turn_role(last) in ("user", "tool", "system", "developer")

    @override
    def read(self, row: RawRow) -> Conversation:
        conversation = super().read(row)
        if conversation.messages[-1]["role"] == "assistant":
            raise DataError(
                "the conversation ends with an answer, and the rows are prompts; leave the answer out, or keep it in a "
                "column of its own for graders",
                place=row.place,
                field=f"messages[{len(conversation.messages) - 1}]",
            )
        return conversation

    @override
    def write(self, row: Row) -> dict[str, Any]:
        return {**openai_request(row, [without_weight(message) for message in row.prompt]), **row.item_to_write()}


def openai_request(row: Row, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return messages with the row's tools beside them, as in a chat request.

    Args:
        row: the row.
        messages: its messages, or a part of them.

    Returns:
        ``messages`` and, where the row has them, ``tools`` and ``parallel_tool_calls``.
    """
    return {"messages": messages, **tools_beside(row)}


def tools_beside(row: Row) -> dict[str, Any]:
    """Return what a row says about tools.

    Args:
        row: the row.

    Returns:
        ``tools`` and ``parallel_tool_calls``, where the row has them.
    """
    parallel = {} if row.parallel_tool_calls is None else {"parallel_tool_calls": row.parallel_tool_calls}
    return {**({"tools": row.tools} if row.tools else {}), **parallel}


def without_weight(message: Message) -> dict[str, Any]:
    """Return a message without its ``weight``.

    Args:
        message: the message.

    Returns:
        A copy.
    """
    return {key: value for key, value in message.items() if key != "weight"}

"""TRL's conversational forms: whole conversations, and prompts. Arguments of tool calls are objects in both.

Source: https://huggingface.co/docs/trl/dataset_formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from ftkit.data.formats.base import Conversation, Format, RawRow, read_list, read_text
from ftkit.data.formats.messages import read_messages
from ftkit.data.formats.openai import OpenAI, tools_beside, without_weight
from ftkit.data.formats.tools import read_tools
from ftkit.data.row import Row
from ftkit.data.strict_json import parse_json
from ftkit.error_text import Argument, ErrorText
from ftkit.errors import DataError
from ftkit.task import Message

__all__ = ["TRLMessages", "TRLPrompts", "trl_message", "with_tools"]

_OTHER_FORMS = frozenset({"completion", "chosen", "rejected", "messages", "conversations"})


class TRLMessages(OpenAI):
    """``messages`` and ``tools``. Read like OpenAI's form; cannot express that one answer is not learned."""

    name = "trl_messages"
    is_detected = False
    prompts_format = None

    @override
    def write(self, row: Row) -> dict[str, Any]:
        row.require_answer()
        for number, message in enumerate(row.messages):
            if not message.get("weight", 1):
                raise DataError(
                    ErrorText(
                        "TRL's messages cannot express that one answer is not learned. Write ",
                        Argument("form", "prompt_completion"),
                        ", or leave the row out.",
                    ),
                    place=row.place,
                    field=f"messages[{number}].weight",
                )
        return with_tools(row, {"messages": [trl_message(row, at, message) for at, message in enumerate(row.messages)]})


class TRLPrompts(Format):
    """``prompt``, a text or a list of messages, and columns that reward functions read.

    A list is detected. A text has to be named, because another column beside it may hold its answer.
    """

    name = "trl_prompts"
    columns = ("prompt", "tools")
    required = "prompt"
    answer_field = "none"
    has_answers = False

    @override
    def matches(self, columns: Mapping[str, Any]) -> bool:
        return isinstance(columns.get("prompt"), list) and not _OTHER_FORMS.intersection(columns)

    @override
    def read(self, row: RawRow) -> Conversation:
        place = row.place
        tools = read_tools(row.columns.get("tools"), place, "tools", nulls_are_absent=row.nulls_are_absent)
        if not isinstance(row.columns.get("prompt"), list):
            return Conversation([{"role": "user", "content": read_text(row, "prompt")}], tools)
        messages = read_messages(read_list(row, "prompt"), place, "prompt")
        if messages[-1]["role"] == "assistant":
            field = f"prompt[{len(messages) - 1}]"
            raise DataError("the prompt ends with an answer; leave the answer out", place=place, field=field)
        return Conversation(messages, tools)

    @override
    def write(self, row: Row) -> dict[str, Any]:
        prompt = [trl_message(row, at, message) for at, message in enumerate(row.prompt)]
        return with_tools(row, {**row.item_to_write(), "prompt": prompt})


def with_tools(row: Row, line: dict[str, Any]) -> dict[str, Any]:
    """Add the row's tools to a line, if it has any.

    Args:
        row: the row.
        line: its line in one of TRL's forms.

    Returns:
        The line, or a copy with ``tools`` and ``parallel_tool_calls``, which ftkit reads back.
    """
    return {**line, **tools_beside(row)}


def trl_message(row: Row, number: int, message: Message) -> dict[str, Any]:
    """Return a message as TRL's chat templates expect it.

    Args:
        row: the row it belongs to, for errors.
        number: its position in the row's messages.
        message: the message.

    Returns:
        The message without its weight, which the form implies, and with arguments of tool calls as objects.

    Raises:
        DataError: arguments are not a JSON object.
    """
    converted = without_weight(message)
    if "tool_calls" in converted:
        converted["tool_calls"] = [
            _tool_call(call, row, f"messages[{number}].tool_calls[{at}]")
            for at, call in enumerate(converted["tool_calls"])
        ]
    return converted


def _tool_call(call: dict[str, Any], row: Row, field: str) -> dict[str, Any]:
    field = f"{field}.function.arguments"
    arguments = parse_json(call["function"]["arguments"], row.place, field)
    if not isinstance(arguments, dict):
        raise DataError("must be a JSON object for TRL's chat templates", place=row.place, field=field)
    return {**call, "function": {**call["function"], "arguments": arguments}}

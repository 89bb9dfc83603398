"""ShareGPT: ``conversations`` of ``from`` and ``value``, and pairs of answers to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from ftkit.data.formats.base import Conversation, Format, RawRow, read_list
from ftkit.data.formats.content import REASONING
from ftkit.data.formats.messages import read_messages, read_system
from ftkit.data.formats.openai import tools_beside
from ftkit.data.formats.preference_pair import read_answer, read_pair
from ftkit.data.formats.tools import read_tools
from ftkit.data.row import Row
from ftkit.data.strict_json import parse_json
from ftkit.errors import DataError
from ftkit.task import Message

__all__ = ["ShareGPT", "ShareGPTPreference"]


class ShareGPT(Format):
    """Turns with ``from`` and ``value``; turns with ``role`` and ``content`` are read, too.

    ``function_call`` turns hold ``{"name": …, "arguments": …}`` as JSON, or a list of such objects. ``observation`` and
    ``tool`` turns answer the calls in their order. ``system`` and ``tools`` may be columns beside the conversation.
    """

    name = "sharegpt"
    required = "conversations"
    answer_field = "the last turn"
    messages_field = "conversations"
    columns = ("conversations", "system", "tools")

    @override
    def matches(self, columns: Mapping[str, Any]) -> bool:
        return "conversations" in columns and not ("chosen" in columns and "rejected" in columns)

    @override
    def read(self, row: RawRow) -> Conversation:
        columns, place = row.columns, row.place
        messages = read_messages(read_list(row, "conversations"), place, "conversations")
        read_system(messages, columns.get("system"), place)
        return Conversation(
            messages, read_tools(columns.get("tools"), place, "tools", nulls_are_absent=row.nulls_are_absent)
        )

    @override
    def write(self, row: Row) -> dict[str, Any]:
        row.require_answer()
        _check_results(row)
        turns = [sharegpt_turn(row, at, message) for at, message in enumerate(row.messages)]
        return with_sharegpt_tools(row, {"conversations": turns})


class ShareGPTPreference(Format):
    """LLaMA-Factory's ranking form: ``conversations`` are the prompt; ``chosen`` and ``rejected`` are one turn each."""

    name = "sharegpt_preference"
    required = "conversations, chosen and rejected"
    answer_field = "chosen"
    rejected_field = "rejected"
    messages_field = "conversations"
    columns = ("conversations", "chosen", "rejected", "system", "tools")

    @override
    def matches(self, columns: Mapping[str, Any]) -> bool:
        return all(column in columns for column in ("conversations", "chosen", "rejected"))

    @override
    def read(self, row: RawRow) -> Conversation:
        prompt = ("conversations", read_list(row, "conversations"))
        messages, worse = read_pair(row, prompt, read_answer(row, "chosen"), read_answer(row, "rejected"))
        read_system(messages, row.columns.get("system"), row.place)
        return Conversation(
            messages,
            read_tools(row.columns.get("tools"), row.place, "tools", nulls_are_absent=row.nulls_are_absent),
            rejected=worse,
        )

    @override
    def write(self, row: Row) -> dict[str, Any]:
        if row.margin is not None:
            raise DataError("ShareGPT's pairs have no margin", place=row.place, field="margin")
        _check_results(row)
        at = len(row.prompt)
        line: dict[str, Any] = {
            "conversations": [sharegpt_turn(row, number, _unweighted(turn)) for number, turn in enumerate(row.prompt)],
            "chosen": sharegpt_turn(row, at, row.require_answer()),
            "rejected": sharegpt_turn(row, at, row.rejected_messages[-1]),
        }
        return with_sharegpt_tools(row, line)


def _check_results(row: Row) -> None:
    """Refuse results that are not in the order of their calls, by which alone the form tells what they answer."""
    waiting: list[str] = []
    for number, message in enumerate(row.prompt):
        if message.get("tool_calls"):
            waiting = [call["id"] for call in message["tool_calls"]]
        elif message["role"] == "tool" and message["tool_call_id"] != waiting.pop(0):
            raise DataError(
                "ShareGPT's turns answer the calls in their order, and this result answers a later one; write the "
                "results in the order of the calls",
                place=row.place,
                field=f"messages[{number}]",
            )


def _unweighted(message: Message) -> Message:
    """A turn of a preference's prompt without the weight 0, which the form implies."""
    copy = message.copy()
    copy.pop("weight", None)
    return copy


def with_sharegpt_tools(row: Row, line: dict[str, Any]) -> dict[str, Any]:
    """Add the row's tools to a line, if it has any.

    Args:
        row: the row.
        line: its line.

    Returns:
        The line, or a copy with ``tools`` and ``parallel_tool_calls``, which ftkit reads back.
    """
    beside = tools_beside(row)
    if row.tools:
        beside["tools"] = json.dumps([tool["function"] for tool in row.tools], ensure_ascii=False)
    return {**line, **beside}


def sharegpt_turn(row: Row, number: int, message: Message) -> dict[str, Any]:
    """Return a message as a turn with ``from`` and ``value``.

    Args:
        row: the row it belongs to, for errors.
        number: its position in the row's messages.
        message: the message.

    Returns:
        The turn.

    Raises:
        DataError: the message holds both a text and calls, parts that are not text, or a name.
    """
    content: Any = message.get("content")
    calls = message.get("tool_calls")
    if calls and isinstance(content, str) and not content.strip():
        content = None
    if (calls is None) == (content is None) or not isinstance(content, str | None):
        raise DataError(
            "a ShareGPT turn holds either a text or function calls", place=row.place, field=f"messages[{number}]"
        )
    if message.get("name") and message["role"] != "tool":
        raise DataError("a ShareGPT turn has no name", place=row.place, field=f"messages[{number}].name")
    role = {"user": "human", "assistant": "gpt", "tool": "observation"}.get(message["role"], "system")
    turn: dict[str, Any] = {"from": role, "value": content}
    if calls is not None:
        pairs = [
            {
                "name": call["function"]["name"],
                "arguments": _arguments(call, row, f"messages[{number}].tool_calls[{at}]"),
            }
            for at, call in enumerate(calls)
        ]
        turn = {"from": "function_call", "value": json.dumps(pairs, ensure_ascii=False)}
    kept = {name: value for name, value in message.items() if name in ("weight", *REASONING) and value != ""}
    return {**turn, **kept}


def _arguments(call: dict[str, Any], row: Row, field: str) -> Any:
    return parse_json(call["function"]["arguments"], row.place, f"{field}.function.arguments")

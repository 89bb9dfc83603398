"""ShareGPT: ``conversations`` of ``from`` and ``value``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from ftkit.data.formats.base import Conversation, Format, RawRow, read_list
from ftkit.data.formats.messages import MESSAGE_MARKS, read_messages, read_system, read_tools
from ftkit.data.row import Row
from ftkit.data.strict_json import parse_json
from ftkit.errors import DataError, Place
from ftkit.task import Message

__all__ = ["ShareGPT"]

_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function_call": "assistant",
}


class ShareGPT(Format):
    """Turns with ``from`` and ``value``.

    ``function_call`` turns hold ``{"name": …, "arguments": …}`` as JSON, or a list of such objects. ``observation`` and
    ``tool`` turns answer the calls in their order. ``system`` and ``tools`` may be columns beside the conversation.
    """

    name = "sharegpt"
    required = "conversations"
    answer_field = "the last turn"
    columns = ("conversations", "system", "tools")

    @override
    def matches(self, columns: Mapping[str, Any]) -> bool:
        return "conversations" in columns

    @override
    def read(self, row: RawRow) -> Conversation:
        columns, place = row.columns, row.place
        turns = read_list(row, "conversations")
        messages = [self._message(turn, place, f"conversations[{number}]") for number, turn in enumerate(turns)]
        tools = columns.get("tools")
        is_text = isinstance(tools, str)
        tools = read_tools(
            _wrap_functions(tools, place), place, "tools", nulls_are_absent=row.nulls_are_absent and not is_text
        )
        checked = read_messages(messages, place, "conversations")
        read_system(checked, columns.get("system"), place)
        return Conversation(checked, tools)

    @override
    def write(self, row: Row) -> dict[str, Any]:
        row.require_answer()
        line: dict[str, Any] = {"conversations": [_turn(row, at, message) for at, message in enumerate(row.messages)]}
        if row.tools:
            functions = [tool["function"] for tool in row.tools]
            line["tools"] = json.dumps(functions, ensure_ascii=False)
        return line

    def _message(self, turn: Any, place: Place, field: str) -> dict[str, Any]:
        if not isinstance(turn, Mapping) or "from" not in turn or "value" not in turn:
            raise DataError("must be an object with from and value", place=place, field=field)
        role = _ROLES.get(turn["from"]) if isinstance(turn["from"], str) else None
        if role is None:
            known = ", ".join(_ROLES)
            raise DataError(
                f"{turn['from']!r} is no role; it must be one of {known}", place=place, field=f"{field}.from"
            )
        message: dict[str, Any] = {"role": role, "content": turn["value"]}
        if turn["from"] == "function_call":
            message = {"role": role, "tool_calls": self._calls(turn["value"], place, f"{field}.value")}
        return message | {name: turn[name] for name in MESSAGE_MARKS if turn.get(name) is not None}

    def _calls(self, value: Any, place: Place, field: str) -> list[dict[str, Any]]:
        calls = parse_json(value, place, field) if isinstance(value, str) else value
        tool_calls = []
        for call in calls if isinstance(calls, list) else [calls]:
            if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
                raise DataError('must be {"name": …, "arguments": …} as JSON', place=place, field=field)
            tool_calls.append({"function": {"name": call["name"], "arguments": call.get("arguments", {})}})
        return tool_calls


def _turn(row: Row, number: int, message: Message) -> dict[str, Any]:
    content: Any = message.get("content")
    calls = message.get("tool_calls")
    if (calls is None) == (content is None) or not isinstance(content, str | None):
        raise DataError(
            "a ShareGPT turn holds either a text or function calls", place=row.place, field=f"messages[{number}]"
        )
    role = {"user": "human", "assistant": "gpt", "tool": "observation"}.get(message["role"], "system")
    turn: dict[str, Any] = {"from": role, "value": content}
    if calls is not None:
        functions = [call["function"] for call in calls]
        pairs = [
            {"name": function["name"], "arguments": parse_json(function["arguments"], row.place)}
            for function in functions
        ]
        turn = {"from": "function_call", "value": json.dumps(pairs, ensure_ascii=False)}
    return {**turn, "weight": message["weight"]} if "weight" in message else turn


def _wrap_functions(tools: Any, place: Place) -> Any:
    """LLaMA-Factory lists bare functions, as a JSON text; OpenAI wraps each one."""
    if isinstance(tools, str):
        tools = parse_json(tools, place, "tools") if tools.strip() else None
    if not isinstance(tools, list):
        return tools
    return [
        {"type": "function", "function": tool} if isinstance(tool, Mapping) and "function" not in tool else tool
        for tool in tools
    ]

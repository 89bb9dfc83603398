"""A call of a tool, as a model wrote it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftkit.errors import OutputError

__all__ = ["ToolCall", "typed_tool_calls"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call.

    Attributes:
        name: name of the function.
        arguments: its arguments.
        id: id of the call, which the message with its result names; None if the host gives none.
    """

    name: str
    arguments: dict[str, Any]
    id: str | None = None


def typed_tool_calls(calls: Sequence[Mapping[str, Any]]) -> list[ToolCall]:
    """Parse the calls of an answer.

    Args:
        calls: in OpenAI's form: ``{"id": …, "type": "function", "function": {"name": …, "arguments": "{…}"}}``.

    Returns:
        The calls, in their order.

    Raises:
        OutputError: the arguments of a call are not a JSON object; ``error.text`` holds them.
    """
    found = []
    for call in calls:
        function = call.get("function") or {}
        name, arguments = str(function.get("name", "")), function.get("arguments", "")
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments)
            except (ValueError, RecursionError):
                raise OutputError(
                    f"the arguments of the call of {name!r} are not JSON", problem="not_json", text=arguments
                ) from None
        if not isinstance(arguments, dict):
            raise OutputError(
                f"the arguments of the call of {name!r} are no object",
                problem="wrong_type",
                text=json.dumps(arguments, ensure_ascii=False),
            )
        found.append(ToolCall(name, arguments, call.get("id")))
    return found

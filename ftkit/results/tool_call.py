"""A call of a tool, as a model wrote it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftkit.errors import OutputError

__all__ = ["ToolCall", "calls_text", "comparable_calls", "typed_tool_calls"]


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


def comparable_calls(calls: Sequence[Mapping[str, Any]] | None) -> list[Any]:
    """Return calls as they are compared: name and arguments, without ids, which are arbitrary.

    Args:
        calls: in OpenAI's form; None stands for none.

    Returns:
        One entry for each call, in order.
    """
    return [_comparable(call) for call in calls or ()]


def calls_text(calls: Sequence[Mapping[str, Any]] | None) -> str:
    """Write calls for people: ``book(day="Monday", beds=2)``, one a line.

    Args:
        calls: in OpenAI's form; None stands for none.

    Returns:
        The text; empty if there are none.
    """
    return "\n".join(map(_call_text, comparable_calls(calls)))


def _comparable(call: Mapping[str, Any]) -> Any:
    function = call.get("function")
    if not isinstance(function, Mapping):
        return dict(call)
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError, RecursionError):
            arguments = json.loads(arguments)
    return [function.get("name"), arguments]


def _call_text(call: Any) -> str:
    if not isinstance(call, list):
        return json.dumps(call, ensure_ascii=False)
    name, arguments = call
    if isinstance(arguments, dict):
        listed = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in arguments.items())
    else:
        listed = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return f"{name}({listed})"

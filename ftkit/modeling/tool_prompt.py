"""Tools for models whose chat template has no place for them: described in the system message, called in tags.

The form is that of Hermes and Qwen 2.5: a call is ``<tool_call>{"name": …, "arguments": …}</tool_call>``, its result is
a user message in ``<tool_response>``. Any instruction-tuned model can follow it, and a grammar can hold it to it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ftkit.task import Message

__all__ = ["describe_tools"]


def describe_tools(messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> list[Message]:
    """Write tools, calls and results of a conversation as text.

    Args:
        messages: the conversation, in OpenAI's chat form.
        tools: the tools offered, as JSON schemas; without any, only calls and results are written.

    Returns:
        A conversation of system, user and assistant messages that hold text only.
    """
    found: list[Message] = []
    in_results = False
    for message in messages:
        if message["role"] == "tool":
            result = f"<tool_response>\n{message.get('content') or ''}\n</tool_response>"
            if in_results:
                found[-1]["content"] = f"{found[-1]['content']}\n{result}"
            else:
                found.append({"role": "user", "content": result})
        elif message.get("tool_calls"):
            parts = [str(message.get("content") or ""), *map(_call, message.get("tool_calls") or ())]
            found.append({"role": "assistant", "content": "\n".join(part for part in parts if part)})
        else:
            found.append(message)
        in_results = message["role"] == "tool"
    if not tools:
        return found
    description = _description(tools)
    if found and found[0]["role"] == "system":
        found[0] = {**found[0], "content": f"{found[0].get('content') or ''}\n\n{description}".lstrip()}
        return found
    return [{"role": "system", "content": description}, *found]


def _description(tools: Sequence[dict[str, Any]]) -> str:
    functions = "\n".join(json.dumps(tool.get("function", tool), ensure_ascii=False) for tool in tools)
    return (
        f"You can call these functions, each described by a JSON object:\n{functions}\n"
        "To call a function, write its name and its arguments as a JSON object between these tags:\n"
        '<tool_call>\n{"name": "the function\'s name", "arguments": {"argument": "value"}}\n</tool_call>'
    )


def _call(call: dict[str, Any]) -> str:
    function = call["function"]
    name = json.dumps(function["name"])
    return f'<tool_call>\n{{"name": {name}, "arguments": {function["arguments"]}}}\n</tool_call>'

"""What attributes of spans say of tools, and of conversations that are spread over many names.

OpenLLMetry wrote ``gen_ai.prompt.0.content`` before the GenAI conventions had messages, and OpenInference (Phoenix,
Arize) writes ``llm.input_messages.0.message.content``.

Sources: https://github.com/traceloop/openllmetry,
https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ftkit.data.formats.traces.turns import parsed

__all__ = ["has_gap", "indexed_answer", "indexed_messages", "is_indexed", "span_tools"]

_ASKED = ("gen_ai.prompt", "llm.input_messages")
_ANSWERED = ("gen_ai.completion", "llm.output_messages")
_TOOLS = ("llm.request.functions", "llm.tools")
_DEEPEST = 12


def is_indexed(attributes: Mapping[str, Any]) -> bool:
    """Say whether attributes hold messages by index.

    Args:
        attributes: attributes of a span by name.

    Returns:
        Whether they do.
    """
    return any(name.startswith(tuple(f"{begin}." for begin in (*_ASKED, *_ANSWERED))) for name in attributes)


def has_gap(attributes: Mapping[str, Any]) -> bool:
    """Say whether a message before another one is missing, as after the attribute limit of an SDK.

    Args:
        attributes: attributes of a span by name.

    Returns:
        Whether the indices of messages do not count from 0.
    """
    for begin in _ASKED:
        names = (name[len(begin) + 1 :] for name in attributes if name.startswith(f"{begin}."))
        found = {name.partition(".")[0] for name in names}
        if found != {str(number) for number in range(len(found))}:
            return True
    return False


def indexed_messages(attributes: Mapping[str, Any]) -> list[Any]:
    """Read what a model was asked.

    Args:
        attributes: attributes of a span by name.

    Returns:
        Messages with parts or texts as they were recorded.
    """
    return [_message(one, "user") for name in _ASKED for one in _list(attributes, name)]


def indexed_answer(attributes: Mapping[str, Any]) -> list[Any]:
    """Read the first answer of a model.

    Args:
        attributes: attributes of a span by name.

    Returns:
        A list with the message; empty if there is none.
    """
    return [_message(one, "assistant") for name in _ANSWERED for one in _list(attributes, name)[:1]]


def span_tools(attributes: Mapping[str, Any]) -> list[Any]:
    """Read the definitions of tools.

    Args:
        attributes: attributes of a span by name.

    Returns:
        The definitions, which the reader of tools checks.
    """
    found = parsed(attributes.get("gen_ai.tool.definitions"))
    tools = list(found) if isinstance(found, list) else []
    offered = parsed(attributes.get("ai.prompt.tools"))  # the AI SDK's
    tools += [parsed(tool) for tool in offered] if isinstance(offered, list) else []
    request = parsed(attributes.get("model_request_parameters"))  # Pydantic AI's
    for name in ("function_tools", "output_tools") if isinstance(request, dict) else ():
        for one in request.get(name) or ():
            if isinstance(one, dict):
                given = {"name": one.get("name"), "description": one.get("description")}
                tools.append(given | {"parameters": one.get("parameters_json_schema")})
    for name in _TOOLS:
        for one in _list(attributes, name):
            inner = one.get("tool") if isinstance(one, dict) else None
            schema = inner.get("json_schema") if isinstance(inner, dict) else None
            tool = parsed(schema) if schema is not None else one
            if isinstance(tool, dict):
                tool = {key: parsed(value) if key == "parameters" else value for key, value in tool.items()}
            tools.append(tool)
    return tools


def _list(attributes: Mapping[str, Any], begin: str) -> list[Any]:
    """The values below a name, by index."""
    root: dict[str, Any] = {}
    for name, value in attributes.items():
        if not name.startswith(f"{begin}."):
            continue
        *path, last = name[len(begin) + 1 :].split(".", _DEEPEST)
        inside: Any = root
        for step in path:
            inside = inside.setdefault(step, {})
            if not isinstance(inside, dict):
                break
        if isinstance(inside, dict):
            inside[last] = value
    return _in_order(root) or []


def _in_order(values: Mapping[str, Any]) -> list[Any] | None:
    """The values of a mapping whose keys are all indices; None if they are others."""
    if not all(key.isdecimal() and len(key) < 7 for key in values):
        return None
    return [values[key] for key in sorted(values, key=int)]


def _message(value: Any, role: str) -> Any:
    inner = value.get("message") if isinstance(value, dict) and isinstance(value.get("message"), dict) else value
    if not isinstance(inner, dict):
        return inner
    message: dict[str, Any] = {"role": inner.get("role") or role, "content": inner.get("content")}
    if isinstance(inner.get("contents"), dict):
        parts = [each.get("message_content") for each in _in_order(inner["contents"]) or () if isinstance(each, dict)]
        message["content"] = parts
    elif isinstance(message["content"], str) and message["content"][:2] == "[{":
        parts = parsed(message["content"])
        if all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in parts):
            message["content"] = parts
    if isinstance(inner.get("tool_calls"), dict):
        calls = [each.get("tool_call", each) for each in _in_order(inner["tool_calls"]) or () if isinstance(each, dict)]
        message["tool_calls"] = calls
    if inner.get("tool_call_id"):
        message["tool_call_id"] = inner["tool_call_id"]
    return message

"""Input items of the Responses API as the messages of a chat completion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ftkit.server.errors import ApiError
from ftkit.server.state import new_id

__all__ = ["chat_messages", "stored_items"]

_ROLES = ("system", "developer", "user", "assistant")
_TEXT_PARTS = ("input_text", "output_text", "text")
_COPIED = frozenset({"type", "id", "status"})
"""Fields of items that clients send along from earlier responses, and that say nothing to the model."""
_ID_PREFIXES = {"message": "msg_", "reasoning": "rs_"}
_FIELDS = {
    "message": _COPIED | {"role", "content", "phase"},
    "function_call": _COPIED | {"call_id", "name", "arguments", "parsed_arguments"},
    "function_call_output": _COPIED | {"call_id", "output"},
    "reasoning": _COPIED | {"summary", "content"},
}


def chat_messages(items: str | Sequence[Any]) -> list[dict[str, Any]]:
    """Turn the input of a request into messages.

    Calls that follow each other, and the text before them, become one assistant turn, as chat templates expect.

    Args:
        items: ``input`` of a request: a text, or items.

    Returns:
        Messages in the form of chat completions.

    Raises:
        ApiError: 400 if an item has another form or a type that this server does not support; names the item.
    """
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    messages: list[dict[str, Any]] = []
    thought = ""
    for number, item in enumerate(items):
        place = f"input[{number}]"
        if not isinstance(item, Mapping):
            raise _invalid(place, "expected an object")
        kind = item.get("type") or ("message" if "role" in item else None)
        if kind not in _FIELDS:
            supported = ", ".join(_FIELDS)
            raise _invalid(f"{place}.type", f"{str(kind)[:80]!r} is not supported by this server; it takes {supported}")
        for name, value in item.items():
            if name not in _FIELDS[kind] and value is not None:
                message = f"Unknown parameter: '{place}.{name[:80]}'."
                raise ApiError(400, message, param=f"{place}.{name[:80]}", code="unknown_parameter")
        if kind == "reasoning":
            thought = _thought(item, place)
            continue
        if kind == "message":
            messages.append(_message(item, place))
        elif kind == "function_call":
            call = _call(item, place)
            if messages and messages[-1]["role"] == "assistant":
                messages[-1].setdefault("tool_calls", []).append(call)
            else:
                messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        else:
            output = _text(item.get("output"), f"{place}.output")
            messages.append({"role": "tool", "tool_call_id": _string(item, "call_id", place), "content": output})
        if thought and messages[-1]["role"] == "assistant":
            messages[-1].setdefault("reasoning_content", thought)
        thought = ""
    return messages


def _thought(item: Mapping[str, Any], place: str) -> str:
    """What a model has thought before its next message or call; else the summary of it."""
    parts: list[Any] = []
    for name, part_type in (("content", "reasoning_text"), ("summary", "summary_text")):
        found = item.get(name) or []
        if not isinstance(found, list):
            raise _invalid(f"{place}.{name}", "expected a list of parts")
        for number, part in enumerate(found):
            text = part.get("text") if isinstance(part, Mapping) and part.get("type") == part_type else None
            if not isinstance(text, str):
                raise _invalid(f"{place}.{name}[{number}]", f"expected a part of type {part_type}")
        parts = parts or found
    return "\n\n".join(part["text"] for part in parts)


def stored_items(items: str | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give the input items of a request the form in which OpenAI's API lists them.

    Args:
        items: ``input`` of a request that :func:`chat_messages` has taken.

    Returns:
        The items, each with an id, and messages with parts.
    """
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    found: list[dict[str, Any]] = []
    for item in items:
        kind = item.get("type") or "message"
        stored = {"id": new_id(_ID_PREFIXES.get(kind, "fc_")), "status": "completed"} | {**item, "type": kind}
        if kind == "message" and isinstance(item["content"], str):
            part = "output_text" if item["role"] == "assistant" else "input_text"
            more: dict[str, Any] = {"annotations": []} if part == "output_text" else {}
            stored["content"] = [{"type": part, "text": item["content"], **more}]
        found.append(stored)
    return found


def _message(item: Mapping[str, Any], place: str) -> dict[str, Any]:
    role = item.get("role")
    if role not in _ROLES:
        raise _invalid(f"{place}.role", f"expected one of {', '.join(_ROLES)}")
    return {"role": role, "content": _text(item.get("content"), f"{place}.content")}


def _call(item: Mapping[str, Any], place: str) -> dict[str, Any]:
    function = {name: _string(item, name, place) for name in ("name", "arguments")}
    return {"id": _string(item, "call_id", place), "type": "function", "function": function}


def _string(item: Mapping[str, Any], name: str, place: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise _invalid(f"{place}.{name}", "expected a string")
    return value


def _text(content: Any, place: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _invalid(place, "expected a string or a list of parts")
    texts = []
    for number, part in enumerate(content):
        kind = part.get("type") if isinstance(part, Mapping) else None
        text = part.get("refusal" if kind == "refusal" else "text") if kind in (*_TEXT_PARTS, "refusal") else None
        if not isinstance(text, str):
            raise _invalid(f"{place}[{number}]", f"the type {str(kind)[:80]!r} is not supported; only text is")
        texts.append(text)
    return "".join(texts)


def _invalid(param: str, problem: str) -> ApiError:
    return ApiError(400, f"Invalid value for '{param}': {problem}.", param=param, code="invalid_value")

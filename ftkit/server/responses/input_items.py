"""Input items of the Responses API as the messages of a chat completion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ftkit.server.errors import ApiError
from ftkit.server.state import new_id

__all__ = ["chat_messages", "references", "resolved", "stored_items"]

_ROLES = ("system", "developer", "user", "assistant")
_TEXT_PARTS = ("input_text", "output_text", "text")
_COPIED = frozenset({"type", "id", "status"})
"""Fields of items that clients send along from earlier responses, and that say nothing to the model."""
_VALUES = {
    "status": ("in_progress", "completed", "incomplete"),
    "phase": ("commentary", "final_answer"),
}
"""What such fields may be."""
_MAX_ID = 200
_PART_FIELDS = frozenset({"type", "text", "annotations", "logprobs", "parsed", "prompt_cache_breakpoint"})
"""Fields of a text part. All but the text are of earlier answers, or ask for the cache, which this server always
uses."""
_ID_PREFIXES = {"message": "msg_", "reasoning": "rs_"}
_FIELDS = {
    "message": _COPIED | {"role", "content", "phase"},
    "function_call": _COPIED | {"call_id", "name", "arguments", "parsed_arguments"},
    "function_call_output": _COPIED | {"call_id", "output", "name"},
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
                raise _unknown(f"{place}.{name[:80]}")
            if name in _VALUES and value is not None and value not in _VALUES[name]:
                raise _invalid(f"{place}.{name}", f"expected one of {', '.join(_VALUES[name])}")
            if name == "id" and value is not None and not (isinstance(value, str) and len(value) <= _MAX_ID):
                raise _invalid(f"{place}.id", f"expected a string of at most {_MAX_ID} characters")
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
            answer = {"role": "tool", "tool_call_id": _string(item, "call_id", place), "content": output}
            messages.append(answer | ({} if item.get("name") is None else {"name": _string(item, "name", place)}))
        if thought and messages[-1]["role"] == "assistant":
            messages[-1].setdefault("reasoning_content", thought)
        thought = ""
    return messages


def references(items: str | Sequence[Any]) -> list[str]:
    """List the items of earlier responses that the input of a request names without repeating them.

    Args:
        items: ``input`` of a request.

    Returns:
        Their ids.

    Raises:
        ApiError: 400 if a reference names no item.
    """
    if isinstance(items, str):
        return []
    found = []
    for number, item in enumerate(items):
        if _is_reference(item):
            _string(item, "id", f"input[{number}]")
            for name in item:
                if name not in ("type", "id"):
                    raise _unknown(f"input[{number}].{name[:80]}")
            found.append(item["id"])
    return found


def resolved(items: Sequence[Any], stored: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    """Put the items of earlier responses in place of references to them.

    Args:
        items: ``input`` of a request.
        stored: the items by id.

    Returns:
        The items without references.
    """
    return [dict(stored[item["id"]]) if _is_reference(item) else item for item in items]


def _is_reference(item: Any) -> bool:
    """Whether an item is a reference. Its type may be left out."""
    if not isinstance(item, Mapping):
        return False
    kind = item.get("type")
    return kind == "item_reference" or (kind is None and "id" in item and set(item) <= {"id", "type"})


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
        given = {name: value for name, value in item.items() if value is not None}
        stored = {"id": new_id(_ID_PREFIXES.get(kind, "fc_")), "status": "completed"} | {**given, "type": kind}
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
        known = {"type", "refusal"} if kind == "refusal" else _PART_FIELDS
        for name, value in part.items():
            if name not in known and value is not None:
                raise _unknown(f"{place}[{number}].{name[:80]}")
        texts.append(text)
    return "".join(texts)


def _unknown(param: str) -> ApiError:
    return ApiError(400, f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")


def _invalid(param: str, problem: str) -> ApiError:
    return ApiError(400, f"Invalid value for '{param}': {problem}.", param=param, code="invalid_value")
